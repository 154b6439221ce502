//! A whole farm in one process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::identity::SupabaseSettings;
use api::{AppState, Files, Identity, Issuer, Limits, Proxies, Supabase};
use entity::enums::{Queue, Role, Tier};
use entity::job::Model;
use entity::job::end::Settled;
use entity::job::query;
use entity::user::{self, NewUser};
use entity::{Db, Time, clock, sql};
use farm::demo::{DemoOptions, DemoProvider};
use jobs::limit::RateLimit;
use jobs::memory::MemoryTickets;
use jobs::quota::Clock;
use jobs::redis::{Redis, RedisTickets};
use jobs::{Jobs, Storage};
use migration::{Migrator, MigratorTrait};
use poem::EndpointExt;
use scheduler::{Upkeep, UpkeepConfig};
use sea_orm::{ConnectionTrait, DatabaseConnection};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;
use worker::foreign::Foreign;
use worker::media::Media;
use worker::media::codecs::Codecs;
use worker::provider::{Decodo, DecodoConfig, Pauses, ProfileProvider, Secret};
use worker::{Deps, Engine, EngineConfig};

use crate::client::Client;
use crate::{eventually, on_cluster, servers};

/// Where the world finds thumbnails.
pub const CDN: &str = "https://cdn.example.test/cdn";

/// Password of every user of a system.
pub const PASSWORD: &str = "demo-password";

/// Choices about a system.
pub struct Builder {
    workers: usize,
    upkeep: bool,
    engine: EngineConfig,
    recorded: Option<PathBuf>,
    call_timeout: Duration,
    models: Option<models::Engine>,
    pictures: bool,
    allowed: Vec<SocketAddr>,
    storage: Option<Storage>,
    supabase: Option<SupabaseSettings>,
    limits: Option<Limited>,
}

/// Of the local issuer.
const SECRET: &[u8] = b"a secret for tests, thirty-two bytes";

/// How customers are limited.
#[derive(Clone, Default)]
struct Limited {
    proxies: Proxies,
    /// Instead of the stack's.
    redis: Option<Redis>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            workers: 1,
            upkeep: true,
            engine: EngineConfig {
                concurrency: [
                    (Queue::Fetch, 8),
                    (Queue::Ai, 4),
                    (Queue::Media, 4),
                    (Queue::Export, 4),
                    (Queue::Upkeep, 8),
                ]
                .into(),
                grace: Duration::from_secs(5),
                overrun: Duration::from_millis(300),
                ..EngineConfig::default()
            },
            recorded: None,
            call_timeout: Duration::from_secs(5),
            models: None,
            pictures: false,
            allowed: vec![],
            storage: None,
            limits: None,
            supabase: None,
        }
    }
}

impl Builder {
    /// So many workers; 0 = jobs only wait.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Without upkeep in the background; call its passes by hand.
    #[must_use]
    pub fn without_upkeep(mut self) -> Self {
        self.upkeep = false;
        self
    }

    /// Changes how workers run.
    #[must_use]
    pub fn engine(mut self, change: impl FnOnce(&mut EngineConfig)) -> Self {
        change(&mut self.engine);
        self
    }

    /// Serves recorded answers.
    #[must_use]
    pub fn recorded(mut self, dir: PathBuf) -> Self {
        self.recorded = Some(dir);
        self
    }

    /// Longest provider call.
    #[must_use]
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// Analyses what is fetched, with these analyzers.
    #[must_use]
    pub fn models(mut self, models: models::Engine) -> Self {
        self.models = Some(models);
        self
    }

    /// Brings the pictures of what is fetched to the CDN.
    #[must_use]
    pub fn pictures(mut self) -> Self {
        self.pictures = true;
        self
    }

    /// Pictures may come from there, too.
    #[must_use]
    pub fn allow(mut self, host: SocketAddr) -> Self {
        self.allowed.push(host);
        self
    }

    /// Keeps files there.
    #[must_use]
    pub fn storage(mut self, storage: Storage) -> Self {
        self.storage = Some(storage);
        self
    }

