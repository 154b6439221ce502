//! Queues, for operators: what waits, how long, and the switch that stops them.

use entity::Time;
use entity::enums::{JobState, Queue};
use entity::job::stats::{self, Ended, percentile};
use entity::queue_control::{self, QueueControl};
use entity::{DbErr, clock};
use poem::web::Data;
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};

use crate::body::JsonBody;
use crate::identity::Operator;
use crate::problem::Problem;
use crate::query as rules;
use crate::routes::Tag;
use crate::state::AppState;

/// Queues.
#[derive(Debug)]
pub struct Queues;

/// How far back measurements reach, in milliseconds: an hour.
const WINDOW_MS: i64 = 3_600_000;
/// Over how much of it the throughput is counted: five minutes.
const THROUGHPUT_MS: i64 = 300_000;
/// Jobs measured per queue, the newest ones.
const SAMPLE: u64 = 2_000;

/// What waits and runs in a queue now.
#[derive(Clone, Debug, PartialEq, Object)]
pub struct QueueHead {
    /// Its name.
    pub name: String,
    /// Waiting for their first attempt, or put back.
    pub queued: i64,
    /// Waiting for their next attempt.
    pub retrying: i64,
    /// On a worker.
    pub running: i64,
    /// Waiting for their children, without a worker.
    pub waiting_for_children: i64,
    /// Of the waiting ones, those that may start now.
    pub due: i64,
    /// How long the oldest of those has been due; null when none is.
    pub oldest_due_ms: Option<i64>,
    /// Null while the queue is open.
    pub paused: Option<PauseView>,
}

/// Who stopped a queue.
#[derive(Clone, Debug, PartialEq, Object)]
pub struct PauseView {
    /// Who.
    pub by: String,
    /// When; RFC 3339.
    pub at: String,
    /// Why.
    pub reason: Option<String>,
}

/// How a queue is doing.
#[derive(Clone, Debug, Object)]
pub struct QueueView {
    /// Now.
    #[oai(flatten)]
    pub head: QueueHead,
    /// Measured, never guessed.
    pub measured: QueueMeasures,
}

/// Measured from the jobs of a queue that ended within the last hour, at most the newest 2,000.
#[derive(Clone, Debug, Object)]
pub struct QueueMeasures {
    /// Jobs that were measured; of none everything below is null.
    pub jobs: i64,
    /// How far back they reach: an hour, or less when there were more than are measured.
    pub window_seconds: i64,
    /// How long their last run waited for a slot after it was due; half of them at most so long.
    pub wait_p50_ms: Option<i64>,
    /// 95 of 100.
    pub wait_p95_ms: Option<i64>,
    /// 99 of 100.
    pub wait_p99_ms: Option<i64>,
    /// Jobs that ended per minute, over the last five minutes.
    pub throughput_per_minute: Option<f64>,
    /// Of the measured jobs, those that failed.
    pub failed: Option<i64>,
}

/// All queues.
#[derive(Debug, Object)]
pub struct QueueList {
    items: Vec<QueueView>,
}

/// Why a queue is paused.
#[derive(Debug, Default, Object)]
#[oai(deny_unknown_fields)]
pub struct PauseRequest {
    /// Shown to everybody whose job waits; at most 200 characters.
    #[oai(validator(max_length = 200))]
    reason: Option<String>,
}

#[OpenApi(prefix_path = "/api/v1/queues", tag = "Tag::Operators")]
impl Queues {
    /// Queues
    ///
    /// What waits and runs now, and what was measured within the last hour.
    #[oai(path = "/", method = "get", operation_id = "list_queues")]
    async fn list(
        &self,
        state: Data<&AppState>,
        _operator: Operator,
    ) -> Result<Json<QueueList>, Problem> {
        Ok(Json(QueueList { items: all(&state).await? }))
    }

    /// Stop a queue
    ///
    /// Nothing of it starts until it is resumed, in the whole farm; what runs goes on. Jobs that
    /// wait say who paused it. Pausing again replaces the reason.
    #[oai(path = "/:name/pause", method = "post", operation_id = "pause_queue")]
    async fn pause(
        &self,
        state: Data<&AppState>,
        operator: Operator,
        name: Path<String>,
        body: JsonBody<Option<PauseRequest>>,
    ) -> Result<Json<QueueView>, Problem> {
        let queue = known(&name.0)?;
        let reason = body.0.and_then(|body| body.reason).unwrap_or_default();
        let reason = rules::line("reason", &reason, 200)?;
        let db = state.db().write();
        queue_control::pause(db, queue.as_str(), &operator.0.user.email, &reason).await?;
        tracing::info!(queue = %queue, operator = %operator.0.user.id, "queue paused");
        state.jobs.watch().look();
        Ok(Json(one(&state, queue).await?))
    }

