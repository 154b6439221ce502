//! `farm cluster`: a cluster on one machine. Private Postgres and Redis, and every role as a
//! process of its own, as an orchestrator would run them.

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use entity::Db;
use entity::db::Plans;
use jobs::process::{Failure, Secret};
use migration::{Migrator, MigratorTrait};
use tempfile::TempDir;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::{admin, up};
use crate::config::Settings;
use crate::roles::{Guard, Recipe, Role, say};
use crate::secret;
use crate::servers::{Durability, Postgres, RedisServer, free_port};

/// Account of whoever tries it out.
const ADMIN: &str = "admin@example.test";
/// How often roles are looked at.
const GLANCE: Duration = Duration::from_millis(50);
/// How long the API may take to be ready.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a worker grants its jobs, and some more.
const GRACE: Duration = Duration::from_secs(35);
/// For one that has nothing to finish.
const SHORT_GRACE: Duration = Duration::from_secs(5);
/// Settings that would contradict ours. Whoever tries it out signs in here and nowhere else.
const CONTRADICTIONS: [&str; 13] = [
    "DATABASE_URL_FILE",
    "REDIS_URL_FILE",
    "REDIS_PASSWORD",
    "REDIS_PASSWORD_FILE",
    "FARM_JWT_SECRET_FILE",
    // One address cannot be that of every role.
    "FARM_METRICS_ADDR",
    "SUPABASE_URL",
    "SUPABASE_ANON_KEY",
    "SUPABASE_ANON_KEY_FILE",
    "SUPABASE_SERVICE_ROLE_KEY",
    "SUPABASE_SERVICE_ROLE_KEY_FILE",
    "SUPABASE_JWT_SECRET",
    "SUPABASE_JWT_SECRET_FILE",
];

/// Runs until told to stop, or until a role keeps dying.
pub(crate) async fn run(
    mut settings: Settings,
    workers: u8,
    demo_latency_ms: u64,
) -> Result<(), Failure> {
    let mut told = Told::listen()?;
    // Held until the API is started, so that nobody else takes it.
    let port = TcpListener::bind(settings.api.http_addr).map_err(|error| {
        let addr = settings.api.http_addr;
        Failure::new(format!("{addr} cannot be listened on: {error}; choose another with --port"))
    })?;
    settings.api.http_addr = port.local_addr().map_err(Failure::during("the API's port"))?;

    let program = std::env::current_exe().map_err(Failure::during("the program's own path"))?;
    let mut cluster = Cluster::prepare(&program).await?;
    let outcome = async {
        if told.times() > 0 {
            return Ok(());
        }
        cluster.introduce(&mut settings);
        let password = cluster.account(&settings).await?;
        let recipes = recipes(&settings, &program, workers, demo_latency_ms)?;
        drop(port);
        for recipe in recipes {
            cluster.roles.push(Role::start(recipe)?);
        }
        if cluster.ready(&settings, &told).await? {
            cluster.greet(&settings, &password);
        }
        while told.times() == 0 {
            cluster.tend()?;
            tokio::time::sleep(GLANCE).await;
        }
        Ok(())
    };
    let outcome = outcome.await;
    tokio::select! {
        stopped = cluster.stop() => outcome.and(stopped),
        () = told.again() => {
            cluster.kill();
            Err(Failure::new("stopped without draining"))
        }
    }
}

/// Signals to stop, from the first moment on: none is lost while something else goes on.
struct Told(watch::Receiver<u32>);

impl Told {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(Failure::during("signals cannot be heard"));
        let mut signals: [Signal; 3] = [
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
            // The terminal is closed.
            listen(SignalKind::hangup())?,
        ];
        let (times, told) = watch::channel(0);
        tokio::spawn(async move {
            let [interrupt, terminate, hangup] = &mut signals;
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                }
                times.send_modify(|times| *times += 1);
            }
        });
        Ok(Self(told))
    }

    fn times(&self) -> u32 {
        *self.0.borrow()
    }

    /// Resolves when told once more than by the time of the first call.
    async fn again(&mut self) {
        let before = self.times().max(1);
        if self.0.wait_for(|times| *times > before).await.is_err() {
            // Nobody is left to tell us.
            std::future::pending::<()>().await;
        }
    }
}

