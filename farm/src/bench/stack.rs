//! A cluster to measure: Postgres and Redis as durable as in production, and roles as processes of
//! their own, so that each has its own share of the CPU.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use entity::enums::Queue;
use entity::{Db, queue_control};
use jobs::Jobs;
use jobs::process::{Failure, Settings as Common};
use jobs::redis::{Redis, RedisTickets};
use migration::{Migrator, MigratorTrait};
use sea_orm_migration::sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use tempfile::TempDir;
use url::Url;

use super::host;
use crate::config::Settings;
use crate::roles::{Guard, Recipe, Role};
use crate::secret;
use crate::servers::{Durability, Postgres, RedisServer};

/// Connections of the process that measures.
const CONNECTIONS: u32 = 8;
/// How long a role may take to come or go.
const PATIENCE: Duration = Duration::from_secs(60);

/// The servers.
#[derive(Debug)]
pub(super) struct Stack {
    /// Rows and tickets, as the roles see them.
    pub(super) jobs: Jobs,
    /// For what only the tables' owner may do.
    owner: DatabaseConnection,
    /// Redis; peers use other databases of it.
    pub(super) redis_url: String,
    prefix: String,
    env: Vec<(&'static str, String)>,
    program: PathBuf,
    // Dropped from here down.
    redis: Option<RedisServer>,
    postgres: Option<Postgres>,
    /// The database to drop at the end, when the server is somebody else's.
    scratch: Option<(String, String)>,
    folder: TempDir,
    /// Stops the roles, of which it knows these, if this process is killed.
    guard: Mutex<(Guard, Vec<u32>)>,
}

/// What each part has used of the CPU so far.
#[derive(Clone, Debug)]
pub(super) struct Cpu {
    at: Instant,
    parts: Vec<(String, Duration)>,
}

/// Settings of this process that roles must not inherit.
const WITHOUT: [&str; 6] = [
    "DATABASE_URL_FILE",
    "REDIS_URL_FILE",
    "REDIS_PASSWORD",
    "REDIS_PASSWORD_FILE",
    "FARM_JWT_SECRET_FILE",
    "DATABASE_MAX_CONNECTIONS",
];

impl Stack {
    /// Starts private servers with full durability (fsync on, AOF every second), or makes a
    /// scratch database on the configured one, and migrates.
    pub(super) async fn start(settings: &Settings) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(Failure::during("the program's own path"))?;
        let folder = tempfile::Builder::new().prefix("farm-bench-").tempdir();
        let folder = folder.map_err(Failure::during("no temporary folder"))?;
        let guard = Guard::start(folder.path(), &program)?;
        let (mut postgres, mut redis, mut scratch) = (None, None, None);
        let prefix = format!("farm_bench_{}", secret::invent(8).to_lowercase());
        let common = &settings.common;
        let (owner_url, database_url, redis_url) = match (&common.database_url, &common.redis_url) {
            (Some(database), Some(redis)) => {
                let server = database.expose().to_owned();
                let own = create_database(&server, &prefix).await?;
                scratch = Some((server, prefix.clone()));
                (own.clone(), own, redis.expose().to_owned())
            }
            (None, None) => {
                let (one, two) = (folder.path().to_owned(), folder.path().to_owned());
                let started = tokio::task::spawn_blocking(move || {
                    Ok::<_, Failure>((
                        Postgres::start(&one, Durability::Full)?,
                        RedisServer::start(&two, Durability::Full)?,
                    ))
                });
                let (one, two) = started.await.map_err(Failure::during("the servers"))??;
                let urls = (one.owner_url("postgres"), one.url("postgres"), two.url());
                (postgres, redis) = (Some(one), Some(two));
                urls
            }
            _ => {
                return Err(Failure::new(
                    "set both DATABASE_URL and REDIS_URL to measure those servers, or neither to \
                     measure private ones",
                ));
            }
        };
        let failed = || Failure::during("the database cannot be opened");
        let owner = Db::owner(&owner_url).await.map_err(failed())?;
        Migrator::up(&owner, None).await.map_err(Failure::during("migrations"))?;
        let db = Db::connect(&database_url, CONNECTIONS).await.map_err(failed())?;
        let client = Redis::new(&redis_url, &prefix).map_err(Failure::during("Redis"))?;
        let jobs = Jobs::new(db, std::sync::Arc::new(RedisTickets::new(client)));
        let env = vec![
            ("DATABASE_URL", database_url),
            ("REDIS_URL", redis_url.clone()),
            ("FARM_REDIS_PREFIX", prefix.clone()),
            ("FARM_DATA_DIR", folder.path().display().to_string()),
            ("FARM_JWT_SECRET", secret::invent(48)),
            ("DECODO_BASE_URL", "http://127.0.0.1:9".to_owned()), // nothing is fetched
            ("RUST_LOG", "warn".to_owned()),
            // One user sends what thousands do.
            ("FARM_RATE_LIMITS", "off".to_owned()),
        ];
        Ok(Self {
            jobs,
            owner,
            redis_url,
            prefix,
            env,
            program,
            redis,
            postgres,
            scratch,
            folder,
            guard: Mutex::new((guard, vec![])),
        })
    }

