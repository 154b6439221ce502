//! How a job looks from outside.

use std::hash::{DefaultHasher, Hash, Hasher};

use entity::enums::JobState;
use entity::job::Model;
use entity::job::query::Seen;
use jobs::AnyJob;
use poem_openapi::{Enum, Object};
use serde_json::Value;
use uuid::Uuid;

use crate::problem::Problem;
use crate::state::AppState;

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub enum State {
    /// Waiting for a slot.
    Queued,
    /// Being worked on.
    Running,
    /// Waiting for its next attempt.
    Retrying,
    /// Ended well.
    Succeeded,
    /// Ended without effect.
    Failed,
    /// Ended because nobody wanted it any more.
    Cancelled,
}

impl From<JobState> for State {
    fn from(state: JobState) -> Self {
        match state {
            JobState::Queued => Self::Queued,
            JobState::Running => Self::Running,
            JobState::Retrying => Self::Retrying,
            JobState::Succeeded => Self::Succeeded,
            JobState::Failed => Self::Failed,
            JobState::Cancelled => Self::Cancelled,
        }
    }
}

impl From<State> for JobState {
    fn from(state: State) -> Self {
        match state {
            State::Queued => Self::Queued,
            State::Running => Self::Running,
            State::Retrying => Self::Retrying,
            State::Succeeded => Self::Succeeded,
            State::Failed => Self::Failed,
            State::Cancelled => Self::Cancelled,
        }
    }
}

/// How far it is.
#[derive(Clone, Debug, Object)]
pub struct ProgressView {
    /// Steps done. The last step of a job with children is theirs, and counted in their steps.
    pub done: i64,
    /// Steps in all; null when they cannot be counted.
    pub total: Option<i64>,
    /// `done / total` in percent, rounded down; never falls.
    pub percent: Option<i64>,
    /// The stage it is in.
    pub stage: Option<String>,
}

/// Why it did not succeed.
#[derive(Clone, Debug, Object)]
pub struct ErrorView {
    /// Word.
    pub code: String,
    /// Sentence.
    pub message: String,
    /// Whether `POST …/retry` makes sense.
    pub retryable: bool,
}

/// What it costs.
#[derive(Clone, Debug, Object)]
pub struct CreditsView {
    /// Held while it is open.
    pub held: i64,
    /// Spent.
    pub spent: i64,
}

/// The jobs it started.
#[derive(Clone, Debug, Object)]
pub struct ChildrenView {
    /// All.
    pub total: i64,
    /// Ended well.
    pub succeeded: i64,
    /// Failed or cancelled.
    pub failed: i64,
}

/// A job.
#[derive(Clone, Debug, Object)]
pub struct JobView {
    /// One id for life.
    pub id: Uuid,
    /// What it does.
    pub kind: String,
    /// Where it stands.
    pub state: State,
    /// True in succeeded, failed, cancelled.
    pub done: bool,
    /// False when the caller joined a job that was already there; null when it was only read.
    pub created: Option<bool>,
    /// How far it is.
    pub progress: ProgressView,
    /// Where it waits.
    pub queue: String,
    /// Which lane: interactive, normal, bulk.
    pub priority: String,
    /// Attempts begun.
    pub attempt: i32,
    /// Attempts allowed.
    pub max_attempts: i32,
    /// Grows with every change.
    pub version: i64,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub started_at: Option<String>,
    /// RFC 3339.
    pub finished_at: Option<String>,
    /// Not before; RFC 3339.
    pub run_at: String,
    /// Set from the moment somebody asked it to stop; RFC 3339.
    pub cancel_requested_at: Option<String>,
    /// From measured durations, or null.
    pub estimated_remaining_ms: Option<i64>,
    /// Why it is not running yet.
    pub waiting_reason: Option<String>,
    /// Output of a succeeded job.
    pub result: Option<Value>,
    /// Why it failed.
    pub error: Option<ErrorView>,
    /// What it costs.
    pub credits: CreditsView,
    /// The job that started it.
    pub parent_id: Option<Uuid>,
    /// The jobs it started.
    pub children: ChildrenView,
}

impl JobView {
    /// The tag of what this view shows: the row's version, and what else can change under it (why
    /// it waits, how far its children are). Weak, because the estimate is left out.
    pub fn etag(&self) -> String {
        let mut rest = DefaultHasher::new();
        self.waiting_reason.hash(&mut rest);
        (self.progress.done, self.progress.total, self.progress.percent).hash(&mut rest);
        (self.children.total, self.children.succeeded, self.children.failed).hash(&mut rest);
        // The state is part of it: one who left a shared job sees it cancelled.
        let (id, version, state) = (self.id.simple(), self.version, JobState::from(self.state));
        format!("W/\"{id}-{version}-{state}-{:016x}\"", rest.finish())
    }
}

