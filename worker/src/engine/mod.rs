//! The engine: claims jobs by ticket, runs each as its own task under a lease, and writes its
//! end. apalis drives the runs ([`queue`]); what is promised about them is kept here.
//!
//! Start reading at [`Engine::start`], then [`record`] (how a run ends).

mod claim;
mod context;
mod deadline;
mod error;
mod finisher;
mod lease;
mod life;
mod progress;
mod queue;
mod record;
mod run;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use entity::enums::Queue;
use jobs::{Jobs, Storage};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) use context::Ended;
pub use context::{Checkpoint, Commit, Done, JobContext};
pub use error::JobError;
pub use run::Run;

use crate::media::Media;
use crate::provider::ProfileProvider;

/// What handlers work with.
#[derive(Clone)]
pub struct Deps {
    /// Where profiles come from.
    pub provider: Arc<dyn ProfileProvider>,
    /// A stored profile younger than this is not fetched again unless forced.
    pub fresh_for: Duration,
    /// Whether fetched posts are analysed.
    pub analyze: bool,
    /// Who analyses captions; `None` where nobody does: then that queue is not served.
    pub models: Option<models::Engine>,
    /// Where files lie.
    pub storage: Storage,
    /// Whether the pictures of fetched profiles are brought to the CDN.
    pub thumbnails: bool,
    /// Who works on pictures; `None` where nobody does: then that queue is not served.
    pub media: Option<Media>,
}

impl std::fmt::Debug for Deps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deps").field("fresh_for", &self.fresh_for).finish_non_exhaustive()
    }
}

/// How a worker runs.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Jobs at once, per queue.
    pub concurrency: BTreeMap<Queue, usize>,
    /// How long a worker lives without renewing.
    pub lease: Duration,
    /// How often it renews.
    pub renew_every: Duration,
    /// How long running jobs may go on at shutdown.
    pub grace: Duration,
    /// How long a handler may ignore its timeout.
    pub overrun: Duration,
    /// No attempt may take longer, whatever its kind's policy allows.
    pub longest: Duration,
    /// Told at every renewal how many workers live, for limits that are shared.
    pub replicas: watch::Sender<u32>,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            concurrency: [
                (Queue::Fetch, 8),
                // What several jobs ask is computed together.
                (Queue::Ai, 4),
                (Queue::Media, 2),
                (Queue::Export, 1),
                (Queue::Upkeep, 2),
            ]
            .into(),
            lease: Duration::from_secs(10),
            renew_every: Duration::from_secs(3),
            grace: Duration::from_secs(25),
            overrun: Duration::from_secs(10),
            longest: Duration::from_secs(3_600),
            replicas: watch::channel(1).0,
        }
    }
}

/// What all parts of one worker share.
pub(crate) struct Shared {
    pub(crate) jobs: Jobs,
    pub(crate) deps: Deps,
    pub(crate) config: EngineConfig,
    /// The current registration; replaced when a lease is lost.
    pub(crate) life: watch::Receiver<Arc<life::Life>>,
    pub(crate) runs: life::Runs,
    pub(crate) finisher: finisher::Finisher,
    pub(crate) progress: progress::ProgressBook,
    /// No new claims.
    pub(crate) stop: CancellationToken,
    /// A run could not be ended: the process must be replaced.
    pub(crate) stuck: CancellationToken,
}

