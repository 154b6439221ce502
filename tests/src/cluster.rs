//! A cluster of real processes: front doors, workers and schedulers that share nothing but a
//! Postgres and a Redis, with a demo provider in the test's own process.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use api::Issuer;
use entity::enums::{Role, Tier};
use entity::user::{self, NewUser};
use entity::{Db, DbErr, sql};
use farm::demo::{DemoOptions, DemoProvider};
use farm::servers::{Durability, Postgres, RedisServer};
use jobs::Jobs;
use jobs::redis::{Redis, RedisTickets};
use migration::{Migrator, MigratorTrait};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;

use crate::pooler::Pooler;
use crate::program::{Process, program};
use crate::servers;

const SECRET: &str = "a secret for tests, thirty-two bytes";

/// Choices about a cluster.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Front doors.
    pub apis: usize,
    /// Workers.
    pub workers: usize,
    /// Schedulers.
    pub schedulers: usize,
    /// A Postgres and a Redis of its own, to be killed.
    pub own_servers: bool,
    /// A transaction pooler in front of Postgres.
    pub pooler: bool,
    /// Seconds a worker lives without renewing.
    pub lease_s: u64,
    /// Seconds an attempt may take at most.
    pub timeout_s: u64,
    /// How long the provider takes.
    pub latency: Duration,
    /// Provider calls per second, over all workers.
    pub rate: u32,
    /// Jobs of the upkeep queue at once, per worker.
    pub upkeep_slots: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            apis: 1,
            workers: 3,
            schedulers: 1,
            own_servers: false,
            pooler: false,
            lease_s: 2,
            timeout_s: 60,
            latency: Duration::from_millis(100),
            rate: 10_000,
            upkeep_slots: 2,
        }
    }
}

/// A running cluster.
pub struct Cluster {
    /// Front doors.
    pub apis: Vec<Process>,
    /// Workers.
    pub workers: Vec<Process>,
    /// Schedulers.
    pub schedulers: Vec<Process>,
    /// The provider.
    pub demo: DemoProvider,
    /// Work, seen beside the cluster.
    pub jobs: Jobs,
    /// The Postgres, when it is the cluster's own.
    pub postgres: Option<Postgres>,
    /// The Redis, when it is the cluster's own.
    pub redis: Option<RedisServer>,
    /// Where Redis is.
    pub redis_url: String,
    /// What the cluster's keys begin with.
    pub prefix: String,
    upkeep_slots: u32,
    program: PathBuf,
    env: Vec<(String, String)>,
    http: Client,
    issuer: Issuer,
    _pooler: Option<Pooler>,
    _dir: TempDir,
}

impl Cluster {
    /// Starts everything and waits until every process says that it runs.
    pub async fn start(options: Options) -> Self {
        let dir = tempfile::Builder::new().prefix("farm-cluster-").tempdir().unwrap();
        let prefix = format!("farm_test_{}", Uuid::now_v7().simple());
        let (postgres, redis) = if options.own_servers {
            let postgres = Postgres::start(dir.path(), Durability::Full).unwrap();
            let redis = RedisServer::start(dir.path(), Durability::None).unwrap();
            (Some(postgres), Some(redis))
        } else {
            (None, None)
        };
        let database = match &postgres {
            Some(postgres) => {
                let tables = Db::owner(&postgres.owner_url("postgres")).await.unwrap();
                Migrator::up(&tables, None).await.unwrap();
                tables.close().await.unwrap();
                postgres.url("postgres")
            }
            None => servers::new_database(&prefix).await,
        };
        let redis_url = match &redis {
            Some(redis) => redis.url(),
            None => servers::servers().redis.clone(),
        };
        let demo = DemoProvider::start(DemoOptions {
            latency: options.latency,
            ..DemoOptions::for_tests()
        })
        .await
        .unwrap();
        let pooler = options.pooler.then(|| Pooler::start(&database));
        let through = pooler.as_ref().map_or(database.clone(), |p| p.url(&database, true));
        let env = [
            ("DATABASE_URL", through),
            ("REDIS_URL", redis_url.clone()),
            ("FARM_REDIS_PREFIX", prefix.clone()),
            ("FARM_DATA_DIR", dir.path().display().to_string()),
            ("FARM_HTTP_ADDR", "127.0.0.1:0".to_owned()),
            ("FARM_JWT_SECRET", SECRET.to_owned()),
            ("FARM_LEASE_SECONDS", options.lease_s.to_string()),
            ("FARM_TIMEOUT_SECONDS", options.timeout_s.to_string()),
            ("DECODO_BASE_URL", demo.base_url()),
            ("DECODO_USERNAME", "test".to_owned()),
            ("DECODO_PASSWORD", "test".to_owned()),
            ("DECODO_RATE_PER_SECOND", options.rate.to_string()),
        ];
        let db = Db::connect(&database, 8).await.unwrap();
        let tickets = RedisTickets::new(Redis::new(&redis_url, &prefix).unwrap());
        let mut cluster = Self {
            apis: vec![],
            workers: vec![],
            schedulers: vec![],
            demo,
            jobs: Jobs::new(db, Arc::new(tickets)),
            postgres,
            redis,
            redis_url,
            prefix,
            upkeep_slots: options.upkeep_slots,
            program: program(),
            env: env.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            http: Client::builder().timeout(Duration::from_secs(35)).build().unwrap(),
            issuer: Issuer::new(SECRET.as_bytes()),
            _pooler: pooler,
            _dir: dir,
        };
        for _ in 0..options.apis {
            cluster.add_api();
        }
        for _ in 0..options.workers {
            cluster.add_worker();
        }
        for _ in 0..options.schedulers {
            cluster.add_scheduler();
        }
        cluster
    }

