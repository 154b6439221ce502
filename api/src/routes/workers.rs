//! Workers, for operators: who they are and what they run; and what the tables contradict.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use poem::web::Data;
use poem::web::sse::Event;
use poem_openapi::payload::{EventStream, Json};
use poem_openapi::types::ToJSON;
use poem_openapi::{ApiResponse, Object, OpenApi};
use uuid::Uuid;

use super::events::HEARTBEAT;
use super::queues::QueueHead;
use crate::identity::Operator;
use crate::problem::Problem;
use crate::routes::Tag;
use crate::state::AppState;
pub use crate::trusted::workers::{contradictions, workers};

/// Workers.
#[derive(Debug)]
pub struct Workers;

/// Who works.
#[derive(Clone, Debug, PartialEq, Object)]
pub struct Overview {
    /// Newest first. A worker that was lost is shown until upkeep forgets it, an hour later.
    pub workers: Vec<WorkerView>,
}

/// A worker.
#[derive(Clone, Debug, PartialEq, Object)]
pub struct WorkerView {
    /// New for every registration.
    pub id: Uuid,
    /// Host name and process id.
    pub host: String,
    /// Version of the program.
    pub version: String,
    /// Whether its lease is live; what a lost worker ran is rescued.
    pub alive: bool,
    /// It takes no new work.
    pub draining: bool,
    /// Jobs it runs at once, over all queues.
    pub slots: i32,
    /// Kinds it runs.
    pub kinds: Vec<String>,
    /// Resident memory, as last reported; null when its system does not tell.
    pub memory_bytes: Option<i64>,
    /// When it registered; RFC 3339.
    pub started_at: String,
    /// When it last renewed its lease; RFC 3339.
    pub last_heartbeat_at: Option<String>,
    /// What it runs now, longest first.
    pub jobs: Vec<RunView>,
}

/// A job on a worker.
#[derive(Clone, Debug, PartialEq, Object)]
pub struct RunView {
    /// The job.
    pub id: Uuid,
    /// What it is.
    pub kind: String,
    /// Where it waited.
    pub queue: String,
    /// Which attempt it is.
    pub attempt: i32,
    /// The stage it is in.
    pub stage: Option<String>,
    /// How long this run has taken; null when nobody noted its begin.
    pub elapsed_ms: Option<i64>,
}

/// What operators watch.
#[derive(Clone, Debug, PartialEq, Object)]
pub struct LiveView {
    /// Counts what this process has seen; the same sample has the same number in every stream.
    pub number: i64,
    /// When it was looked at; RFC 3339.
    pub at: String,
    /// Who works.
    pub workers: Vec<WorkerView>,
    /// What waits.
    pub queues: Vec<QueueHead>,
}

#[derive(ApiResponse)]
enum LiveStream {
    /// Workers and queues; `event` is `overview`.
    #[oai(status = 200)]
    Stream(EventStream<BoxStream<'static, LiveView>>),
}

/// What contradicts itself.
#[derive(Clone, Debug, Object)]
pub struct Integrity {
    /// True when nothing has to be mended.
    pub clean: bool,
    /// How many rows each question found; 0 is the only good answer. Kinds without a worker are
    /// reported only: the worker may be on its way.
    pub findings: BTreeMap<String, i64>,
}

#[OpenApi(prefix_path = "/api/v1", tag = "Tag::Operators")]
impl Workers {
    /// Workers
    ///
    /// Every worker of the farm, with what it runs.
    #[oai(path = "/workers/overview", method = "get", operation_id = "get_workers_overview")]
    async fn overview(
        &self,
        state: Data<&AppState>,
        _operator: Operator,
    ) -> Result<Json<Overview>, Problem> {
        Ok(Json(Overview { workers: workers(&state).await? }))
    }

    /// Workers and queues, as they change
    ///
    /// Server-sent events: at once, when something changes, and every 2 s. A comment comes every
    /// 15 s; the stream ends with the access it was opened with: after 30 minutes at most.
    #[oai(path = "/workers/live-stream", method = "get", operation_id = "get_workers_live_stream")]
    async fn live_stream(
        &self,
        state: Data<&AppState>,
        operator: Operator,
    ) -> Result<LiveStream, Problem> {
        let samples = state.live.listen(&state);
        let samples = stream::unfold(samples, |mut samples| async move {
            loop {
                samples.changed().await.ok()?;
                let sample = samples.borrow_and_update().clone();
                if let Some(sample) = sample {
                    return Some((LiveView::clone(&sample), samples));
                }
            }
        });
        let samples = samples.take_until(operator.0.over(state.0.clone())).boxed();
        let events =
            EventStream::new(samples).keep_alive(HEARTBEAT).to_event(|sample| event(&sample));
        Ok(LiveStream::Stream(events))
    }

    /// What contradicts itself
    ///
    /// What the reconciler would find now. It looks every minute and mends what it finds.
    #[oai(path = "/integrity", method = "get", operation_id = "get_integrity")]
    async fn integrity(
        &self,
        state: Data<&AppState>,
        _operator: Operator,
    ) -> Result<Json<Integrity>, Problem> {
        Ok(Json(contradictions(&state).await?))
    }
}

fn event(sample: &LiveView) -> Event {
    Event::message(sample.to_json_string()).event_type("overview").id(sample.number.to_string())
}
