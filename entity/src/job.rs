//! The `jobs` row: the only truth about a job. Every change of state is one conditional UPDATE
//! whose row count is checked and which bumps `version`; whatever a run writes is fenced by
//! `(id, run, worker)`.

pub mod cancel;
pub mod claim;
pub mod dead;
pub mod due;
pub mod end;
pub mod enqueue;
mod fingerprint;
pub mod integrity;
pub mod progress;
pub mod query;
pub mod rescue;
pub mod retention;
pub mod retry;
pub mod searches;
pub mod stats;

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::enums::Action;
pub use crate::enums::{JobState, Priority};
use crate::time::Time;

/// A job as stored.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "jobs")]
pub struct Model {
    /// UUIDv7; one id for life.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Name of the kind; text, because a newer process may know more kinds than this one.
    pub kind: String,
    /// Name of the queue.
    pub queue: String,
    /// Which lane of the queue.
    pub priority: Priority,
    /// What to do.
    pub payload: Json,
    /// Version of the payload's shape.
    pub payload_version: i32,
    /// Unique among the unfinished jobs of the kind.
    pub key: Option<String>,
    /// Where the job stands.
    pub state: JobState,
    /// Grows with every visible change; the base of ETags and long polls.
    pub version: i64,
    /// Grows with every claim and never falls: the fence.
    pub run: i32,
    /// Attempts begun; given back by snooze and put-back.
    pub attempt: i32,
    /// Attempts allowed.
    pub max_attempts: i32,
    /// Workers that died under this job.
    pub lost: i32,
    /// Not before.
    pub run_at: Time,
    /// Failed when not started by then.
    pub deadline_at: Option<Time>,
    /// The declared stage it is in.
    pub stage: Option<String>,
    /// Steps done of `progress_total`.
    pub progress_done: i32,
    /// Steps in all; null when they cannot be counted.
    pub progress_total: Option<i32>,
    /// Who runs it.
    pub worker: Option<Uuid>,
    /// Somebody asked to stop it while it ran.
    pub cancel_requested_at: Option<Time>,
    /// Children that have not ended; only while it waits for them.
    pub children_open: i32,
    /// A failed child fails this job.
    pub children_must_succeed: bool,
    /// Calls made to the outside (provider) over all attempts.
    pub calls_made: i32,
    /// What those calls came to, oldest first.
    pub calls: Json,
    /// Who asked first; null for the farm's own work.
    pub user_id: Option<Uuid>,
    /// The team it counts for.
    pub team_id: Option<Uuid>,
    /// The job that started it.
    pub parent_id: Option<Uuid>,
    /// `X-Request-Id` of the request that started it.
    pub request_id: Option<String>,
    /// W3C `traceparent` of that request.
    pub trace_parent: Option<String>,
    /// Output of a succeeded job.
    pub result: Option<Json>,
    /// Why it failed, as a word.
    pub error_code: Option<String>,
    /// Why it failed, as a sentence.
    pub error_message: Option<String>,
    /// Which failures are the same one: the code, and the sentence without what differs from job
    /// to job. Only of failed jobs.
    pub error_fingerprint: Option<String>,
    /// One entry per failed attempt ([`AttemptError`]).
    pub errors: Json,
    /// When it was asked for.
    pub created_at: Time,
    /// When its first attempt began.
    pub started_at: Option<Time>,
    /// When its last run began; with `run_at` it says how long that run waited.
    pub claimed_at: Option<Time>,
    /// When it ended.
    pub finished_at: Option<Time>,
    /// From then on the result is gone.
    pub result_expires_at: Option<Time>,
    /// What those who ask for it pay it as.
    pub credit_action: Option<Action>,
}

/// No relations are declared: joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The attempts that failed so far.
    pub fn attempt_errors(&self) -> Vec<AttemptError> {
        serde_json::from_value(self.errors.clone()).unwrap_or_default()
    }

    /// The fence of the current run.
    pub fn fence(&self) -> Fence {
        // Of a job that nobody runs: no run's.
        Fence { id: self.id, run: self.run, worker: self.worker.unwrap_or_default() }
    }

    /// True while it has handed its work to its children and holds no slot.
    pub fn waits_for_children(&self) -> bool {
        self.state == JobState::Running && self.worker.is_none()
    }
}

/// What a run must still own to write anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fence {
    /// The job.
    pub id: Uuid,
    /// The run it was claimed as.
    pub run: i32,
    /// Who claimed it. A claim is not synced to disk: when a database that crashed has forgotten
    /// it, the next claim is a run of the same number, and somebody else's.
    pub worker: Uuid,
}

/// One failed attempt, kept in `jobs.errors`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptError {
    /// Attempt number, from 1.
    pub attempt: i32,
    /// Run number, from 1.
    pub run: i32,
    /// Word.
    pub code: String,
    /// Sentence.
    pub message: String,
    /// When, in milliseconds since 1970.
    pub at: Time,
}

/// Errors kept per job; older ones fall out.
pub const MAX_ATTEMPT_ERRORS: usize = 20;

/// Appends an attempt's error to the list as stored.
pub(crate) fn with_error(job: &Model, code: &str, message: &str, at: Time) -> Json {
    let mut errors = job.attempt_errors();
    errors.push(AttemptError {
        attempt: job.attempt,
        run: job.run,
        code: code.to_owned(),
        message: message.to_owned(),
        at,
    });
    let from = errors.len().saturating_sub(MAX_ATTEMPT_ERRORS);
    serde_json::to_value(&errors[from..]).unwrap_or_default()
}