    /// With limits on requests, as customers have them. Without, a story may ask as often as it
    /// likes.
    #[must_use]
    pub fn limited(mut self) -> Self {
        self.limits = Some(Limited::default());
        self
    }

    /// [`Self::limited`], behind these proxies.
    #[must_use]
    pub fn behind(mut self, proxies: &str) -> Self {
        let proxies = proxies.parse().expect("addresses");
        self.limits = Some(Limited { proxies, redis: None });
        self
    }

    /// [`Self::limited`], counted in this Redis.
    #[must_use]
    pub fn counted_in(mut self, redis: Redis) -> Self {
        self.limits = Some(Limited { proxies: Proxies::default(), redis: Some(redis) });
        self
    }

    /// People sign in there.
    #[must_use]
    pub fn supabase(mut self, settings: SupabaseSettings) -> Self {
        self.supabase = Some(settings);
        self
    }

    /// Starts it.
    pub async fn start(self) -> System {
        System::start_with(self).await
    }
}

/// A whole farm.
pub struct System {
    /// Work.
    pub jobs: Jobs,
    /// Housekeeping, for single passes.
    pub upkeep: Upkeep,
    /// The provider.
    pub demo: DemoProvider,
    app: Arc<poem::endpoint::BoxEndpoint<'static, poem::Response>>,
    state: AppState,
    engines: Vec<Engine>,
    deps: Deps,
    engine_config: EngineConfig,
    limits: Option<Limited>,
    stop: CancellationToken,
    stack: Stack,
    dir: TempDir,
    /// How old the keys of an identity provider are, in milliseconds: only as the clock is moved.
    aged: Arc<AtomicU64>,
    ended: bool,
}

impl System {
    /// One worker, upkeep in the background.
    pub async fn start() -> Self {
        Builder::default().start().await
    }

    /// Choose.
    pub fn builder() -> Builder {
        Builder::default()
    }

    async fn start_with(builder: Builder) -> Self {
        let _ =
            tracing_subscriber::fmt().with_test_writer().with_max_level(tracing_level()).try_init();
        let dir = TempDir::new().expect("a temporary folder");
        let (stack, db) = Stack::start(&dir).await;
        let demo = DemoProvider::start(DemoOptions {
            recorded: builder.recorded.clone(),
            ..DemoOptions::for_tests()
        })
        .await
        .expect("the demo provider");
        let storage = match &builder.storage {
            Some(storage) => storage.clone(),
            None => Storage::folder(&dir.path().join("objects")).expect("a folder"),
        };
        let deps = Deps {
            provider: provider(&demo, builder.call_timeout),
            fresh_for: farm::machine::FRESH_FOR,
            analyze: builder.models.is_some(),
            models: builder.models.clone(),
            thumbnails: builder.pictures,
            media: builder.pictures.then(|| media(&demo, &builder.allowed, &storage)),
            storage: storage.clone(),
        };
        let jobs = match &stack {
            Stack::Machine => Jobs::new(db, Arc::new(MemoryTickets::default())),
            Stack::Cluster { redis, .. } => {
                Jobs::new(db, Arc::new(RedisTickets::new(redis.clone())))
            }
        };
        let issuer = Issuer::new(SECRET);
        let aged = Arc::<AtomicU64>::default();
        let identity = match &builder.supabase {
            None => Identity::Local(issuer),
            Some(settings) => {
                let age = aged.clone();
                let age = move || Duration::from_millis(age.load(Ordering::Relaxed));
                let hosted = Supabase::with_clock(settings, Arc::new(age)).expect("a client");
                Identity::Supabase { links: issuer, hosted }
            }
        };
        let files = Files::new(storage, &Url::parse(CDN).expect("a URL"));
        let clock = Clock::still();
        let limits = limits(builder.limits.as_ref(), &stack, &clock);
        let state = front_door(jobs.clone(), identity, files, limits);
        let stop = CancellationToken::new();
        let upkeep = Upkeep::new(
            apart(&stack, &jobs),
            UpkeepConfig { sweep_every: Duration::from_millis(50), ..UpkeepConfig::default() },
        );
        if builder.upkeep {
            tokio::spawn(upkeep.clone().run_until(stop.clone()));
        }
        let mut system = Self {
            app: Arc::new(api::app(state.clone()).boxed()),
            state,
            jobs,
            upkeep,
            demo,
            engines: vec![],
            deps,
            engine_config: builder.engine,
            limits: builder.limits,
            stop,
            stack,
            dir,
            aged,
            ended: false,
        };
        for _ in 0..builder.workers {
            system.add_worker().await;
        }
        system
    }

