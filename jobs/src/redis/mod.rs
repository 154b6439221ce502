//! Redis, for a cluster: the connection everything shares ([`Redis`]), and the tickets over it
//! ([`RedisTickets`]).

mod tickets;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use apalis_redis::{Client, ConnectionManager};
use redis::aio::ConnectionManagerConfig;
use redis::{FromRedisValue, RedisError, RedisResult, ScriptInvocation};

pub use tickets::RedisTickets;

/// How long a command may take before its answer is given up: longer than a fork for a snapshot or
/// a slow disk lasts.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(12);
/// How long somebody who must not be held up waits for Redis.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// After a failure nobody who must not be held up tries again for so long.
const REST: Duration = Duration::from_secs(1);

/// The Redis of a cluster could not be used as configured.
#[derive(Debug, thiserror::Error)]
#[error("REDIS_URL cannot be used: {0}")]
pub struct BadRedisUrl(String);

/// A connection that comes back by itself, shared by everything in the process that asks Redis.
#[derive(Clone)]
pub struct Redis(Arc<Inner>);

struct Inner {
    client: Client,
    prefix: String,
    /// Replaced when Redis was away: whoever still waits on the old one cannot hold up others.
    manager: RwLock<ConnectionManager>,
    /// After a failure nobody impatient asks before then.
    rest_until: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("prefix", &self.0.prefix).finish_non_exhaustive()
    }
}

impl Redis {
    /// Prepares the connection; the server may come later. Needs a running tokio runtime.
    ///
    /// # Errors
    /// When the URL is none of Redis.
    pub fn new(url: &str, prefix: &str) -> Result<Self, BadRedisUrl> {
        // Errors of the driver may quote the URL, and the URL may hold a password.
        let bad = |error: RedisError| BadRedisUrl(error.category().to_owned());
        let client = Client::open(url).map_err(bad)?;
        let manager = RwLock::new(manager(&client).map_err(bad)?);
        let prefix = prefix.to_owned();
        Ok(Self(Arc::new(Inner { client, prefix, manager, rest_until: Mutex::default() })))
    }

    pub(super) fn client(&self) -> &Client {
        &self.0.client
    }

    pub(super) fn prefix(&self) -> &str {
        &self.0.prefix
    }

    /// Key or channel of a name.
    pub(crate) fn name(&self, name: &str) -> String {
        format!("{}:{name}", self.0.prefix)
    }

    fn connection(&self) -> ConnectionManager {
        self.0.manager.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks for somebody who can wait. A connection that broke is noticed by the first to use it;
    /// the second try is on the next one.
    pub(super) async fn ask<T, F>(&self, asked: impl Fn(ConnectionManager) -> F) -> RedisResult<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        match asked(self.connection()).await {
            Err(error) if error.is_io_error() && !error.is_timeout() => {
                asked(self.connection()).await
            }
            answer => answer,
        }
    }

    /// Asks for somebody who must not be held up: `None` at once while Redis is known to be away,
    /// or after a second without an answer.
    pub(super) async fn ask_soon<T, F>(&self, asked: impl Fn(ConnectionManager) -> F) -> Option<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let resting = *self.rest();
        if resting.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        match tokio::time::timeout(PATIENCE, self.ask(asked)).await {
            Ok(Ok(value)) => return Some(value),
            Ok(Err(error)) => tracing::warn!(error = %error.category(), "Redis refused"),
            Err(_) => tracing::warn!("Redis does not answer"),
        }
        // Unless it was found to be back while we waited.
        if *self.rest() == resting {
            self.connect_anew();
            *self.rest() = Some(Instant::now() + REST);
        }
        None
    }

    /// Runs a script for somebody who must not be held up.
    pub(crate) async fn run_soon<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> Option<T> {
        self.ask_soon(async |mut connection| script.invoke_async(&mut connection).await).await
    }

    fn rest(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.rest_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next to ask connects anew: a connection may be open and of no use (nobody at the other
    /// end, a server that became a replica).
    pub(super) fn connect_anew(&self) {
        if let Ok(fresh) = manager(&self.0.client) {
            *self.0.manager.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        }
    }

    /// It was away and is back: everybody asks anew.
    pub(super) fn is_back(&self) {
        self.connect_anew();
        *self.rest() = None;
    }
}

fn manager(client: &Client) -> RedisResult<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
        .set_min_delay(Duration::from_millis(50))
        .set_max_delay(Duration::from_millis(250))
        .set_number_of_retries(2);
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}
