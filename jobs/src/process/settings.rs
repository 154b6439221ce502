//! What every process of a farm is told: where its rows and tickets are, and how it logs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use entity::Db;
use entity::db::Plans;
use url::Url;

use super::Failure;
use super::env::{Env, Secret};
use crate::Jobs;
use crate::memory::MemoryTickets;
use crate::redis::{Redis, RedisTickets};
use crate::storage::{Storage, StorageSettings};
use crate::ticket::TicketQueue;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

/// Settings that every process shares.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `FARM_DATA_DIR`.
    pub data_dir: PathBuf,
    /// `DATABASE_URL`; unset = a file in the data dir.
    pub database_url: Option<Secret>,
    /// `DATABASE_LOGIN` and `DATABASE_LOGIN_PASSWORD`: whom processes connect as, for the command
    /// that makes the tables.
    pub login: Option<(String, Secret)>,
    /// `DATABASE_MAX_CONNECTIONS`; unset = what the role needs.
    pub max_connections: Option<u32>,
    /// `REDIS_URL`, with `REDIS_PASSWORD` in it; unset = tickets in memory.
    pub redis_url: Option<Secret>,
    /// `FARM_REDIS_PREFIX`.
    pub redis_prefix: String,
    /// `STORAGE_URL`.
    pub storage: StorageSettings,
    /// `FARM_METRICS_ADDR`; unset = the usual port, or a free one.
    pub metrics_addr: Option<SocketAddr>,
    /// `SENTRY_DSN`.
    pub sentry_dsn: Option<Secret>,
    /// `RUST_LOG`.
    pub rust_log: Option<String>,
    /// `LOG_FORMAT`.
    pub log_format: LogFormat,
}

impl Settings {
    /// Reads them.
    ///
    /// # Errors
    /// A sentence naming the variable and the rule.
    pub fn read(env: &Env) -> Result<Self, Failure> {
        let settings = Self {
            data_dir: env.text("FARM_DATA_DIR").map_or_else(|| "farm-data".into(), PathBuf::from),
            database_url: database_url(env)?,
            login: login(env)?,
            max_connections: max_connections(env)?,
            redis_url: redis_url(env)?,
            redis_prefix: redis_prefix(env)?,
            storage: StorageSettings::read(env)?,
            metrics_addr: env.parse("FARM_METRICS_ADDR", "an address like 127.0.0.1:9100")?,
            sentry_dsn: sentry_dsn(env)?,
            rust_log: env.text("RUST_LOG").map(str::to_owned),
            log_format: match env.text("LOG_FORMAT") {
                None | Some("text") => LogFormat::Text,
                Some("json") => LogFormat::Json,
                Some(other) => {
                    return Err(Failure::new(format!(
                        "LOG_FORMAT must be text or json, not {other:?}"
                    )));
                }
            },
        };
        if settings.redis_url.is_some() && !settings.on_postgres() {
            return Err(Failure::new(
                "REDIS_URL is set without DATABASE_URL=postgres://…: tickets in Redis are for \
                 several processes, which need one database server; set both or neither",
            ));
        }
        Ok(settings)
    }

    /// The database to open: as told, or the file in the data dir.
    pub fn database(&self) -> String {
        match &self.database_url {
            Some(url) => url.expose().to_owned(),
            None => format!("sqlite://{}?mode=rwc", self.data_dir.join("farm.db").display()),
        }
    }

    /// True while nothing but this machine is involved.
    pub fn is_demo(&self) -> bool {
        self.database_url.is_none()
    }

    fn on_postgres(&self) -> bool {
        self.database_url.as_ref().is_some_and(|url| !url.expose().starts_with("sqlite:"))
    }

    /// Refuses what only works within one process.
    ///
    /// # Errors
    /// A sentence saying what a role of a cluster needs.
    pub fn require_cluster(&self, role: &str) -> Result<(), Failure> {
        let missing = match (self.on_postgres(), self.redis_url.is_some()) {
            (true, true) => return Ok(()),
            (true, false) => "REDIS_URL=redis://… is not set",
            (false, _) => "DATABASE_URL is not postgres://…, and SQLite serves one process only",
        };
        Err(Failure::new(format!(
            "{role} is a role of a cluster: {missing}; set DATABASE_URL=postgres://… and \
             REDIS_URL=redis://…, or run everything in one process with farm up"
        )))
    }

    /// Opens the database with at most `connections`, unless told otherwise.
    ///
    /// # Errors
    /// A sentence without the password.
    pub async fn connect(&self, connections: u32, plans: Plans) -> Result<Db, Failure> {
        let url = self.database();
        let opened = Db::connect_with(&url, self.max_connections.unwrap_or(connections), plans);
        let opened = opened.await;
        opened.map_err(|error| {
            // Drivers quote the URL, and the URL holds the password.
            let error = error.to_string().replace(&url, "the URL");
            let which = match &self.database_url {
                Some(_) => "the database of DATABASE_URL".to_owned(),
                None => self.data_dir.join("farm.db").display().to_string(),
            };
            let hint = if error.contains("unsupported startup parameter") {
                "; if this is a transaction pooler, add ?pgbouncer=true to DATABASE_URL"
            } else {
                ""
            };
            Failure::new(format!("{which} cannot be opened: {error}{hint}"))
        })
    }

