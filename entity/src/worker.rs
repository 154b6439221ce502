//! `workers`: one row per worker, with the lease that all its runs live on.

use std::collections::BTreeMap;

use sea_orm::prelude::{Json, Uuid};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};
use serde::Deserialize;

use crate::args;
use crate::db::Tx;
use crate::enums::AiTier;
use crate::sql::{self, Arg};
use crate::time::Time;

/// A worker as stored.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Worker {
    /// New for every registration, so that nothing of an earlier life can be mistaken for it.
    pub id: Uuid,
    /// Host name and process id.
    pub host: String,
    /// Version of the program.
    pub version: String,
    /// Jobs it runs at once, over all queues.
    pub slots: i32,
    /// It lives until then.
    pub lease_until: Time,
    /// It takes no new work.
    pub draining: bool,
    /// When it last renewed its lease; null of one that a version without this column registered.
    pub renewed_at: Option<Time>,
    /// Resident memory in bytes, as last reported.
    pub memory_bytes: Option<i64>,
    /// When it registered.
    pub started_at: Time,
    /// What it says of its models ([`AiState`]); null when it analyses nothing.
    pub ai: Option<Json>,
    /// What it says of the provider of profiles ([`Circuit`]); null when it asks none.
    pub provider: Option<Json>,
}

impl Worker {
    /// What it says of its models; `None` when it analyses nothing, or says it in other words.
    pub fn ai_state(&self) -> Option<AiState> {
        serde_json::from_value(self.ai.clone()?).ok()
    }

    /// Where its circuit to the provider stands; `None` when it asks none.
    pub fn circuit(&self) -> Option<Circuit> {
        serde_json::from_value(self.provider.clone()?).ok()
    }
}

/// The best tier that one of these workers answers with now; those that are about to go do not
/// count.
pub fn best_tier(workers: &[Worker]) -> Option<AiTier> {
    let states = workers.iter().filter(|worker| !worker.draining).filter_map(Worker::ai_state);
    states.filter_map(|state| state.serving?.parse().ok()).max()
}

/// What a worker says of its models: of the engine's own words those that others look at. What a
/// later version adds is passed over, what an earlier one does not say is empty.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct AiState {
    /// `loading`, `serving`, `degraded` or `stopped`.
    pub status: String,
    /// The best tier it has the means for.
    pub wanted: Option<String>,
    /// The best tier that answers now.
    pub serving: Option<String>,
    /// Why the wanted tier does not answer.
    pub why: Option<String>,
    /// Each tier, the best first.
    pub tiers: Vec<AiTierState>,
    /// Captions that wait for the models.
    pub queue: i64,
    /// Captions in batches under way.
    pub running: i64,
    /// Middle size of its last 128 batches; null before the first.
    pub batch_p50: Option<i64>,
    /// Captions computed since it began, by the tier of their answer.
    pub done: BTreeMap<String, i64>,
    /// Captions without an answer.
    pub offences: i64,
    /// Captions computed an hour, over the last minute.
    pub posts_per_hour: f64,
    /// Bytes of all loaded weights.
    pub weights: i64,
}

/// What became of a tier on a worker.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct AiTierState {
    /// Which.
    pub tier: String,
    /// Threads ready to answer.
    pub threads: i64,
    /// How far its load has come, in percent; null when none is under way.
    pub loading: Option<i64>,
    /// Why its last load failed.
    pub load_error: Option<String>,
    /// What it answers with; empty while it is not loaded.
    pub models: Vec<AiModel>,
}

/// What a tier answers with.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct AiModel {
    /// Its name and revision.
    pub name: String,
    /// SHA-256 of its weights, hex.
    pub hash: String,
}

/// Whether a worker lets calls to the provider through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Circuit {
    /// `closed`, `open` or `half_open`.
    pub state: String,
    /// Why it opened; null while closed.
    pub reason: Option<String>,
    /// Milliseconds until a probe is let through; null unless open.
    pub opens_again_in_ms: Option<i64>,
}

/// The columns of a [`Worker`]: named, so that a migration that adds one refuses no statement.
const COLUMNS: &str = "id, host, version, slots, lease_until, draining, renewed_at, \
     memory_bytes, started_at, ai, provider";

/// What a worker says of itself.
#[derive(Clone, Debug)]
pub struct NewWorker<'a> {
    /// Its id.
    pub id: Uuid,
    /// Host name and process id.
    pub host: &'a str,
    /// Version of the program.
    pub version: &'a str,
    /// Kinds it runs.
    pub kinds: &'a [&'a str],
    /// Jobs it runs at once.
    pub slots: i32,
    /// Milliseconds of its lease.
    pub lease_ms: i64,
}

/// Registers a worker with a fresh lease.
pub async fn register(tx: &Tx, new: &NewWorker<'_>) -> Result<(), DbErr> {
    sql::execute(
        tx,
        "INSERT INTO workers (id, host, version, slots, lease_until, renewed_at, draining, \
         started_at) VALUES (?, ?, ?, ?, {now+?}, {now}, ?, {now})",
        args![new.id, new.host, new.version, new.slots, new.lease_ms, false],
    )
    .await?;
    let kinds = new.kinds.iter().map(|kind| args![new.id, *kind]).collect();
    sql::execute(
        tx,
        "INSERT INTO worker_kinds (worker_id, kind) SELECT column1::uuid, column2 FROM {rows}",
        vec![Arg::Rows(kinds)],
    )
    .await?;
    Ok(())
}

