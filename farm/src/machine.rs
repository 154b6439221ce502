//! Everything one process on one machine is made of: database, tickets, workers, scheduler, API,
//! and the demo provider when no other is configured.

use std::net::SocketAddr;
use std::path::PathBuf;

use api::process::FrontDoor;
use entity::Db;
use entity::db::Plans;
use entity::enums::Queue;
use jobs::process::{Failure, Settings as Common, spawn_part};
use jobs::{Jobs, Storage};
use migration::{Migrator, MigratorTrait};
use scheduler::{Scheduler, UpkeepConfig};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;
use worker::{Deps, Engine};

pub use jobs::kinds::profile_fetch::FRESH_FOR;

use crate::config::Settings;
use crate::demo::{DemoOptions, DemoProvider};
use crate::seed;

/// Database connections of a process that plays all roles.
const CONNECTIONS: u32 = 10;
/// Port of the demo provider when it is free.
pub const DEMO_PORT: u16 = 8100;

/// A running machine.
#[derive(Debug)]
pub struct Machine {
    /// Work.
    pub jobs: Jobs,
    /// Where the API answers.
    pub http: SocketAddr,
    /// The provider, when it is ours.
    pub demo: Option<DemoProvider>,
    /// Where files lie.
    pub storage: Storage,
    /// Whether pictures are brought to the CDN.
    pub pictures: bool,
    engines: Vec<Engine>,
    stop: CancellationToken,
    front: FrontDoor,
    scheduler: JoinHandle<()>,
    /// Fires when there is no scheduler any more.
    gone: CancellationToken,
}

/// Opens the database, with its folder, and brings its tables up to date.
pub async fn open_database(settings: &Settings) -> Result<Db, Failure> {
    make_data_dir(&settings.common.data_dir)?;
    let db = settings.common.connect(CONNECTIONS, Plans::Fresh).await?;
    let tables = db.for_migrations().await?;
    Migrator::up(&tables, None).await.map_err(Failure::during("migrations failed"))?;
    Ok(db)
}

/// Opens a database that is there already, with its tables up to date: for commands that look.
pub async fn open_existing(settings: &Settings) -> Result<Db, Failure> {
    if !database_exists(settings) {
        let path = settings.common.data_dir.join("farm.db");
        let hint = format!("there is no database at {}; farm up makes one", path.display());
        return Err(Failure::new(hint));
    }
    settings.common.connect_migrated(2, Plans::Kept).await
}

/// Whether there is anything to open; a server is asked, a file is looked for.
pub fn database_exists(settings: &Settings) -> bool {
    !settings.common.is_demo() || settings.common.data_dir.join("farm.db").exists()
}

/// Makes the data dir, readable by its owner only.
pub fn make_data_dir(path: &PathBuf) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(Failure::during(format!("{} cannot be made", path.display())))
}

impl Machine {
    /// Starts everything. `workers` registers that many workers in this process.
    pub async fn start(settings: &Settings, workers: usize) -> Result<Self, Failure> {
        let db = open_database(settings).await?;
        if seed::wanted(settings) {
            seed::demo_users(&db).await?;
        }
        let redis = settings.common.redis()?;
        let demo = match settings.worker.decodo {
            Some(_) => None,
            None => Some(start_demo().await?),
        };
        let base = demo.as_ref().map(|demo| Url::parse(&demo.base_url()));
        let base = base.transpose().map_err(Failure::during("demo provider"))?;
        let (replicas, seen) = watch::channel(1);
        let provider = settings.worker.provider(base, redis.clone(), seen)?;
        let ai = &settings.worker.ai;
        let models = worker::analyzers::engine(&settings.worker, &settings.common.data_dir)?;
        let storage = settings.common.open_storage()?;
        let slots = settings.worker.engine().concurrency.get(&Queue::Media).copied();
        let ours = demo.as_ref().map(|demo| demo.addr().to_string().parse()).transpose();
        let ours = ours.map_err(Failure::new)?;
        let media = settings.worker.media(&storage, slots.unwrap_or(1) * workers.max(1), ours)?;
        worker::process::put_placeholders(&storage);
        let deps = Deps {
            provider,
            fresh_for: FRESH_FOR,
            analyze: ai.enabled,
            models,
            storage: storage.clone(),
            // Nobody else would.
            thumbnails: media.is_some(),
            media,
        };
        let jobs = Common::jobs(db, redis.as_ref());
        let front =
            FrontDoor::open(&settings.common, &settings.api, jobs.clone(), redis.as_ref()).await?;

        let mut engines = vec![];
        for _ in 0..workers.max(1) {
            let mut config = settings.worker.engine();
            config.replicas = replicas.clone();
            engines.push(Engine::start(jobs.clone(), deps.clone(), config).await?);
        }
        let stop = CancellationToken::new();
        let scheduler = Scheduler::new(jobs.clone(), UpkeepConfig::default())
            .map_err(Failure::during("the schedule"))?;
        let (scheduler, gone) = spawn_part(scheduler.run_until(stop.clone()));
        let (http, pictures) = (front.addr, deps.media.is_some());
        Ok(Self { jobs, http, demo, storage, pictures, engines, stop, front, scheduler, gone })
    }

    /// Resolves when a run could not be ended, or a part is gone: the process must be replaced.
    pub async fn stuck(&self) {
        let stuck = self.engines.iter().map(|engine| Box::pin(engine.stuck()));
        tokio::select! {
            _ = futures_util::future::select_all(stuck) => {}
            () = self.front.gone.cancelled() => {}
            () = self.gone.cancelled() => {}
        }
    }

    /// Stops taking requests and jobs, lets what runs finish within its grace, puts the rest
    /// back.
    pub async fn shutdown(self) {
        self.front.stop();
        let engines = self.engines.into_iter().map(Engine::shutdown);
        futures_util::future::join_all(engines).await;
        self.stop.cancel();
        let _ = self.scheduler.await;
        self.front.close().await;
        if let Some(demo) = self.demo {
            demo.stop().await;
        }
        if let Err(error) = self.jobs.db().clone().close().await {
            tracing::warn!(%error, "the database did not close cleanly");
        }
    }
}

/// On its usual port, or on any when that is taken.
async fn start_demo() -> Result<DemoProvider, Failure> {
    let usual = DemoOptions {
        addr: SocketAddr::from(([127, 0, 0, 1], DEMO_PORT)),
        ..DemoOptions::default()
    };
    if let Ok(demo) = DemoProvider::start(usual).await {
        return Ok(demo);
    }
    tracing::info!(port = DEMO_PORT, "port taken; the demo provider takes another");
    let any = DemoOptions { addr: SocketAddr::from(([127, 0, 0, 1], 0)), ..DemoOptions::default() };
    DemoProvider::start(any).await.map_err(Failure::during("the demo provider did not start"))
}
