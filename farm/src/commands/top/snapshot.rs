//! What `farm top` shows, through the same views as the API.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::commands::Desk;
use api::routes::queues::{self, QueueMeasures, QueueView};
use api::routes::workers::{self, Integrity, WorkerView};
use entity::job::dead;
use entity::{DbErr, Time, clock};
use jobs::process::Failure;
use poem_openapi::types::ToJSON;
use serde_json::{Value, json};

/// One look at the farm.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    /// The database's time.
    pub(super) at: Time,
    pub(super) dead: i64,
    pub(super) integrity: Integrity,
    pub(super) queues: Vec<QueueView>,
    pub(super) workers: Vec<WorkerView>,
}

impl Snapshot {
    /// Jobs that have not ended.
    pub(super) fn open(&self) -> i64 {
        let heads = self.queues.iter().map(|queue| &queue.head);
        heads.map(|h| h.queued + h.retrying + h.running + h.waiting_for_children).sum()
    }

    /// Jobs that end per minute, in all queues; none when nothing was measured.
    pub(super) fn per_minute(&self) -> Option<f64> {
        let rates: Vec<f64> =
            self.queues.iter().filter_map(|queue| queue.measured.throughput_per_minute).collect();
        (!rates.is_empty()).then(|| rates.iter().sum())
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "at": self.at.rfc3339(),
            "jobs_open": self.open(),
            "throughput_per_minute": self.per_minute(),
            "dead": self.dead,
            "integrity": self.integrity.to_json(),
            "queues": self.queues.to_json(),
            "workers": self.workers.to_json(),
        })
    }
}

/// What costs the database more than a glance, kept for a while.
#[derive(Debug)]
struct Costly {
    dead: i64,
    integrity: Integrity,
    measures: HashMap<String, QueueMeasures>,
    until: Instant,
}

/// How long it is kept at least.
const KEPT: Duration = Duration::from_secs(5);
/// It is kept so many times as long as it took: who watches must not be a load.
const SHARE: u32 = 20;

/// Looks, again and again.
#[derive(Debug)]
pub(super) struct Looker {
    state: Desk,
    costly: Option<Costly>,
}

impl Looker {
    pub(super) fn new(state: Desk) -> Self {
        Self { state, costly: None }
    }

    pub(super) async fn look(&mut self) -> Result<Snapshot, Failure> {
        Ok(self.seen().await?)
    }

    async fn seen(&mut self) -> Result<Snapshot, DbErr> {
        let state = &self.state;
        let at = clock::now(state.db().read()).await?;
        let workers = workers::workers(state).await?;
        let heads = queues::heads(state).await?;
        let costly = match self.costly.take().filter(|costly| Instant::now() < costly.until) {
            Some(fresh) => fresh,
            None => costly(state, heads.iter().map(|head| head.name.as_str())).await?,
        };
        let mut views = vec![];
        for head in heads {
            let measured = match costly.measures.get(&head.name) {
                Some(measured) => measured.clone(),
                // A queue that was not there before.
                None => queues::measures(state, &head.name).await?,
            };
            views.push(QueueView { head, measured });
        }
        let (dead, integrity) = (costly.dead, costly.integrity.clone());
        self.costly = Some(costly);
        Ok(Snapshot { at, dead, integrity, queues: views, workers })
    }
}

async fn costly(state: &Desk, names: impl Iterator<Item = &str>) -> Result<Costly, DbErr> {
    let began = Instant::now();
    let dead = dead::count(state.db().read()).await?;
    let integrity = workers::contradictions(state).await?;
    let mut measures = HashMap::new();
    for name in names {
        measures.insert(name.to_owned(), queues::measures(state, name).await?);
    }
    let kept = KEPT.max(began.elapsed() * SHARE);
    Ok(Costly { dead, integrity, measures, until: Instant::now() + kept })
}
