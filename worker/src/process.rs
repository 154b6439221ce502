//! The worker as a process: `farm worker`, and the program `worker`.

use std::collections::BTreeMap;

use clap::Args;
use entity::db::Plans;
use entity::enums::Queue;
use jobs::Storage;
use jobs::kinds::profile_fetch::FRESH_FOR;
use jobs::process::{End, Env, Failure, Settings, drained, until_stopped};
use tokio::sync::watch;

use crate::analyzers;
use crate::engine::{Deps, Engine, EngineConfig};
use crate::settings::{WorkerSettings, parse_concurrency};

/// Database connections of this role, beside the one of the lease: claims and ends come in
/// batches, and no run holds one while it waits for the network.
const CONNECTIONS: u32 = 10;

/// What a worker works on.
#[derive(Clone, Debug, Default, Args)]
pub struct WorkerArgs {
    /// Only these queues, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "QUEUE")]
    queues: Vec<Queue>,
    /// Jobs at once per queue, e.g. fetch=8,ai=1; others keep their defaults.
    #[arg(long, value_parser = parse_concurrency, value_name = "QUEUE=N,…")]
    concurrency: Option<Slots>,
}

type Slots = BTreeMap<Queue, usize>;

impl WorkerArgs {
    /// Applies them to the defaults.
    ///
    /// # Errors
    /// When `--concurrency` names a queue that `--queues` leaves out.
    pub fn apply(&self, config: &mut EngineConfig) -> Result<(), Failure> {
        let wanted = |queue: &Queue| self.queues.is_empty() || self.queues.contains(queue);
        for (queue, slots) in self.concurrency.iter().flatten() {
            if !wanted(queue) {
                return Err(Failure::new(format!(
                    "--concurrency names {queue}, which --queues leaves out"
                )));
            }
            config.concurrency.insert(*queue, *slots);
        }
        config.concurrency.retain(|queue, _| wanted(queue));
        Ok(())
    }
}

/// Puts the placeholders where a CDN finds them, beside whatever else begins. One that cannot be
/// put is put by the next worker that starts.
pub fn put_placeholders(storage: &Storage) {
    let storage = storage.clone();
    tokio::spawn(async move {
        if let Err(error) = storage.put_placeholders().await {
            tracing::warn!(%error, %storage, "the placeholders of pictures were not stored");
        }
    });
}

/// Runs the role until it is told to stop, or a job cannot be stopped.
///
/// # Errors
/// A sentence.
pub async fn run(args: WorkerArgs, env: Env, settings: Settings) -> Result<End, Failure> {
    settings.require_cluster("worker")?;
    let worker = WorkerSettings::read(&env)?;
    let mut config = worker.engine();
    args.apply(&mut config)?;
    let _metrics = settings.tell_metrics().await?;
    let redis = settings.redis()?;
    let (replicas, seen) = watch::channel(1);
    config.replicas = replicas;
    let provider = worker.provider(None, redis.clone(), seen)?;
    let db = settings.connect_migrated(CONNECTIONS, Plans::Fresh).await?;
    let jobs = Settings::jobs(db, redis.as_ref());
    // Models cost memory: only where what waits for them is worked on.
    let serves = config.concurrency.contains_key(&Queue::Ai);
    let models = if serves { analyzers::engine(&worker, &settings.data_dir)? } else { None };
    let storage = settings.open_storage()?;
    let slots = config.concurrency.get(&Queue::Media).copied().unwrap_or(0);
    let media = if slots > 0 { worker.media(&storage, slots, None)? } else { None };
    put_placeholders(&storage);
    let deps = Deps {
        provider,
        fresh_for: FRESH_FOR,
        analyze: worker.ai.enabled,
        models,
        storage,
        thumbnails: worker.thumbnails,
        media,
    };
    let engine = Engine::start(jobs, deps, config).await?;
    println!("worker runs");
    let end = until_stopped(engine.stuck()).await?;
    drained(end, engine.shutdown()).await
}
