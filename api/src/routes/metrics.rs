//! Figures of the farm as it is now, for dashboards.

use std::collections::BTreeMap;

use entity::post::analysis as posts;
use entity::worker::Worker;
use jobs::Kind;
use poem::web::Data;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};

use super::queues::{self, QueueHead};
use crate::identity::Caller;
use crate::problem::Problem;
use crate::routes::Tag;
use crate::state::AppState;

/// How far back the figures of the analysis reach, in milliseconds: an hour.
const WINDOW_MS: i64 = 3_600_000;

/// Figures.
#[derive(Debug)]
pub struct Metrics;

/// The farm now.
#[derive(Debug, Object)]
struct MetricsView {
    /// The analysis of captions.
    ai: AiActivity,
    /// What waits and runs, by queue.
    queues: Vec<QueueHead>,
    /// Who works.
    workers: WorkerCounts,
}

/// Workers whose lease is live.
#[derive(Debug, Object)]
struct WorkerCounts {
    /// How many.
    alive: i64,
    /// Of them, those that take no new work.
    draining: i64,
    /// Jobs that the others run at once, over all queues.
    slots: i64,
}

/// How the analysis is doing, for everybody.
#[derive(Debug, Object)]
pub(super) struct AiActivity {
    /// What waits and runs.
    queue: QueueHead,
    /// Workers that take such jobs.
    workers: i64,
    /// Captions that wait for the models, over all workers.
    captions_waiting: i64,
    /// Captions the models have under way, over all workers.
    captions_running: i64,
    /// How many of them a batch holds: the middle one of the last 128 batches of a worker, of all
    /// workers the middle one; null when none was computed.
    batch_size: Option<i64>,
    /// Captions computed an hour, over the last minute, over all workers.
    captions_per_hour: f64,
    /// Stored posts that were analysed within the last hour, and are analysed still.
    posts_last_hour: i64,
    /// Those posts by who answered: rules, lite, full.
    tiers_last_hour: BTreeMap<String, i64>,
    /// Captions computed since the workers began, by who answered.
    captions_done: BTreeMap<String, i64>,
    /// Captions that have no answer, since the workers began.
    captions_failed: i64,
}

#[OpenApi(prefix_path = "/api", tag = "Tag::Health")]
impl Metrics {
    /// Figures
    ///
    /// The analysis of captions, queues and workers, as they are now.
    #[oai(path = "/metrics", method = "get", operation_id = "get_metrics")]
    async fn metrics(
        &self,
        state: Data<&AppState>,
        _caller: Caller,
    ) -> Result<Json<MetricsView>, Problem> {
        let queues = queues::heads(&state).await?;
        let live = state.live_workers().await?;
        let named = Kind::ProfileAnalysis.policy().queue.as_str();
        let queue = queues.iter().find(|queue| queue.name == named).cloned();
        let ai = analysis(&state, queue.ok_or_else(Problem::internal)?, &live).await?;
        let working = live.iter().filter(|worker| !worker.draining);
        let slots = working.clone().map(|worker| i64::from(worker.slots)).sum();
        let (alive, working) = (live.len() as i64, working.count() as i64);
        let workers = WorkerCounts { alive, draining: alive - working, slots };
        Ok(Json(MetricsView { ai, queues, workers }))
    }
}

/// How the analysis of captions is doing: its queue, and what the workers that live say.
pub(super) async fn analysis(
    state: &AppState,
    queue: QueueHead,
    live: &[Worker],
) -> Result<AiActivity, Problem> {
    let stored = posts::tiers_within(state.common().read(), WINDOW_MS).await?;
    let working = live.iter().filter(|worker| !worker.draining);
    let states: Vec<_> = working.filter_map(Worker::ai_state).collect();
    let mut sizes: Vec<i64> = states.iter().filter_map(|state| state.batch_p50).collect();
    sizes.sort_unstable();
    let mut captions_done = BTreeMap::new();
    for (tier, captions) in states.iter().flat_map(|state| &state.done) {
        *captions_done.entry(tier.clone()).or_default() += captions;
    }
    Ok(AiActivity {
        queue,
        workers: states.len() as i64,
        captions_waiting: states.iter().map(|state| state.queue).sum(),
        captions_running: states.iter().map(|state| state.running).sum(),
        batch_size: sizes.get(sizes.len().saturating_sub(1) / 2).copied(),
        // The sum of none would be -0.
        captions_per_hour: states.iter().map(|state| state.posts_per_hour).fold(0.0, |a, b| a + b),
        posts_last_hour: stored.iter().map(|tier| tier.posts).sum(),
        tiers_last_hour: stored.into_iter().map(|tier| (tier.tier, tier.posts)).collect(),
        captions_done,
        captions_failed: states.iter().map(|state| state.offences).sum(),
    })
}