/// What a worker says whenever it renews its lease.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Resident memory, where the system tells.
    pub memory_bytes: Option<i64>,
    /// Its models ([`AiState`]).
    pub ai: Option<Json>,
    /// Its circuit to the provider ([`Circuit`]).
    pub provider: Option<Json>,
}

/// Renews the lease, with what the worker says. False means that it was over: the worker's runs
/// may be somebody else's.
pub async fn renew<C: ConnectionTrait>(
    db: &C,
    id: Uuid,
    lease_ms: i64,
    said: Report,
) -> Result<bool, DbErr> {
    let rows = sql::execute(
        db,
        "UPDATE workers SET lease_until = {now+?}, renewed_at = {now}, memory_bytes = ?, ai = ?, \
         provider = ? WHERE id = ? AND lease_until > {now}",
        args![lease_ms, said.memory_bytes, said.ai, said.provider, id],
    )
    .await?;
    Ok(rows == 1)
}

/// Marks the worker as taking no new work.
pub async fn drain<C: ConnectionTrait>(db: &C, id: Uuid) -> Result<(), DbErr> {
    sql::execute(db, "UPDATE workers SET draining = ? WHERE id = ?", args![true, id]).await?;
    Ok(())
}

/// Signs the worker off; whatever it still ran is rescued at the next sweep.
pub async fn remove<C: ConnectionTrait>(db: &C, id: Uuid) -> Result<(), DbErr> {
    sql::execute(db, "DELETE FROM workers WHERE id = ?", args![id]).await?;
    Ok(())
}

#[derive(FromQueryResult)]
struct Count {
    n: i64,
}

/// How many workers live and take new work.
pub async fn count_live<C: ConnectionTrait>(db: &C) -> Result<u32, DbErr> {
    let count: Option<Count> = sql::one(
        db,
        "SELECT count(*) AS n FROM workers WHERE lease_until > {now} AND NOT draining",
        vec![],
    )
    .await?;
    Ok(count.map_or(0, |count| count.n as u32))
}

#[derive(FromQueryResult)]
struct KindRow {
    kind: String,
}

/// The kinds that live workers announced.
pub async fn live_kinds<C: ConnectionTrait>(db: &C) -> Result<Vec<String>, DbErr> {
    let rows: Vec<KindRow> = sql::all(
        db,
        "SELECT DISTINCT k.kind AS kind FROM worker_kinds k JOIN workers w ON w.id = k.worker_id \
         WHERE w.lease_until > {now} AND NOT w.draining",
        vec![],
    )
    .await?;
    Ok(rows.into_iter().map(|row| row.kind).collect())
}

/// Workers whose lease is live.
pub async fn live<C: ConnectionTrait>(db: &C) -> Result<Vec<Worker>, DbErr> {
    let live =
        format!("SELECT {COLUMNS} FROM workers WHERE lease_until > {{now}} ORDER BY started_at");
    sql::all(db, &live, vec![]).await
}

/// Workers of an overview; more than any farm has at once.
const OVERVIEW_WORKERS: i64 = 500;
/// Runs of an overview.
const OVERVIEW_RUNS: i64 = 2_000;

/// Workers that live, newest first, then those whose lease has run out lately (upkeep forgets
/// them after an hour).
pub async fn recent<C: ConnectionTrait>(db: &C) -> Result<Vec<Worker>, DbErr> {
    let recent = format!(
        "SELECT {COLUMNS} FROM workers \
         ORDER BY CASE WHEN lease_until > {{now}} THEN 0 ELSE 1 END, started_at DESC, id LIMIT ?"
    );
    sql::all(db, &recent, args![OVERVIEW_WORKERS]).await
}

/// A kind that a worker runs.
#[derive(Clone, Debug, FromQueryResult)]
pub struct WorkerKind {
    /// The worker.
    pub worker_id: Uuid,
    /// The kind.
    pub kind: String,
}

/// The kinds every worker announced.
pub async fn kinds<C: ConnectionTrait>(db: &C) -> Result<Vec<WorkerKind>, DbErr> {
    sql::all(db, "SELECT worker_id, kind FROM worker_kinds ORDER BY worker_id, kind", vec![]).await
}

/// A run as its row has it.
#[derive(Clone, Debug, FromQueryResult)]
pub struct CurrentRun {
    /// The job.
    pub id: Uuid,
    /// Who runs it.
    pub worker: Uuid,
    /// What it is.
    pub kind: String,
    /// Where it waited.
    pub queue: String,
    /// Which attempt it is, from 1.
    pub attempt: i32,
    /// The stage it is in.
    pub stage: Option<String>,
    /// When this run began; null when a version without this column claimed it.
    pub claimed_at: Option<Time>,
}

/// What runs now, longest first.
pub async fn current_runs<C: ConnectionTrait>(db: &C) -> Result<Vec<CurrentRun>, DbErr> {
    sql::all(
        db,
        "SELECT id, worker, kind, queue, attempt, stage, claimed_at FROM jobs \
         WHERE state = 'running' AND worker IS NOT NULL ORDER BY claimed_at, id LIMIT ?",
        args![OVERVIEW_RUNS],
    )
    .await
}