/// Everything that runs. Dropped from the top down: roles, servers, their folder, the guard.
struct Cluster {
    roles: Vec<Role>,
    redis: RedisServer,
    postgres: Postgres,
    folder: TempDir,
    guard: Guard,
}

impl Cluster {
    /// Servers, without roles yet.
    async fn prepare(program: &Path) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("farm-cluster-").tempdir();
        let folder = folder.map_err(Failure::during("no temporary folder"))?;
        let guard = Guard::start(folder.path(), program)?;
        say(&format!("starting Postgres and Redis in {}", folder.path().display()));
        let (one, two) = (folder.path().to_owned(), folder.path().to_owned());
        let postgres = tokio::task::spawn_blocking(move || Postgres::start(&one, Durability::Full));
        let redis = tokio::task::spawn_blocking(move || RedisServer::start(&two, Durability::Full));
        // Both to their end before one that failed ends us: a server that is still starting would
        // be left behind.
        let (postgres, redis) = tokio::join!(postgres, redis);
        let failed = || Failure::during("the servers did not start");
        let (postgres, redis) = (postgres.map_err(failed())?, redis.map_err(failed())?);
        Ok(Self { roles: vec![], redis: redis?, postgres: postgres?, folder, guard })
    }

    /// Tells the settings where the servers are.
    fn introduce(&self, settings: &mut Settings) {
        let common = &mut settings.common;
        common.database_url = Some(Secret::new(self.postgres.url("postgres")));
        common.redis_url = Some(Secret::new(self.redis.url()));
        self.folder.path().clone_into(&mut common.data_dir);
        settings.api.jwt_secret = Some(Secret::new(secret::invent(48)));
        settings.api.supabase = None;
    }

    /// Makes the tables and the first account; returns its password.
    async fn account(&self, settings: &Settings) -> Result<String, Failure> {
        let owner = Db::owner(&self.postgres.owner_url("postgres")).await?;
        Migrator::up(&owner, None).await.map_err(Failure::during("migrations failed"))?;
        owner.close().await?;
        let db = settings.common.connect_migrated(2, Plans::Kept).await?;
        let (_, password) = admin::account(&db, ADMIN, None).await?;
        db.close().await?;
        Ok(password.unwrap_or_default())
    }

    /// Looks after the roles; the guard hears of changes.
    fn tend(&mut self) -> Result<(), Failure> {
        for role in &mut self.roles {
            role.tend()?;
        }
        self.guard.tell(self.roles.iter().filter_map(Role::pid));
        Ok(())
    }

    /// Waits until the API has all it needs. False when told to stop before.
    async fn ready(&mut self, settings: &Settings, told: &Told) -> Result<bool, Failure> {
        // A proxy of the environment has nothing to do with this machine.
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2));
        let client = client.build().map_err(Failure::during("no HTTP client"))?;
        let (url, began) = (format!("{}/readyz", at(settings)), Instant::now());
        while told.times() == 0 {
            self.tend()?;
            let why = match client.get(&url).send().await {
                Ok(answer) if answer.status().is_success() => return Ok(true),
                Ok(answer) => answer.status().to_string(),
                Err(error) => error.to_string(),
            };
            if began.elapsed() > PATIENCE {
                return Err(Failure::new(format!("the API is not ready: {why}")));
            }
            tokio::time::sleep(GLANCE).await;
        }
        Ok(false)
    }

    /// One write, so that no log line gets in between.
    fn greet(&self, settings: &Settings, password: &str) {
        let (at, common) = (at(settings), &settings.common);
        let pid = |role: &Role| role.pid().map(|pid| format!("{} {pid}", role.name()));
        let pids: Vec<String> = self.roles.iter().filter_map(pid).collect();
        let worker = self.roles.iter().find(|role| role.name().starts_with("worker"));
        let worker = worker.and_then(Role::pid).unwrap_or_default();
        let shown = |secret: &Option<Secret>| {
            secret.as_ref().map(|secret| secret.expose().to_owned()).unwrap_or_default()
        };
        let lines = [
            "The cluster is up.".to_owned(),
            format!("  docs      {at}/docs"),
            format!("  sign in   {ADMIN} (password {password})"),
            format!("  pids      {}", pids.join(", ")),
            format!("  data      {} (removed at the end)", common.data_dir.display()),
            String::new(),
            "For other farm commands in a second terminal (farm jobs list, farm doctor, \
             farm token):"
                .to_owned(),
            format!("  export DATABASE_URL={}", shown(&common.database_url)),
            format!("  export REDIS_URL={}", shown(&common.redis_url)),
            format!("  export FARM_JWT_SECRET={}", shown(&settings.api.jwt_secret)),
            String::new(),
            "Fetch a profile and follow its job:".to_owned(),
            format!("  {}", up::curl_line(&at, ADMIN, password)),
            String::new(),
            "Kill a worker: what it runs is put back when its lease ends and finished by another, \
             and a new worker takes its place (to see it, put demo_slow, 20 s, into the line above, \
             and watch farm jobs list):"
                .to_owned(),
            format!("  kill -9 {worker}"),
            String::new(),
            "Ctrl-C drains and stops.\n".to_owned(),
        ];
        print(&lines.join("\n"));
    }

    /// In order: who makes work and who does it, what they call, where they keep it.
    async fn stop(&mut self) -> Result<(), Failure> {
        say("stopping; running jobs have 25 s to finish, the rest goes back");
        let (provider, others): (Vec<_>, Vec<_>) =
            self.roles.iter_mut().partition(|role| role.name() == PROVIDER);
        let late = [end(others, GRACE).await, end(provider, SHORT_GRACE).await].concat();
        self.redis.server.stop();
        self.postgres.server.stop();
        if late.is_empty() {
            return Ok(());
        }
        Err(Failure::new(format!("killed because they did not stop: {}", late.join(", "))))
    }

    /// At once; dropping does the rest.
    fn kill(&mut self) {
        self.roles.clear();
        self.redis.server.kill();
        // It ends its own processes without writing anything down.
        let _ = self.postgres.server.signal("-QUIT");
    }
}