    /// Opens the database of a cluster, whose tables must be there.
    ///
    /// # Errors
    /// A sentence; pending migrations are one reason.
    pub async fn connect_migrated(&self, connections: u32, plans: Plans) -> Result<Db, Failure> {
        let db = self.connect(connections, plans).await?;
        if entity::db::is_migrated(db.read()).await? {
            return Ok(db);
        }
        Err(Failure::new("the database's tables are missing or old; run farm migrate up first"))
    }

    /// Where files lie.
    ///
    /// # Errors
    /// When a folder cannot be made, or a bucket's settings cannot be used.
    pub fn open_storage(&self) -> Result<Storage, Failure> {
        self.storage.open(&self.data_dir)
    }

    /// The Redis of the cluster, when there is one.
    ///
    /// # Errors
    /// When the URL cannot be used.
    pub fn redis(&self) -> Result<Option<Redis>, Failure> {
        let Some(url) = &self.redis_url else { return Ok(None) };
        let redis = Redis::new(url.expose(), &self.redis_prefix);
        redis.map(Some).map_err(|error| Failure::new(error.to_string()))
    }

    /// Work over this database: with tickets in Redis when there is one, else in memory.
    pub fn jobs(db: Db, redis: Option<&Redis>) -> Jobs {
        let tickets: Arc<dyn TicketQueue> = match redis {
            Some(redis) => Arc::new(RedisTickets::new(redis.clone())),
            None => Arc::new(MemoryTickets::default()),
        };
        Jobs::new(db, tickets)
    }
}

fn database_url(env: &Env) -> Result<Option<Secret>, Failure> {
    let url = env.secret("DATABASE_URL")?;
    if let Some(url) = &url {
        let known = ["sqlite:", "postgres://", "postgresql://"];
        if !known.iter().any(|scheme| url.expose().starts_with(scheme)) {
            return Err(Failure::new("DATABASE_URL must begin with postgres:// or sqlite:"));
        }
        let server = !url.expose().starts_with("sqlite:");
        let parsed = Url::parse(url.expose()).ok();
        if server && parsed.is_none_or(|url| url.fragment().is_some() || !url.has_host()) {
            return Err(Failure::new(
                "DATABASE_URL is no URL; write special characters of the password as %xx",
            ));
        }
    }
    Ok(url)
}

fn login(env: &Env) -> Result<Option<(String, Secret)>, Failure> {
    match (env.text("DATABASE_LOGIN"), env.secret("DATABASE_LOGIN_PASSWORD")?) {
        (Some(name), Some(password)) => Ok(Some((name.to_owned(), password))),
        (None, None) => Ok(None),
        (Some(_), None) => {
            Err(Failure::new("DATABASE_LOGIN is set without DATABASE_LOGIN_PASSWORD; set both"))
        }
        (None, Some(_)) => {
            Err(Failure::new("DATABASE_LOGIN_PASSWORD is set without DATABASE_LOGIN; set both"))
        }
    }
}

fn max_connections(env: &Env) -> Result<Option<u32>, Failure> {
    let rule = "a number from 1 to 1000";
    let most: Option<u32> = env.parse("DATABASE_MAX_CONNECTIONS", rule)?;
    if most.is_some_and(|most| !(1..=1_000).contains(&most)) {
        return Err(Failure::new(format!("DATABASE_MAX_CONNECTIONS must be {rule}")));
    }
    Ok(most)
}

fn redis_url(env: &Env) -> Result<Option<Secret>, Failure> {
    let Some(url) = env.secret("REDIS_URL")? else {
        if env.secret("REDIS_PASSWORD")?.is_some() {
            return Err(Failure::new("REDIS_PASSWORD is set without REDIS_URL; set both"));
        }
        return Ok(None);
    };
    let rule = "REDIS_URL must be like redis://host:6379/0, or rediss:// for TLS";
    let mut parsed = Url::parse(url.expose()).map_err(|_| Failure::new(rule))?;
    if !matches!(parsed.scheme(), "redis" | "rediss") || !parsed.has_host() {
        return Err(Failure::new(rule));
    }
    if let Some(password) = env.secret("REDIS_PASSWORD")? {
        if parsed.password().is_some() {
            return Err(Failure::new(
                "REDIS_URL holds a password and REDIS_PASSWORD is set; keep one",
            ));
        }
        parsed.set_password(Some(password.expose())).map_err(|()| Failure::new(rule))?;
    }
    Ok(Some(Secret::new(parsed)))
}

fn redis_prefix(env: &Env) -> Result<String, Failure> {
    let prefix = env.text("FARM_REDIS_PREFIX").unwrap_or("farm");
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if prefix.len() > 64 || !prefix.chars().all(plain) {
        return Err(Failure::new(
            "FARM_REDIS_PREFIX must be at most 64 letters, digits and - _ . :",
        ));
    }
    Ok(prefix.to_owned())
}

fn sentry_dsn(env: &Env) -> Result<Option<Secret>, Failure> {
    let dsn = env.secret("SENTRY_DSN")?;
    if dsn.as_ref().is_some_and(|dsn| dsn.expose().parse::<sentry::types::Dsn>().is_err()) {
        return Err(Failure::new("SENTRY_DSN must be a DSN like https://key@host/1"));
    }
    Ok(dsn)
}
