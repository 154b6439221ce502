//! The lease: renewed from a thread and a connection of its own, so that neither a busy runtime
//! nor a full pool can cost it. The same trip reads which runs were asked to stop.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use entity::enums::Queue;
use entity::job::end::{self, Settle};
use entity::job::{Fence, cancel};
use entity::worker::{self, NewWorker, Report};
use entity::{Db, DbErr};
use jobs::{Jobs, Signal};
use models::engine::Circuit;
use tokio::sync::{broadcast, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::life::{Life, Runs};
use super::{Deps, EngineConfig, Shared};
use crate::provider::ProfileProvider;
use crate::provider::breaker::CircuitState;

/// How long the main runtime may go without a beat (it beats every second) before the process is
/// given up: every thread of it is blocked, and a renewed lease would keep its jobs for ever.
const LONGEST_SILENCE: Duration = Duration::from_secs(25);

/// Handle on the thread.
#[derive(Debug)]
pub(crate) struct LeaseThread {
    stop: CancellationToken,
    pulse: Arc<AtomicU64>,
    runs: Runs,
}

impl LeaseThread {
    /// Registers the first life and starts the thread.
    pub(crate) async fn start(
        jobs: &Jobs,
        config: &EngineConfig,
        deps: &Deps,
    ) -> Result<(Self, watch::Receiver<Arc<Life>>), DbErr> {
        let db = jobs.db().clone();
        let slots = config.concurrency.values().sum::<usize>() as i32;
        let keeper = Keeper {
            host: host(),
            slots,
            lease: config.lease,
            renew_every: config.renew_every,
            replicas: config.replicas.clone(),
            models: deps.models.clone(),
            provider: serves(config, Queue::Fetch).then(|| deps.provider.clone()),
            kinds: kinds_of(config),
            runs: Runs::default(),
            pulse: Arc::new(AtomicU64::new(0)),
            stop: CancellationToken::new(),
        };
        let handle = Self {
            stop: keeper.stop.clone(),
            pulse: keeper.pulse.clone(),
            runs: keeper.runs.clone(),
        };
        let (started, ready) = oneshot::channel();
        thread::Builder::new()
            .name("farm-lease".to_owned())
            .spawn(move || keeper.run(db, started))
            .map_err(|error| DbErr::Custom(format!("the lease thread did not start: {error}")))?;
        let lives = ready
            .await
            .map_err(|_| DbErr::Custom("the lease thread ended before it began".to_owned()))??;
        Ok((handle, lives))
    }

    pub(crate) fn runs(&self) -> Runs {
        self.runs.clone()
    }

    pub(crate) fn pulse(&self) -> Arc<AtomicU64> {
        self.pulse.clone()
    }

    /// Tells the thread to end; the token wakes it, so it need not be waited for.
    pub(crate) fn stop(self) {
        drop(self);
    }
}

impl Drop for LeaseThread {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

type Started = oneshot::Sender<Result<watch::Receiver<Arc<Life>>, DbErr>>;

struct Keeper {
    host: String,
    slots: i32,
    lease: Duration,
    renew_every: Duration,
    replicas: watch::Sender<u32>,
    models: Option<models::Engine>,
    /// Where profiles come from, when it fetches any.
    provider: Option<Arc<dyn ProfileProvider>>,
    kinds: Vec<&'static str>,
    runs: Runs,
    pulse: Arc<AtomicU64>,
    stop: CancellationToken,
}

impl Keeper {
    fn run(self, db: Db, started: Started) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => runtime.block_on(self.keep(db, started)),
            Err(error) => {
                let _ = started.send(Err(DbErr::Custom(format!("no runtime: {error}"))));
            }
        }
    }

    async fn keep(self, db: Db, started: Started) {
        // Connected here: a connection belongs to the runtime it was opened on.
        let mut db = match db.apart().await {
            Ok(db) => db,
            Err(error) => {
                let _ = started.send(Err(error));
                return;
            }
        };
        let first = Arc::new(Life::new());
        if let Err(error) = self.register(&db, &first).await {
            let _ = started.send(Err(error));
            return;
        }
        self.count_replicas(&db).await;
        let (lives, current) = watch::channel(first);
        let _ = started.send(Ok(current));
        let mut last_beat = (0, Instant::now());
        let mut was_silent = false;
        let mut renewed_at = Instant::now();
        let mut strays = HashSet::new();
        loop {
            let life = lives.borrow().clone();
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = life.dead.cancelled() => {}
                () = tokio::time::sleep(self.renew_every) => {}
            }
            let beat = self.pulse.load(Ordering::Relaxed);
            if beat != last_beat.0 {
                last_beat = (beat, Instant::now());
            }
            // Frozen and thawed, the process has not had the time to beat yet: one more trip.
            if last_beat.1.elapsed() > LONGEST_SILENCE + self.renew_every && was_silent {
                tracing::error!("every thread of the process is blocked; giving it up");
                std::process::abort();
            }
            was_silent = last_beat.1.elapsed() > LONGEST_SILENCE;
            let trip = self.renew(&db, &lives, &life, &mut strays);
            let trip = tokio::time::timeout(self.lease, trip).await;
            if trip.is_err() {
                // Its connection may be one that nobody answers any more: a server that vanished
                // says no goodbye.
                if let Ok(Ok(fresh)) = tokio::time::timeout(self.lease, db.apart()).await {
                    db = fresh;
                }
            }
            match trip {
                Ok(true) => renewed_at = Instant::now(),
                Ok(false) | Err(_) if renewed_at.elapsed() > self.lease => life.dead.cancel(),
                Ok(false) | Err(_) => {}
            }
        }
    }

    /// One trip; true when the lease is good for another round.
    async fn renew(
        &self,
        db: &Db,
        lives: &watch::Sender<Arc<Life>>,
        life: &Arc<Life>,
        strays: &mut HashSet<Fence>,
    ) -> bool {
        let lease_ms = self.lease.as_millis() as i64;
        let renewed = if life.dead.is_cancelled() {
            Ok(false)
        } else {
            worker::renew(db.write(), life.id, lease_ms, self.report()).await
        };
        match renewed {
            Ok(true) => {
                if let Err(error) = self.look_at_runs(db, life, strays).await {
                    tracing::warn!(%error, "the worker's runs could not be read");
                }
                self.count_replicas(db).await;
                true
            }
            Ok(false) => self.start_over(db, lives, life).await,
            Err(error) => {
                tracing::warn!(%error, "the lease was not renewed; trying again");
                false
            }
        }
    }

    /// What it has to say of itself.
    fn report(&self) -> Report {
        let models = self.models.as_ref().map(models::Engine::state);
        let provider = self.provider.as_ref().map(|provider| provider.circuit());
        if let Some(circuit) = &provider {
            let open = match circuit.state {
                CircuitState::Closed => 0,
                CircuitState::HalfOpen => 1,
                CircuitState::Open => 2,
            };
            metrics::gauge!("farm_breaker_state", "dependency" => "provider").set(open);
        }
        if let Some(models) = &models {
            let open = models.tiers.iter().map(|tier| match tier.breaker.state {
                Circuit::Closed => 0,
                Circuit::HalfOpen => 1,
                Circuit::Open => 2,
            });
            let worst = open.max().unwrap_or(0);
            metrics::gauge!("farm_breaker_state", "dependency" => "models").set(worst);
        }
        Report {
            memory_bytes: resident_bytes(),
            ai: models.and_then(|models| serde_json::to_value(models).ok()),
            provider: provider.and_then(|circuit| serde_json::to_value(circuit).ok()),
        }
    }

    async fn count_replicas(&self, db: &Db) {
        if let Ok(alive) = worker::count_live(db.read()).await {
            self.replicas.send_replace(alive.max(1));
        }
    }

    /// Passes stop requests on, and puts back what rows ascribe to this worker although it does
    /// not run it (a claim whose answer was lost): seen on two trips in a row, so that a run
    /// between claim and start is not mistaken for one.
    async fn look_at_runs(
        &self,
        db: &Db,
        life: &Life,
        strays: &mut HashSet<Fence>,
    ) -> Result<(), DbErr> {
        let rows = cancel::runs_of(db.read(), life.id).await?;
        let asked = rows.iter().filter(|row| row.cancel_requested_at.is_some());
        self.runs.request_stop(&asked.map(|row| row.id).collect::<Vec<_>>());
        let unknown: HashSet<Fence> = rows
            .iter()
            .map(|row| Fence { id: row.id, run: row.run, worker: life.id })
            .filter(|fence| !self.runs.has(*fence))
            .collect();
        for fence in unknown.intersection(strays) {
            tracing::warn!(job = %fence.id, "claimed and never started; put back");
            let tx = db.begin().await?;
            end::settle(&tx, *fence, &Settle::PutBack).await?;
            tx.commit().await?;
        }
        *strays = unknown;
        Ok(())
    }

    /// The lease is over: what the worker ran may be somebody else's. Abandons it and starts a
    /// new life.
    async fn start_over(
        &self,
        db: &Db,
        lives: &watch::Sender<Arc<Life>>,
        life: &Arc<Life>,
    ) -> bool {
        tracing::warn!(worker = %life.id, "lease lost; registering anew");
        life.dead.cancel();
        for run in self.runs.all().iter().filter(|run| run.life.id == life.id) {
            run.abandon();
        }
        if let Err(error) = worker::remove(db.write(), life.id).await {
            tracing::warn!(%error, "the lost worker's row stays until it is pruned");
        }
        let next = Arc::new(Life::new());
        match self.register(db, &next).await {
            Ok(()) => {
                lives.send_replace(next);
                true
            }
            Err(error) => {
                tracing::warn!(%error, "registering anew failed; trying again");
                tokio::time::sleep(Duration::from_millis(500)).await;
                false
            }
        }
    }

    async fn register(&self, db: &Db, life: &Life) -> Result<(), DbErr> {
        let tx = db.begin().await?;
        let new = NewWorker {
            id: life.id,
            host: &self.host,
            version: env!("CARGO_PKG_VERSION"),
            kinds: &self.kinds,
            slots: self.slots,
            lease_ms: self.lease.as_millis() as i64,
        };
        worker::register(&tx, &new).await?;
        worker::renew(&tx, life.id, new.lease_ms, self.report()).await?;
        tx.commit().await?;
        tracing::info!(worker = %life.id, host = %self.host, "worker registered");
        Ok(())
    }
}