/// Asks them to stop and waits for it; names those that had to be killed.
async fn end(mut roles: Vec<&mut Role>, grace: Duration) -> Vec<String> {
    for role in &roles {
        role.ask_to_stop();
    }
    let began = Instant::now();
    loop {
        roles.retain_mut(|role| !role.has_ended());
        if roles.is_empty() || began.elapsed() > grace {
            break;
        }
        tokio::time::sleep(GLANCE).await;
    }
    for role in &mut roles {
        role.kill();
    }
    roles.iter().map(|role| role.name().to_owned()).collect()
}

const PROVIDER: &str = "demo-provider";

/// What to start, with the provider first when no other is configured.
fn recipes(
    settings: &Settings,
    program: &Path,
    workers: u8,
    demo_latency_ms: u64,
) -> Result<Vec<Recipe>, Failure> {
    let common = &settings.common;
    let mut env = vec![
        ("FARM_HTTP_ADDR", settings.api.http_addr.to_string()),
        ("FARM_DATA_DIR", common.data_dir.display().to_string()),
    ];
    for (name, secret) in [
        ("DATABASE_URL", &common.database_url),
        ("REDIS_URL", &common.redis_url),
        ("FARM_JWT_SECRET", &settings.api.jwt_secret),
    ] {
        env.extend(secret.iter().map(|secret| (name, secret.expose().to_owned())));
    }
    let mut roles = vec![];
    if settings.worker.decodo.is_none() {
        let port = free_port()?;
        env.push(("DECODO_BASE_URL", format!("http://127.0.0.1:{port}")));
        // Its pictures come from there, too.
        env.push(("FETCH_ALLOW_HOSTS", format!("127.0.0.1:{port}")));
        roles.push((PROVIDER.to_owned(), format!("--port {port} --latency-ms {demo_latency_ms}")));
    }
    roles.push(("api".to_owned(), String::new()));
    roles.extend((1..=workers).map(|number| (format!("worker-{number}"), String::new())));
    roles.push(("scheduler".to_owned(), String::new()));
    let recipe = |(name, options): (String, String)| {
        let role = if name.starts_with("worker-") { "worker" } else { &name };
        let args = std::iter::once(role).chain(options.split_whitespace()).map(str::to_owned);
        let (args, program) = (args.collect(), program.to_owned());
        Recipe { name, program, args, env: env.clone(), without: &CONTRADICTIONS, quiet: false }
    };
    Ok(roles.into_iter().map(recipe).collect())
}

fn at(settings: &Settings) -> String {
    format!("http://{}", settings.api.http_addr)
}

fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    // Nothing can be done when nobody listens.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
