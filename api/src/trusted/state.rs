//! What every handler can reach.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use entity::job::query::{self, Means};
use entity::ledger::till::Till;
use entity::{Actor, Db, DbErr, Scope, Time, clock};
use jobs::Jobs;
use tokio_util::sync::CancellationToken;

use super::identity::{Identity, SignedIn, Tokens};
use super::live::Live;
use super::sample::Vitals;
use crate::files::Files;
use crate::limits::Limits;
use crate::problem::Problem;
use crate::recent::Recent;
use crate::shelf::Shelf;
use crate::traffic::Traffic;

/// Which web pages may call us from a browser.
#[derive(Clone, Debug, Default)]
pub struct Cors {
    /// Exact origins, e.g. `http://localhost:3000`.
    pub origins: Vec<String>,
}

/// Shared by all requests; every one of them has its own handle.
#[derive(Clone, Debug)]
pub struct AppState(Arc<Shared>);

/// What the handles are on.
#[derive(Debug)]
pub struct Shared {
    /// Work, and the database in the farm's own role.
    pub(in crate::trusted) jobs: Jobs,
    /// Who is who.
    pub identity: Identity,
    /// Browsers.
    pub cors: Cors,
    /// A stored profile older than this is stale.
    pub fresh_for: Duration,
    /// Where files lie.
    pub files: Files,
    /// How much one may ask of us.
    pub limits: Limits,
    /// Cancelled when the process stops: streams end, and nothing is waited for any more.
    pub stop: CancellationToken,
    /// What operators watch.
    pub(crate) live: Live,
    /// Who signed in a moment ago.
    pub(crate) tokens: Tokens,
    /// Profiles that were looked at a moment ago.
    pub(crate) shelf: Shelf,
    /// Where reading is paid for.
    pub(crate) till: Till,
    /// How requests were answered.
    pub(crate) traffic: Traffic,
    /// How the farm is doing.
    pub(crate) vitals: Vitals,
    clock: Recent<(), Time>,
    durations: Durations,
}

type Durations = Mutex<HashMap<String, (Instant, Option<Means>)>>;

/// How long a measured mean is shown before it is measured again.
const DURATION_TTL: Duration = Duration::from_secs(10);
/// How long we count on from what the farm's clock said.
const CLOCK_TTL: Duration = Duration::from_secs(10);

impl Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl AppState {
    /// The state of one process.
    pub fn new(
        jobs: Jobs,
        identity: impl Into<Identity>,
        cors: Cors,
        fresh_for: Duration,
        files: Files,
        limits: Limits,
    ) -> Self {
        let till = Till::new(jobs.db().clone());
        Self(Arc::new(Shared {
            jobs,
            identity: identity.into(),
            cors,
            fresh_for,
            files,
            limits,
            stop: CancellationToken::new(),
            live: Live::default(),
            tokens: Tokens::default(),
            shelf: Shelf::default(),
            till,
            traffic: Traffic::default(),
            vitals: Vitals::default(),
            clock: Recent::new(CLOCK_TTL, 1),
            durations: Mutex::default(),
        }))
    }

    /// The database, in the farm's own role.
    pub(in crate::trusted) fn farm(&self) -> &Db {
        self.jobs.db()
    }

    /// The database as a caller may see it.
    pub(crate) fn scope(&self, caller: &SignedIn) -> Scope {
        let id = caller.user.id;
        let operator = caller.user.role.is_admin();
        self.farm().acting_for(if operator { Actor::Operator(id) } else { Actor::User(id) })
    }

    /// The database as anybody who is signed in may see it: what is read for all of them at once.
    pub(crate) fn common(&self) -> Scope {
        self.farm().acting_for(Actor::Anyone)
    }

    /// The farm's clock, asked now and then and counted on in between.
    pub async fn now(&self) -> Result<Time, Problem> {
        let ask = |_| async { Ok(Some(clock::now(self.farm().read()).await?)) };
        let said = self.clock.get(&(), ask).await?.ok_or_else(Problem::internal)?;
        Ok(Time(said.value.0 + said.asked.elapsed().as_millis() as i64))
    }

    /// Forgets what was read a moment ago: for whoever moves the clock, or changes rows past us,
    /// and cannot wait a second.
    pub fn forget(&self) {
        self.clock.clear();
        self.tokens.clear();
        self.shelf.clear();
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
        let means = query::mean_durations(self.farm().read(), kind).await?;
        let mut durations = self.durations.lock().unwrap_or_else(PoisonError::into_inner);
        durations.insert(kind.to_owned(), (Instant::now(), means));
        Ok(means)
    }
}