    /// Open a queue again
    ///
    /// Its jobs start within a second. Resuming an open queue changes nothing.
    #[oai(path = "/:name/resume", method = "post", operation_id = "resume_queue")]
    async fn resume(
        &self,
        state: Data<&AppState>,
        operator: Operator,
        name: Path<String>,
    ) -> Result<Json<QueueView>, Problem> {
        let queue = known(&name.0)?;
        if queue_control::resume(state.db().write(), queue.as_str()).await? {
            tracing::info!(queue = %queue, operator = %operator.0.user.id, "queue resumed");
            state.jobs.watch().look();
        }
        Ok(Json(one(&state, queue).await?))
    }
}

fn known(name: &str) -> Result<Queue, Problem> {
    name.parse().map_err(|rule: String| {
        Problem::not_found("queue_not_found", format!("no queue has this name; name {rule}"))
            .with("field", "name")
    })
}

/// Every queue, measured.
pub async fn all(state: &AppState) -> Result<Vec<QueueView>, DbErr> {
    let mut views = vec![];
    for head in heads(state).await? {
        views.push(QueueView { measured: measures(state, &head.name).await?, head });
    }
    Ok(views)
}

/// One queue, measured.
pub async fn one(state: &AppState, queue: Queue) -> Result<QueueView, DbErr> {
    let mut heads = heads(state).await?;
    heads.retain(|head| head.name == queue.as_str());
    let head = heads.pop().ok_or_else(|| DbErr::RecordNotFound(queue.to_string()))?;
    Ok(QueueView { measured: measures(state, &head.name).await?, head })
}

/// A queue as it stands.
pub async fn head(state: &AppState, queue: Queue) -> Result<QueueHead, Problem> {
    let head = heads(state).await?.into_iter().find(|head| head.name == queue.as_str());
    head.ok_or_else(Problem::internal)
}

/// The queues as they stand; those that only rows of another version know come last.
pub async fn heads(state: &AppState) -> Result<Vec<QueueHead>, DbErr> {
    let db = state.db().read();
    let now = clock::now(db).await?;
    let waiting = stats::waiting(db).await?;
    let running = stats::running(db).await?;
    let paused = queue_control::paused(db).await?;
    let mut names: Vec<&str> = Queue::ALL.iter().map(|queue| queue.as_str()).collect();
    let found = waiting.iter().map(|w| w.queue.as_str());
    for name in found.chain(running.iter().map(|r| r.queue.as_str())) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let heads = names.into_iter().map(|name| {
        let waits = waiting.iter().find(|w| w.queue == name);
        let runs = running.iter().find(|r| r.queue == name);
        QueueHead {
            name: name.to_owned(),
            queued: waits.map_or(0, |w| w.queued),
            retrying: waits.map_or(0, |w| w.retrying),
            running: runs.map_or(0, |r| r.running),
            waiting_for_children: runs.map_or(0, |r| r.parents),
            due: waits.map_or(0, |w| w.due),
            oldest_due_ms: waits
                .filter(|w| w.due > 0)
                .map(|w| now.millis_since(w.first_due).max(0)),
            paused: paused.iter().find(|p| p.queue == name).and_then(pause_view),
        }
    });
    Ok(heads.collect())
}

fn pause_view(control: &QueueControl) -> Option<PauseView> {
    Some(PauseView {
        by: control.paused_by.clone().unwrap_or_default(),
        at: control.paused_at?.rfc3339(),
        reason: control.reason.clone().filter(|reason| !reason.is_empty()),
    })
}

/// What a queue did within the last hour.
pub async fn measures(state: &AppState, queue: &str) -> Result<QueueMeasures, DbErr> {
    let db = state.db().read();
    let now = clock::now(db).await?;
    let ended = stats::ended(db, queue, WINDOW_MS, SAMPLE).await?;
    Ok(measure(now, &ended))
}

fn measure(now: Time, ended: &[Ended]) -> QueueMeasures {
    // The sample is cut when it is full: then it reaches back to its oldest row only.
    let oldest = ended.last().filter(|_| ended.len() as u64 >= SAMPLE);
    let window_ms = oldest.map_or(WINDOW_MS, |o| now.millis_since(o.finished_at).max(1));
    let mut waits: Vec<i64> = ended.iter().filter_map(Ended::waited_ms).collect();
    waits.sort_unstable();
    let span_ms = THROUGHPUT_MS.min(window_ms);
    let lately = ended.iter().filter(|e| now.millis_since(e.finished_at) < span_ms).count();
    let some = !ended.is_empty();
    QueueMeasures {
        jobs: ended.len() as i64,
        window_seconds: window_ms / 1_000,
        wait_p50_ms: percentile(&waits, 0.50),
        wait_p95_ms: percentile(&waits, 0.95),
        wait_p99_ms: percentile(&waits, 0.99),
        throughput_per_minute: some.then(|| lately as f64 * 60_000.0 / span_ms as f64),
        failed: some.then(|| ended.iter().filter(|e| e.state == JobState::Failed).count() as i64),
    }
}