/// Beats once a second on the main runtime.
pub(crate) async fn beat(pulse: Arc<AtomicU64>) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        pulse.fetch_add(1, Ordering::Relaxed);
    }
}

/// Stop requests also come as signals, so that they arrive at once.
pub(crate) async fn listen_for_stops(shared: Arc<Shared>) {
    let mut signals = shared.jobs.tickets().signals();
    loop {
        match signals.recv().await {
            Ok(Signal::Stop(ids)) => shared.runs.request_stop(&ids),
            Ok(Signal::Changed(_) | Signal::Low(_))
            | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// The kinds that wait in the queues this worker serves. A noop waits in whatever queue it is told.
fn kinds_of(config: &EngineConfig) -> Vec<&'static str> {
    let kinds = jobs::Kind::ALL.iter();
    kinds
        .filter(|kind| serves(config, kind.policy().queue) || **kind == jobs::Kind::Noop)
        .map(|kind| kind.as_str())
        .collect()
}

fn serves(config: &EngineConfig, queue: Queue) -> bool {
    config.concurrency.get(&queue).is_some_and(|slots| *slots > 0)
}

/// Host name and process id, for people who look at the list of workers.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    format!("{}:{}", if name.is_empty() { "localhost" } else { name }, std::process::id())
}

/// Resident memory of this process in bytes, where the system tells.
fn resident_bytes() -> Option<i64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: i64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    // The page size of every supported target.
    Some(pages * 4_096)
}