    /// The database.
    pub(super) fn db(&self) -> &Db {
        self.jobs.db()
    }

    /// Where files of the benchmark may lie; removed at the end.
    pub(super) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Starts a role, `worker --queues upkeep`, with more environment.
    pub(super) fn role(
        &self,
        line: &str,
        more: &[(&'static str, String)],
    ) -> Result<Role, Failure> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        // `bench hello` is one of ours, too.
        let name = args.iter().find(|word| *word != "bench").cloned().unwrap_or_default();
        let env = [self.env.clone(), more.to_vec()].concat();
        let program = self.program.clone();
        let recipe = Recipe { name, program, args, env, without: &WITHOUT, quiet: true };
        let role = Role::start(recipe)?;
        let (guard, pids) = &mut *self.guard.lock().unwrap_or_else(PoisonError::into_inner);
        pids.extend(role.pid());
        guard.tell(pids.iter().copied());
        Ok(role)
    }

    /// Starts a worker of one queue and waits until it takes work.
    pub(super) async fn worker(
        &self,
        queue: Queue,
        slots: u16,
        more: &[(&'static str, String)],
    ) -> Result<Role, Failure> {
        let before = self.live_workers().await?;
        let line = format!("worker --queues {queue} --concurrency {queue}={slots}");
        let mut role = self.role(&line, more)?;
        let began = Instant::now();
        while self.live_workers().await? <= before {
            if role.has_ended() || began.elapsed() > PATIENCE {
                return Err(Failure::new("the worker did not start; its lines say why"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(role)
    }

    async fn live_workers(&self) -> Result<u32, Failure> {
        let live = entity::worker::count_live(self.db().read()).await;
        live.map_err(Failure::during("workers cannot be counted"))
    }

    /// What the parts have used of the CPU; this process is called `client`.
    pub(super) fn cpu(&self, roles: &[&Role]) -> Cpu {
        let servers = [
            ("postgres", self.postgres.as_ref().and_then(|server| server.server.pid())),
            ("redis", self.redis.as_ref().and_then(|server| server.server.pid())),
        ];
        let servers = servers.into_iter().map(|(name, pid)| (name.to_owned(), pid));
        let roles = roles.iter().map(|role| (role.name().to_owned(), role.pid()));
        let used = |(name, pid): (String, Option<u32>)| Some((name, host::cpu(pid?).ok()?));
        // The roles are our children, and counted by themselves.
        let client = host::cpu_alone(std::process::id()).ok().map(|used| ("client".into(), used));
        let parts = servers.chain(roles).filter_map(used).chain(client).collect();
        Cpu { at: Instant::now(), parts }
    }

    /// Runs a statement that has no values, as whoever owns the tables.
    pub(super) async fn execute(&self, sql: &str) -> Result<(), Failure> {
        let done = self.owner.execute_unprepared(sql).await;
        done.map(drop).map_err(Failure::during(format!("{sql:?} failed")))
    }

    /// Reads one number.
    pub(super) async fn number(&self, sql: &str) -> Result<f64, Failure> {
        let failed = || Failure::during(format!("{sql:?} failed"));
        let statement = Statement::from_string(DbBackend::Postgres, sql);
        let row = self.db().read().query_one_raw(statement).await.map_err(failed())?;
        let row = row.ok_or_else(|| Failure::new(format!("{sql:?} finds nothing")))?;
        row.try_get_by_index::<f64>(0).map_err(failed())
    }

    /// Throws all jobs away, tickets too.
    pub(super) async fn empty(&mut self) -> Result<(), Failure> {
        self.execute("TRUNCATE jobs, job_watchers, job_events, workers, worker_kinds").await?;
        self.jobs.tickets().wipe().await;
        Ok(())
    }

    /// Stops or opens the queue of noop jobs.
    pub(super) async fn pause(&self, paused: bool) -> Result<(), Failure> {
        let queue = Queue::Upkeep.as_str();
        let done = if paused {
            queue_control::pause(self.db().write(), queue, "farm bench", "measuring").await
        } else {
            queue_control::resume(self.db().write(), queue).await.map(drop)
        };
        done.map_err(Failure::during("the queue was not paused"))
    }

    /// What the servers are.
    pub(super) async fn versions(&self) -> Result<Vec<(String, String)>, Failure> {
        let row = "SELECT current_setting('server_version'), current_setting('fsync'), \
             current_setting('shared_buffers')";
        let statement = Statement::from_string(DbBackend::Postgres, row);
        let row = self.db().read().query_one_raw(statement).await;
        let row = row.ok().flatten().ok_or_else(|| Failure::new("Postgres says no version"))?;
        let word = |at| row.try_get_by_index::<String>(at).unwrap_or_default();
        let postgres = format!("{} (fsync {}, shared_buffers {})", word(0), word(1), word(2));
        let redis = if self.redis.is_some() { "AOF everysec" } else { "as configured" };
        Ok(vec![("Postgres".to_owned(), postgres), ("Redis".to_owned(), redis.to_owned())])
    }

    /// Removes what the benchmark left on servers that are not its own.
    pub(super) async fn finish(self) -> Result<(), Failure> {
        self.jobs.tickets().wipe().await;
        let Some((server, name)) = &self.scratch else { return Ok(()) };
        let db = self.jobs.db().clone();
        db.close().await.map_err(Failure::during("the database was not closed"))?;
        let failed = || Failure::during(format!("database {name} was not dropped"));
        let owner = Db::owner(server).await.map_err(failed())?;
        let drop_it = format!("DROP DATABASE {name} WITH (FORCE)");
        owner.execute_unprepared(&drop_it).await.map_err(failed())?;
        tracing::debug!(prefix = %self.prefix, "scratch database dropped");
        Ok(())
    }
}

/// Makes a database of the benchmark's own on somebody's server; returns its URL.
async fn create_database(server: &str, name: &str) -> Result<String, Failure> {
    let failed = || Failure::during("no scratch database could be made on DATABASE_URL's server");
    let owner = Db::owner(server).await.map_err(failed())?;
    owner.execute_unprepared(&format!("CREATE DATABASE {name}")).await.map_err(failed())?;
    owner.close().await.map_err(failed())?;
    let mut url = Url::parse(server).map_err(Failure::during("DATABASE_URL"))?;
    url.set_path(name);
    Ok(url.into())
}

impl Cpu {
    /// Share of one core that each part used since `before`, the greatest first.
    pub(super) fn since(&self, before: &Cpu) -> Vec<(String, f64)> {
        let wall = self.at.duration_since(before.at).as_secs_f64();
        let used = |(name, now): &(String, Duration)| {
            let (_, then) = before.parts.iter().find(|(known, _)| known == name)?;
            Some((name.clone(), now.saturating_sub(*then).as_secs_f64() / wall))
        };
        let mut shares: Vec<_> = self.parts.iter().filter_map(used).collect();
        shares.sort_by(|a, b| b.1.total_cmp(&a.1));
        shares
    }
}

/// What holds a run back: the greatest user of CPU when the cores are all but used up, else the
/// part whose single thread is, else waiting (for commits and answers).
pub(super) fn limit(shares: &[(String, f64)]) -> String {
    let total: f64 = shares.iter().map(|(_, share)| share).sum();
    let Some((greatest, most)) = shares.first() else { return "unknown".to_owned() };
    if total >= 0.85 * host::cores() as f64 {
        return format!("cpu, most of it {greatest}");
    }
    match shares.iter().find(|(name, share)| name == "redis" && *share > 0.9) {
        Some(_) => "redis".to_owned(),
        None if *most > 0.95 => greatest.clone(),
        None => "waiting for commits and answers".to_owned(),
    }
}

/// `postgres 95 %, worker 60 %`.
pub(super) fn shares_text(shares: &[(String, f64)]) -> String {
    let parts: Vec<String> =
        shares.iter().map(|(name, share)| format!("{name} {:.0} %", share * 100.0)).collect();
    format!("{} of one core, of {} cores", parts.join(", "), host::cores())
}

/// Stops a role in order.
pub(super) async fn stop(mut role: Role) -> Result<(), Failure> {
    role.ask_to_stop();
    let began = Instant::now();
    while !role.has_ended() {
        if began.elapsed() > PATIENCE {
            return Err(Failure::new(format!("{} did not stop", role.name())));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Settings of a farm in one process, with everything in a folder.
pub(super) fn embedded(settings: &Settings, folder: &std::path::Path) -> Settings {
    let mut settings = settings.clone();
    let common: &mut Common = &mut settings.common;
    (common.database_url, common.redis_url) = (None, None);
    folder.clone_into(&mut common.data_dir);
    settings.api.http_addr = ([127, 0, 0, 1], 0).into();
    settings.api.rate_limits = false;
    settings
}
