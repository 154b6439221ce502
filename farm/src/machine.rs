//! Everything one process on one machine is made of: database, tickets in memory, workers,
//! upkeep, API, and the demo provider when no other is configured.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::{AppState, Issuer};
use entity::Db;
use jobs::Jobs;
use jobs::memory::MemoryTickets;
use migration::{Migrator, MigratorTrait};
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::{Endpoint, Response, Server};
use scheduler::{Upkeep, UpkeepConfig};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;
use worker::provider::{Decodo, DecodoConfig, ProfileProvider, Secret};
use worker::{Deps, Engine, EngineConfig};

use crate::config::Settings;
use crate::demo::{DemoOptions, DemoProvider};
use crate::failure::Failure;
use crate::seed;

/// A stored profile younger than this is fresh: 24 h.
pub const FRESH_FOR: Duration = Duration::from_secs(24 * 3_600);
/// Port of the demo provider when it is free.
pub const DEMO_PORT: u16 = 8100;
/// How long open requests may take at shutdown.
const HTTP_GRACE: Duration = Duration::from_secs(5);

/// A running machine.
#[derive(Debug)]
pub struct Machine {
    /// Work.
    pub jobs: Jobs,
    /// Where the API answers.
    pub http: SocketAddr,
    /// The provider, when it is ours.
    pub demo: Option<DemoProvider>,
    engines: Vec<Engine>,
    stop: CancellationToken,
    http_stop: CancellationToken,
    server: JoinHandle<std::io::Result<()>>,
    upkeep: JoinHandle<()>,
}

/// Opens the database, with its folder, and brings its tables up to date.
pub async fn open_database(settings: &Settings) -> Result<Db, Failure> {
    make_data_dir(&settings.data_dir)?;
    let db = connect(settings).await?;
    Migrator::up(db.write(), None).await.map_err(Failure::during("migrations failed"))?;
    Ok(db)
}

/// Opens a database that is there already, with its tables up to date: for commands that look.
pub async fn open_existing(settings: &Settings) -> Result<Db, Failure> {
    if !database_exists(settings) {
        let path = settings.data_dir.join("farm.db");
        let hint = format!("there is no database at {}; farm up makes one", path.display());
        return Err(Failure::new(hint));
    }
    let db = connect(settings).await?;
    let pending = Migrator::get_pending_migrations(db.write()).await?;
    if pending.is_empty() {
        return Ok(db);
    }
    Err(Failure::new(format!("{} migrations are pending; run farm migrate", pending.len())))
}

/// Whether there is anything to open; a server is asked, a file is looked for.
pub fn database_exists(settings: &Settings) -> bool {
    !settings.is_demo() || settings.data_dir.join("farm.db").exists()
}

/// Opens the database as it is.
pub async fn connect(settings: &Settings) -> Result<Db, Failure> {
    let url = settings.database();
    let opened = Db::connect(&url, settings.max_connections).await;
    opened.map_err(|error| {
        // Drivers quote the URL, and the URL holds the password.
        let error = error.to_string().replace(&url, "the URL");
        let which = match &settings.database_url {
            Some(_) => "the database of DATABASE_URL".to_owned(),
            None => settings.data_dir.join("farm.db").display().to_string(),
        };
        Failure::new(format!("{which} cannot be opened: {error}"))
    })
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
        let listener = TcpListener::bind(settings.http_addr).into_acceptor().await;
        let acceptor = listener.map_err(|error| {
            Failure::new(format!(
                "{} cannot be listened on: {error}; choose another with --port",
                settings.http_addr
            ))
        })?;
        let http = acceptor
            .local_addr()
            .iter()
            .find_map(|addr| addr.as_socket_addr().copied())
            .unwrap_or(settings.http_addr);
        let db = open_database(settings).await?;
        if settings.is_demo() {
            seed::demo_users(&db).await?;
        }
        let (provider, demo) = provider(settings).await?;
        let deps = Deps { provider, fresh_for: FRESH_FOR };
        let jobs = Jobs::new(db, Arc::new(MemoryTickets::default()));

        let mut engines = vec![];
        for _ in 0..workers.max(1) {
            let config = engine_config(settings);
            engines.push(Engine::start(jobs.clone(), deps.clone(), config).await?);
        }
        let stop = CancellationToken::new();
        let upkeep = Upkeep::new(jobs.clone(), UpkeepConfig::default());
        let upkeep = tokio::spawn(upkeep.run_until(stop.clone()));

        let issuer = Issuer::new(&settings.issuer_secret()?);
        let cors = api::Cors { origins: settings.cors_origins.clone() };
        let state = AppState::new(jobs.clone(), issuer, cors, FRESH_FOR);
        let http_stop = CancellationToken::new();
        let server = serve(acceptor, api::app(state), http_stop.clone());
        Ok(Self { jobs, http, demo, engines, stop, http_stop, server, upkeep })
    }

    /// Resolves when a run could not be ended and the process must be replaced.
    pub async fn stuck(&self) {
        let stuck = self.engines.iter().map(|engine| Box::pin(engine.stuck()));
        futures_util::future::select_all(stuck).await;
    }

    /// Stops taking requests and jobs, lets what runs finish within its grace, puts the rest
    /// back.
    pub async fn shutdown(self) {
        self.http_stop.cancel();
        let engines = self.engines.into_iter().map(Engine::shutdown);
        futures_util::future::join_all(engines).await;
        self.stop.cancel();
        let _ = self.upkeep.await;
        if let Ok(Err(error)) = self.server.await {
            tracing::warn!(%error, "the HTTP server ended with an error");
        }
        if let Some(demo) = self.demo {
            demo.stop().await;
        }
        if let Err(error) = self.jobs.db().clone().close().await {
            tracing::warn!(%error, "the database did not close cleanly");
        }
    }
}

/// How workers of this process run.
pub fn engine_config(settings: &Settings) -> EngineConfig {
    EngineConfig {
        lease: settings.lease,
        renew_every: settings.lease * 3 / 10,
        ..EngineConfig::default()
    }
}

fn serve<A>(
    acceptor: A,
    app: impl Endpoint<Output = Response> + 'static,
    stop: CancellationToken,
) -> JoinHandle<std::io::Result<()>>
where
    A: Acceptor + 'static,
{
    tokio::spawn(async move {
        let stopped = async move { stop.cancelled().await };
        Server::new_with_acceptor(acceptor)
            .name("farm")
            // Longer than any request waits.
            .idle_timeout(Duration::from_secs(75))
            .run_with_graceful_shutdown(app, stopped, Some(HTTP_GRACE))
            .await
    })
}

/// The provider as configured, or the demo provider on this machine.
async fn provider(
    settings: &Settings,
) -> Result<(Arc<dyn ProfileProvider>, Option<DemoProvider>), Failure> {
    let (config, demo) = if let Some(decodo) = &settings.decodo {
        let base = decodo.base_url.clone();
        let mut config = DecodoConfig::new(base, &decodo.username, decodo.password.clone());
        config.api_key.clone_from(&decodo.api_key);
        (config, None)
    } else {
        let demo = start_demo().await?;
        let base = Url::parse(&demo.base_url()).map_err(Failure::during("demo provider"))?;
        (DecodoConfig::new(base, "demo", Secret::new("demo")), Some(demo))
    };
    let config = DecodoConfig { rate_per_second: settings.provider_rate, ..config };
    let client = Decodo::new(config).map_err(Failure::during("the provider's client"))?;
    Ok((Arc::new(client), demo))
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