/// A running worker.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
    lease: lease::LeaseThread,
    queues: Vec<JoinHandle<()>>,
    background: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Engine {
    /// Registers the worker and starts taking jobs.
    ///
    /// # Errors
    /// When the worker cannot be registered.
    pub async fn start(
        jobs: Jobs,
        deps: Deps,
        mut config: EngineConfig,
    ) -> Result<Self, entity::DbErr> {
        if deps.models.is_none() {
            config.concurrency.remove(&Queue::Ai);
        }
        if deps.media.is_none() {
            config.concurrency.remove(&Queue::Media);
        }
        let (lease, life) = lease::LeaseThread::start(&jobs, &config, &deps).await?;
        let progress = progress::ProgressBook::default();
        let shared = Arc::new(Shared {
            finisher: finisher::Finisher::start(jobs.clone()),
            runs: lease.runs(),
            jobs,
            deps,
            config,
            life,
            progress,
            stop: CancellationToken::new(),
            stuck: CancellationToken::new(),
        });
        let background = vec![
            tokio::spawn(progress::flush_every_second(shared.clone())),
            tokio::spawn(lease::listen_for_stops(shared.clone())),
            tokio::spawn(lease::beat(lease.pulse())),
            tokio::spawn(watch_models(shared.clone())),
        ];
        let queues = shared
            .config
            .concurrency
            .iter()
            .filter(|(_, slots)| **slots > 0)
            .map(|(queue, slots)| queue::start(shared.clone(), *queue, *slots))
            .collect();
        Ok(Self { shared, lease, queues, background })
    }

    /// Resolves when a run could not be ended and the process must be replaced.
    pub async fn stuck(&self) {
        self.shared.stuck.cancelled().await;
    }

    /// Jobs running now.
    pub fn running(&self) -> usize {
        self.shared.runs.len()
    }

    /// Stops claiming, lets running jobs finish for the grace period, puts the rest back with
    /// their attempt, and signs off.
    pub async fn shutdown(self) {
        let Self { shared, lease, queues, background } = self;
        shared.stop.cancel();
        let life = shared.life.borrow().clone();
        if let Err(error) = entity::worker::drain(shared.jobs.db().write(), life.id).await {
            tracing::warn!(%error, "draining could not be announced");
        }
        let idle = tokio::time::timeout(shared.config.grace, shared.runs.idle()).await;
        if idle.is_err() {
            shared.put_back().await;
        }
        for queue in queues {
            // A run that cannot be ended must not hold the process.
            if tokio::time::timeout(Duration::from_secs(2), queue).await.is_err() {
                tracing::warn!("a queue did not stop in time");
            }
        }
        lease.stop();
        if let Err(error) = entity::worker::remove(shared.jobs.db().write(), life.id).await {
            tracing::warn!(%error, "the worker could not sign off; its lease will run out");
        }
        for task in background {
            task.abort();
        }
        tracing::info!(worker = %life.id, "worker stopped");
    }
}

/// The process is replaced when its models say that only a fresh one can go on.
async fn watch_models(shared: Arc<Shared>) {
    let Some(models) = &shared.deps.models else { return };
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        if let Some(why) = models.state().replace {
            tracing::error!(why, "the models cannot go on in this process");
            shared.stuck.cancel();
            return;
        }
    }
}

impl Shared {
    /// Puts every run back in the queue, then stops its task. The row goes first: a task that
    /// ends in between finds its fence lost.
    async fn put_back(&self) {
        for run in self.runs.all() {
            let settled = self.settle(run.fence, &entity::job::end::Settle::PutBack).await;
            match settled {
                Ok(_) => tracing::info!(job = %run.fence.id, "put back at shutdown"),
                Err(error) => tracing::warn!(job = %run.fence.id, %error, "could not be put back"),
            }
            run.abandon();
        }
    }

    /// Ends a run that did not succeed, in a transaction of its own, and tells those who wait.
    pub(crate) async fn settle(
        &self,
        fence: entity::job::Fence,
        outcome: &entity::job::end::Settle,
    ) -> Result<Option<entity::job::end::Settled>, entity::DbErr> {
        let settling = async {
            let tx = self.jobs.db().begin().await?;
            let settled = entity::job::end::settle(&tx, fence, outcome).await?;
            tx.commit().await?;
            Ok(settled)
        };
        let settled = entity::db::answered(settling).await?;
        if let Some(settled) = &settled {
            if settled.job.state == entity::enums::JobState::Queued {
                let job = &settled.job;
                // Only due rows: a snooze comes back through upkeep.
                if !matches!(outcome, entity::job::end::Settle::Snooze { .. }) {
                    let ticket = (job.id, job.queue.as_str(), job.priority);
                    self.jobs.push(std::iter::once(ticket)).await;
                }
            }
            self.jobs.changed(settled.changed.clone());
        }
        Ok(settled)
    }
}