    /// One more worker.
    pub async fn add_worker(&mut self) {
        let (deps, config) = (self.deps.clone(), self.engine_config.clone());
        let jobs = apart(&self.stack, &self.jobs);
        let engine = Engine::start(jobs, deps, config).await.expect("a worker");
        self.engines.push(engine);
    }

    /// Workers added from now on analyse with these.
    pub fn set_models(&mut self, models: models::Engine) {
        self.deps.models = Some(models);
        self.deps.analyze = true;
    }

    /// Workers added from now on serve these queues.
    pub fn set_queues(&mut self, queues: BTreeMap<Queue, usize>) {
        self.engine_config.concurrency = queues;
    }

    /// Stops the oldest worker as SIGTERM would.
    pub async fn stop_worker(&mut self) {
        self.engines.remove(0).shutdown().await;
    }

    /// Where its files lie.
    pub fn files(&self) -> Files {
        self.state.files.clone()
    }

    /// The database.
    pub fn db(&self) -> &Db {
        self.jobs.db()
    }

    /// Path of a file in the system's own folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The API, not signed in.
    pub fn api(&self) -> Client {
        Client { app: self.app.clone(), token: None, headers: vec![], from: None }
    }

    /// Another front door of the same farm, which shares no memory with the first.
    pub fn another_door(&self) -> Client {
        let clock = self.state.limits.clock();
        let limits = limits(self.limits.as_ref(), &self.stack, clock);
        let issuer = Issuer::new(SECRET);
        let state = front_door(apart(&self.stack, &self.jobs), issuer, self.files(), limits);
        Client { app: Arc::new(api::app(state).boxed()), ..self.api() }
    }

    /// The API as whoever shows this token.
    pub fn with_token(&self, token: &str) -> Client {
        Client { token: Some(token.to_owned()), ..self.api() }
    }

    /// The API as this user, made at first use; `admin…` are admins.
    pub async fn as_user(&self, name: &str) -> Client {
        let user = self.user(name).await;
        let token = self.state.identity.links().sign(&user, 600).expect("a token");
        Client { token: Some(token), ..self.api() }
    }

    /// The user of a name, made at first use, with [`PASSWORD`].
    pub async fn user(&self, name: &str) -> user::Model {
        let email = format!("{name}@example.test");
        if let Some(user) = user::by_email(self.db().read(), &email).await.expect("users") {
            return user;
        }
        let hash = api::password::hash(PASSWORD.to_owned()).await.expect("a hash");
        let role = if name.starts_with("admin") { Role::Admin } else { Role::User };
        let new = NewUser {
            email: &email,
            hashed_password: Some(&hash),
            full_name: Some(name),
            role,
            tier: Tier::Standard,
        };
        user::upsert(self.db(), &new).await.expect("a user")
    }

    /// The row of a job.
    pub async fn job(&self, id: Uuid) -> Model {
        query::by_id(self.db().read(), id).await.expect("jobs").expect("a job of that id")
    }

    /// Waits until the row is as wished.
    pub async fn job_when(&self, id: Uuid, what: &str, wish: impl Fn(&Model) -> bool) -> Model {
        eventually(what, || async {
            let job = self.job(id).await;
            wish(&job).then_some(job)
        })
        .await
    }

