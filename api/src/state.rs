//! What every handler can reach.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use entity::job::query::{self, Means};
use entity::{Db, DbErr};
use jobs::Jobs;
use tokio_util::sync::CancellationToken;

use crate::identity::Issuer;
use crate::live::Live;

/// Which web pages may call us from a browser.
#[derive(Clone, Debug, Default)]
pub struct Cors {
    /// Exact origins, e.g. `http://localhost:3000`.
    pub origins: Vec<String>,
}

/// Shared by all requests.
#[derive(Clone, Debug)]
pub struct AppState {
    /// Work.
    pub jobs: Jobs,
    /// Tokens.
    pub issuer: Arc<Issuer>,
    /// Browsers.
    pub cors: Cors,
    /// A stored profile older than this is stale.
    pub fresh_for: Duration,
    /// Cancelled when the process stops: streams end, and nothing is waited for any more.
    pub stop: CancellationToken,
    /// What operators watch.
    pub(crate) live: Live,
    durations: Durations,
}

type Durations = Arc<Mutex<HashMap<String, (Instant, Option<Means>)>>>;

/// How long a measured mean is shown before it is measured again.
const DURATION_TTL: Duration = Duration::from_secs(10);

impl AppState {
    /// The state of one process.
    pub fn new(jobs: Jobs, issuer: Issuer, cors: Cors, fresh_for: Duration) -> Self {
        Self {
            jobs,
            issuer: Arc::new(issuer),
            cors,
            fresh_for,
            stop: CancellationToken::new(),
            live: Live::default(),
            durations: Arc::default(),
        }
    }

    /// The database.
    pub fn db(&self) -> &Db {
        self.jobs.db()
    }

    /// How long jobs of the kind take, from measured durations.
    pub async fn mean_durations(&self, kind: &str) -> Result<Option<Means>, DbErr> {
        let known =
            self.durations.lock().unwrap_or_else(PoisonError::into_inner).get(kind).copied();
        if let Some((at, means)) = known
            && at.elapsed() < DURATION_TTL
        {
            return Ok(means);
        }
        let means = query::mean_durations(self.db().read(), kind).await?;
        let mut durations = self.durations.lock().unwrap_or_else(PoisonError::into_inner);
        durations.insert(kind.to_owned(), (Instant::now(), means));
        Ok(means)
    }
}