/// Builds the view; asks the database only about jobs that wait.
pub async fn job_view(state: &AppState, seen: &Seen) -> Result<JobView, Problem> {
    let job = &seen.job;
    state.shelf.ended(job);
    let remaining = if job.state == JobState::Running && job.worker.is_some() {
        let means = state.mean_durations(&job.kind).await?;
        let now = state.now().await?;
        let since = job.started_at.map_or(0, |started| now.millis_since(started));
        means.map(|means| (means.run - since).max(0))
    } else {
        None
    };
    Ok(JobView {
        id: job.id,
        kind: job.kind.clone(),
        state: job.state.into(),
        done: job.state.is_done(),
        created: None,
        progress: progress(seen),
        queue: job.queue.clone(),
        priority: job.priority.as_str().to_owned(),
        attempt: job.attempt,
        max_attempts: job.max_attempts,
        version: job.version,
        created_at: job.created_at.rfc3339(),
        started_at: job.started_at.map(entity::Time::rfc3339),
        finished_at: job.finished_at.map(entity::Time::rfc3339),
        run_at: job.run_at.rfc3339(),
        cancel_requested_at: job.cancel_requested_at.map(entity::Time::rfc3339),
        estimated_remaining_ms: remaining,
        waiting_reason: waiting_reason(state, job).await?,
        result: if job.state == JobState::Succeeded { job.result.clone() } else { None },
        error: error(job),
        credits: CreditsView { held: seen.cost.held, spent: seen.cost.spent },
        parent_id: job.parent_id,
        children: ChildrenView {
            total: seen.children.total,
            succeeded: seen.children.succeeded,
            failed: seen.children.failed,
        },
    })
}

/// Progress of the whole tree. Of the steps a job declares the last is its children's; a job
/// without any is as far as they are.
pub fn progress(seen: &Seen) -> ProgressView {
    let (job, children) = (&seen.job, &seen.children);
    let own = i64::from(job.progress_done);
    let (done, total, part) = match job.progress_total.map(i64::from) {
        Some(total) if children.total > 0 && total > 0 => {
            // Counted in the children's steps, so that theirs add to a whole one.
            let unit = children.total_steps.max(1);
            let theirs = (children.share * unit as f64) as i64;
            let part = (own as f64 + children.share) / total as f64;
            ((own * unit + theirs).min(total * unit), Some(total * unit), Some(part))
        }
        None if children.total > 0 => {
            let (done, total) = (children.done_steps, children.total_steps);
            (own + done, Some(total), (total > 0).then(|| done as f64 / total as f64))
        }
        total => {
            let part = total.filter(|total| *total > 0).map(|total| own as f64 / total as f64);
            (own, total, part)
        }
    };
    let percent = match job.state {
        JobState::Succeeded => Some(100),
        // A sum of thirds is a hair short of one.
        _ => part.map(|part| ((part * 100.0 + 1e-9) as i64).clamp(0, 100)),
    };
    ProgressView { done, total, percent, stage: job.stage.clone() }
}

fn error(job: &Model) -> Option<ErrorView> {
    // The error of an attempt is shown while the next one is on its way, too.
    let code = job.error_code.clone().filter(|_| job.state != JobState::Succeeded)?;
    let retryable = !matches!(code.as_str(), "not_found" | "bad_payload");
    Some(ErrorView { message: job.error_message.clone().unwrap_or_default(), code, retryable })
}

/// Why a job is not running yet, as a sentence; `None` when it runs or has ended.
pub async fn waiting_reason(state: &AppState, job: &Model) -> Result<Option<String>, Problem> {
    Ok(match job.state {
        JobState::Running if job.worker.is_none() => {
            Some(format!("waits for {} of its jobs", job.children_open))
        }
        JobState::Queued | JobState::Retrying => {
            if let Some(pause) = state.pause_of(&job.queue).await? {
                let by = pause.paused_by.as_deref().unwrap_or("an operator");
                let since = pause.paused_at.map(entity::Time::rfc3339).unwrap_or_default();
                let why = pause.reason.as_deref().filter(|why| !why.is_empty());
                let why = why.map(|why| format!(": {why}")).unwrap_or_default();
                return Ok(Some(format!("queue {} paused by {by} since {since}{why}", job.queue)));
            }
            if !state.kind_has_worker(&job.kind).await? {
                return Ok(Some(format!("no live worker runs {}", job.kind)));
            }
            let now = state.now().await?;
            if job.run_at > now {
                let what = if job.state == JobState::Retrying { "next attempt" } else { "start" };
                return Ok(Some(format!("{what} not before {}", job.run_at.rfc3339())));
            }
            Some("waits for a free slot".to_owned())
        }
        _ => None,
    })
}

/// The words of the existing client.
pub fn flat_status(state: JobState) -> &'static str {
    match state {
        JobState::Queued => "queued",
        JobState::Running => "processing",
        JobState::Retrying => "retrying",
        JobState::Succeeded => "completed",
        JobState::Failed => "failed",
        JobState::Cancelled => "cancelled",
    }
}

/// The handle a job is about, when its kind has one and its payload can be read.
pub fn handle(job: &Model) -> Option<String> {
    let decoded = AnyJob::decode(&job.kind, &job.payload).ok()?;
    decoded.handle().map(str::to_owned)
}