    /// Waits until the job has ended, moving the clock to its next attempt when it waits for one.
    pub async fn finish(&self, id: Uuid) -> Model {
        eventually("the job has ended", || async {
            let job = self.job(id).await;
            if job.state.is_done() {
                return Some(job);
            }
            self.skip_wait_of(&job).await;
            None
        })
        .await
    }

    async fn skip_wait_of(&self, job: &Model) {
        use entity::enums::JobState::{Queued, Retrying};
        let wait = job.run_at.millis_since(self.now().await);
        if matches!(job.state, Queued | Retrying) && wait > 0 {
            self.advance(Duration::from_millis(wait as u64 + 1)).await;
        }
    }

    /// Runs everything to its end, moving the clock over every pause.
    pub async fn drain(&self) {
        eventually("no job is open", || async {
            let open = self.open_jobs().await;
            for job in &open {
                self.skip_wait_of(job).await;
            }
            open.is_empty().then_some(())
        })
        .await;
    }

    /// Jobs that have not ended.
    pub async fn open_jobs(&self) -> Vec<Model> {
        let open = "SELECT * FROM jobs WHERE state IN ('queued', 'running', 'retrying')";
        sql::all(self.db().read(), open, vec![]).await.expect("jobs")
    }

    /// The farm's clock.
    pub async fn now(&self) -> Time {
        clock::now(self.db().read()).await.expect("a clock")
    }

    /// Moves the farm's clock, and that of its limits.
    pub async fn advance(&self, by: Duration) {
        let tx = self.db().begin().await.expect("a transaction");
        clock::advance(&tx, by.as_millis() as i64).await.expect("a movable clock");
        tx.commit().await.expect("a commit");
        self.aged.fetch_add(by.as_millis() as u64, Ordering::Relaxed);
        self.state.forget();
        self.state.limits.clock().advance(by);
    }

    /// As if a moment had passed: who was let in is asked for again.
    pub fn forget(&self) {
        self.state.forget();
    }

    /// A number out of the database: `SELECT count(*) AS n …`.
    pub async fn count(&self, select: &str) -> i64 {
        let statement = sql::statement(self.db().backend(), select, vec![]);
        let row = self.db().read().query_one_raw(statement).await.expect("a query");
        row.expect("a row").try_get::<i64>("", "n").expect("a column n")
    }

    /// Retention, as the scheduled job has it done.
    pub async fn prune(&self) -> u64 {
        entity::job::retention::pass(self.db(), || true).await.expect("retention")
    }

    /// Ends a run as the engine would, for tests that hold a claim themselves.
    pub async fn settle(
        &self,
        fence: entity::job::Fence,
        outcome: &entity::job::end::Settle,
    ) -> Option<Settled> {
        let tx = self.db().begin().await.expect("a transaction");
        let settled = entity::job::end::settle(&tx, fence, outcome).await.expect("settle");
        tx.commit().await.expect("a commit");
        settled
    }

    /// A connection that may change the tables themselves.
    pub async fn owner(&self) -> DatabaseConnection {
        let opened = match &self.stack {
            Stack::Machine => self.db().for_migrations().await,
            Stack::Cluster { database, .. } => Db::owner(&servers::owner_url(database)).await,
        };
        opened.expect("a connection")
    }

    /// Stops everything and fails when a job is left open, the tables contradict themselves, or
    /// an effect took place twice.
    pub async fn end(self) {
        let open = self.open_jobs().await;
        assert!(open.is_empty(), "jobs left open: {open:#?}");
        self.end_with_open_jobs().await;
    }

    /// [`Self::end`] for stories that leave jobs waiting on purpose.
    pub async fn end_with_open_jobs(mut self) {
        let findings = entity::job::integrity::inspect(self.db().read()).await.expect("integrity");
        assert!(findings.is_clean(), "{findings:?}");
        let ledger = entity::ledger::audit::audit(self.db().read()).await.expect("the ledger");
        assert!(ledger.is_clean(), "the ledger does not add up: {ledger:#?}");
        let twice = entity::effect::counts(self.db().read(), 1).await.expect("effects");
        assert!(twice.is_empty(), "effects that took place twice: {twice:?}");
        self.stop.cancel();
        for engine in std::mem::take(&mut self.engines) {
            engine.shutdown().await;
        }
        if let Stack::Cluster { database, .. } = &self.stack {
            self.jobs.tickets().wipe().await;
            servers::drop_database(database).await;
        }
        self.ended = true;
    }
}

