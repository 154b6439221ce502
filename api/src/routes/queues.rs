//! Queues, for operators: what waits, how long, and the switch that stops them.

use entity::enums::Queue;
use entity::queue_control;
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
pub use crate::trusted::queues::{all, head, heads, measures, one};

/// Queues.
#[derive(Debug)]
pub struct Queues;

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
        let scope = state.scope(&operator.0);
        queue_control::pause(scope.write(), queue.as_str(), &operator.0.user.email, &reason)
            .await?;
        tracing::info!(queue = %queue, operator = %operator.0.user.id, "queue paused");
        state.look_again();
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
        if queue_control::resume(state.scope(&operator.0).write(), queue.as_str()).await? {
            tracing::info!(queue = %queue, operator = %operator.0.user.id, "queue resumed");
            state.look_again();
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