    fn spawn(&self, args: &[&str], ready: &str) -> Process {
        Process::start(&self.program, args, &self.env, ready)
    }

    /// An operator's command, to its end: its first line, and how it ended.
    pub fn command(&self, args: &[&str]) -> (String, ExitStatus) {
        let process = self.spawn(args, "");
        (process.said.clone(), process.wait())
    }

    /// One more front door.
    pub fn add_api(&mut self) {
        let api = self.spawn(&["api"], "api listens on");
        self.apis.push(api);
    }

    /// One more worker.
    pub fn add_worker(&mut self) {
        let slots = format!("upkeep={}", self.upkeep_slots);
        let worker = self.spawn(&["worker", "--concurrency", &slots], "worker runs");
        self.workers.push(worker);
    }

    /// One more scheduler.
    pub fn add_scheduler(&mut self) {
        let scheduler = self.spawn(&["scheduler"], "scheduler runs");
        self.schedulers.push(scheduler);
    }

    /// A worker that died is started again, as an orchestrator would. Returns how many were.
    pub fn revive(&mut self) -> usize {
        let before = self.workers.len();
        self.workers.retain_mut(|worker| worker.ended().is_none());
        let dead = before - self.workers.len();
        for _ in 0..dead {
            self.add_worker();
        }
        dead
    }

    /// The database.
    pub fn db(&self) -> &Db {
        self.jobs.db()
    }

    /// `SELECT count(*) AS n FROM …`.
    pub async fn count(&self, of: &str) -> i64 {
        self.try_count(of).await.unwrap()
    }

    /// [`Self::count`] while the database may be away.
    pub async fn try_count(&self, of: &str) -> Result<i64, DbErr> {
        let select = format!("SELECT count(*) AS n FROM {of}");
        sql::rows(self.db().read(), &select, vec![]).await?[0].try_get("", "n")
    }

    /// A user, made at first use, and a token good for an hour. `admin…` are admins.
    pub async fn token(&self, name: &str) -> (Uuid, String) {
        let email = format!("{name}@example.test");
        let role = if name.starts_with("admin") { Role::Admin } else { Role::User };
        let new = NewUser {
            email: &email,
            hashed_password: None,
            full_name: Some(name),
            role,
            tier: Tier::Standard,
        };
        let user = user::upsert(self.db(), &new).await.unwrap();
        (user.id, self.issuer.sign(&user, 3_600).unwrap())
    }

    /// URL of a path on one of the front doors, by turns.
    pub fn url(&self, turn: usize, path: &str) -> String {
        format!("{}{path}", self.apis[turn % self.apis.len()].said)
    }

    /// GET with a token.
    pub fn get(&self, path: &str, token: &str) -> RequestBuilder {
        self.http.get(self.url(0, path)).bearer_auth(token)
    }

    /// POST with a token.
    pub fn post(&self, turn: usize, path: &str, token: &str) -> RequestBuilder {
        self.http.post(self.url(turn, path)).bearer_auth(token)
    }

    /// Keys of this cluster in Redis.
    pub async fn keys(&self) -> Vec<String> {
        let client = redis::Client::open(self.redis_url.as_str()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut command = redis::cmd("KEYS");
        command.arg(format!("*{}*", self.prefix));
        command.query_async(&mut connection).await.unwrap()
    }

    /// Stops every process in order; each must end well.
    pub async fn end(mut self) {
        let all = self.apis.drain(..).chain(self.workers.drain(..));
        let all: Vec<Process> = all.chain(self.schedulers.drain(..)).collect();
        for process in &all {
            process.signal("-TERM");
        }
        for process in all {
            let status = process.wait();
            assert!(status.success(), "{status}");
        }
        if self.postgres.is_none() {
            servers::drop_database(&self.prefix).await;
        }
    }
}

/// The JSON of an answer with this status.
pub async fn json(answer: Response, status: u16) -> Value {
    let got = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    assert_eq!(got, status, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// Where a fetch is started.
pub fn refresh(handle: &str) -> String {
    format!("/api/v1/instagram/profile/{handle}/refresh")
}
