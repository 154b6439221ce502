//! Figures of the farm as it is now, for dashboards.

use std::collections::BTreeMap;

use entity::post::analysis as posts;
use entity::worker::Worker;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use poem::web::Data;
use poem::web::sse::Event;
use poem_openapi::payload::{EventStream, Json};
use poem_openapi::types::ToJSON;
use poem_openapi::{ApiResponse, Object, OpenApi};

use super::events::HEARTBEAT;
use super::health::{Performance, rounded};
use super::queues::QueueHead;
use crate::identity::Caller;
use crate::problem::Problem;
use crate::routes::Tag;
use crate::state::AppState;
use crate::trusted::sample::{self, LOOK_EVERY, Look};

/// How far back the figures of the analysis reach, in milliseconds: an hour.
const WINDOW_MS: i64 = 3_600_000;

/// Figures.
#[derive(Debug)]
pub struct Metrics;

/// The farm now.
#[derive(Clone, Debug, Object)]
struct MetricsView {
    /// What this process answered within the last minute.
    requests: Performance,
    /// Profiles that were read a moment ago.
    cache: CacheCounts,
    /// The analysis of captions.
    ai: AiActivity,
    /// What waits and runs, by queue.
    queues: Vec<QueueHead>,
    /// Who works.
    workers: WorkerCounts,
    /// This process's connections to the database.
    database: PoolCounts,
    /// How full this process's machine is.
    system: Fullness,
    /// 0 to 100, as `/api/health` has it.
    health_score: f64,
}

/// Where the profiles came from that this process has shown since it began.
#[derive(Clone, Debug, Object)]
struct CacheCounts {
    /// From memory.
    hits: i64,
    /// From the database.
    misses: i64,
    /// Hits of both, 0 to 1; null of none.
    hit_rate: Option<f64>,
}

/// Connections to the database.
#[derive(Clone, Debug, Object)]
struct PoolCounts {
    /// Open.
    connections: i64,
    /// Of them, those that nobody uses.
    idle: i64,
    /// How many there may be.
    max: i64,
}

/// How full a machine is, in percent; null where it does not tell.
#[derive(Clone, Debug, Object)]
#[allow(clippy::struct_field_names)] // figures say their unit
struct Fullness {
    /// Busy processors, over the last minute.
    cpu_percent: Option<f64>,
    /// Memory, of the container when it has a limit.
    memory_percent: Option<f64>,
    /// The disk with the data dir.
    disk_percent: Option<f64>,
}

#[derive(ApiResponse)]
enum MetricsStream {
    /// Figures of the farm; `event` is `metrics`.
    #[oai(status = 200)]
    Stream(EventStream<BoxStream<'static, MetricsView>>),
}

/// Workers whose lease is live.
#[derive(Clone, Debug, Object)]
struct WorkerCounts {
    /// How many.
    alive: i64,
    /// Of them, those that take no new work.
    draining: i64,
    /// Jobs that the others run at once, over all queues.
    slots: i64,
}

/// How the analysis is doing, for everybody.
#[derive(Clone, Debug, Object)]
pub(crate) struct AiActivity {
    /// What waits and runs.
    pub(crate) queue: QueueHead,
    /// Workers that take such jobs.
    pub(crate) workers: i64,
    /// Captions that wait for the models, over all workers.
    pub(crate) captions_waiting: i64,
    /// Captions the models have under way, over all workers.
    pub(crate) captions_running: i64,
    /// How many of them a batch holds: the middle one of the last 128 batches of a worker, of all
    /// workers the middle one; null when none was computed.
    pub(crate) batch_size: Option<i64>,
    /// Captions computed an hour, over the last minute, over all workers.
    pub(crate) captions_per_hour: f64,
    /// Stored posts that were analysed within the last hour, and are analysed still.
    pub(crate) posts_last_hour: i64,
    /// Those posts by who answered: rules, lite, full.
    pub(crate) tiers_last_hour: BTreeMap<String, i64>,
    /// Captions computed since the workers began, by who answered.
    pub(crate) captions_done: BTreeMap<String, i64>,
    /// Captions that have no answer, since the workers began.
    pub(crate) captions_failed: i64,
}

#[OpenApi(prefix_path = "/api", tag = "Tag::Health")]
impl Metrics {
    /// Figures
    ///
    /// Looked at every 5 s: requests, cache, the analysis of captions, queues, workers,
    /// connections, and the machine. Requests, cache, connections and machine are those of the
    /// process that answers.
    #[oai(path = "/metrics", method = "get", operation_id = "get_metrics")]
    async fn metrics(
        &self,
        state: Data<&AppState>,
        _caller: Caller,
    ) -> Result<Json<MetricsView>, Problem> {
        let look = sample::newest(&state).await;
        MetricsView::of(&look).map(Json).ok_or_else(Problem::database_away)
    }

    /// Figures, as they change
    ///
    /// Server-sent events, every 5 s: the same as `/api/metrics`. While the database is away none
    /// comes. A comment comes every 15 s; the stream ends with the access it was opened with:
    /// after 30 minutes at most.
    #[oai(path = "/streaming/metrics", method = "get", operation_id = "stream_metrics")]
    async fn stream(
        &self,
        state: Data<&AppState>,
        caller: Caller,
    ) -> Result<MetricsStream, Problem> {
        let mut next = tokio::time::interval(LOOK_EVERY);
        next.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let looks = stream::unfold((state.0.clone(), next), |(state, mut next)| async move {
            next.tick().await;
            let look = sample::newest(&state).await;
            Some((look, (state, next)))
        });
        let views = looks.filter_map(|look| async move { MetricsView::of(&look) });
        let views = views.take_until(caller.0.over(state.0.clone())).boxed();
        let events = EventStream::new(views).keep_alive(HEARTBEAT).to_event(|view| event(&view));
        Ok(MetricsStream::Stream(events))
    }
}

fn event(view: &MetricsView) -> Event {
    Event::message(view.to_json_string()).event_type("metrics")
}

impl MetricsView {
    /// `None` while the database does not answer.
    fn of(look: &Look) -> Option<Self> {
        let sample = &look.sample;
        let farm = sample.farm.as_ref()?;
        let slots = farm.working().map(|worker| i64::from(worker.slots)).sum();
        let (alive, working) = (farm.live.len() as i64, farm.working().count() as i64);
        let (hits, misses) = sample.cached;
        let asked = hits + misses;
        let percent = |share: Option<f64>| share.map(|share| rounded(share, 1));
        Some(Self {
            requests: Performance::of(&sample.minute),
            cache: CacheCounts {
                hits: hits as i64,
                misses: misses as i64,
                hit_rate: (asked > 0).then(|| rounded(hits as f64 / asked as f64, 4)),
            },
            ai: farm.ai.clone(),
            queues: farm.queues.clone(),
            workers: WorkerCounts { alive, draining: alive - working, slots },
            database: PoolCounts {
                connections: sample.pool.open.into(),
                idle: sample.pool.idle.into(),
                max: sample.pool.most.into(),
            },
            system: Fullness {
                cpu_percent: percent(sample.machine.cpu),
                memory_percent: percent(sample.machine.memory),
                disk_percent: percent(sample.machine.disk),
            },
            health_score: rounded(look.judgement.score, 1),
        })
    }
}

/// How the analysis of captions is doing: its queue, and what the workers that live say.
pub(crate) async fn analysis(
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