/// What a front door stands on.
fn front_door(jobs: Jobs, identity: impl Into<Identity>, files: Files, limits: Limits) -> AppState {
    let cors = api::Cors { origins: vec!["http://localhost:3000".to_owned()] };
    AppState::new(jobs, identity, cors, farm::machine::FRESH_FOR, files, limits)
}

fn limits(limited: Option<&Limited>, stack: &Stack, clock: &Clock) -> Limits {
    let Some(limited) = limited else { return Limits::off() };
    let shared = match stack {
        Stack::Machine => None,
        Stack::Cluster { redis, .. } => Some(redis),
    };
    let redis = limited.redis.as_ref().or(shared);
    Limits::by(clock.clone(), limited.proxies.clone(), redis)
}

/// The same work as another process of the cluster holds it: with tickets and news of its own.
fn apart(stack: &Stack, jobs: &Jobs) -> Jobs {
    match stack {
        Stack::Machine => jobs.clone(),
        Stack::Cluster { redis, .. } => {
            Jobs::new(jobs.db().clone(), Arc::new(RedisTickets::new(redis.clone())))
        }
    }
}

impl Drop for System {
    fn drop(&mut self) {
        self.stop.cancel();
        assert!(self.ended || std::thread::panicking(), "a story must call System::end");
    }
}

/// Who works on pictures, which the demo provider shows.
fn media(demo: &DemoProvider, allowed: &[SocketAddr], storage: &Storage) -> Media {
    let hosts = std::iter::once(demo.addr()).chain(allowed.iter().copied());
    let hosts = hosts.map(|host| host.to_string().parse().expect("an address"));
    Media {
        foreign: Foreign::new(hosts.collect()).expect("a client"),
        codecs: Arc::new(Codecs::new(crate::program::codec(), 2)),
        storage: storage.clone(),
    }
}

fn provider(demo: &DemoProvider, call_timeout: Duration) -> Arc<dyn ProfileProvider> {
    let base = Url::parse(&demo.base_url()).expect("a URL");
    let config = DecodoConfig {
        call_timeout,
        pauses: Pauses { initial: Duration::from_millis(1), cap: Duration::from_millis(2) },
        rate: Arc::new(RateLimit::local(std::num::NonZeroU32::new(1_000).expect("not zero"))),
        ..DecodoConfig::new(base, "test", Secret::new("test"))
    };
    Arc::new(Decodo::new(config).expect("a client"))
}

/// Where the rows and tickets of a system are.
enum Stack {
    /// A file, and the memory of this process.
    Machine,
    /// A database cloned for this story, and keys that begin with its name.
    Cluster { database: String, redis: Redis },
}

impl Stack {
    async fn start(dir: &TempDir) -> (Self, Db) {
        if on_cluster() {
            let (db, database) = servers::database().await;
            let redis = Redis::new(&servers::servers().redis, &database).expect("a Redis");
            return (Self::Cluster { database, redis }, db);
        }
        let url = format!("sqlite://{}?mode=rwc", dir.path().join("farm.db").display());
        let db = Db::connect(&url, 8).await.expect("the database");
        let tables = db.for_migrations().await.expect("a connection");
        Migrator::up(&tables, None).await.expect("migrations");
        (Self::Machine, db)
    }
}

#[allow(clippy::disallowed_methods)] // a switch of the test run, not a setting of the farm
fn tracing_level() -> tracing_subscriber::filter::LevelFilter {
    let level = std::env::var("TEST_LOG").ok().and_then(|level| level.parse().ok());
    level.unwrap_or(tracing_subscriber::filter::LevelFilter::ERROR)
}
