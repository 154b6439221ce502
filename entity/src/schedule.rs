//! `schedules`: one row per entry of the schedule. A tick is taken by one conditional UPDATE in
//! the transaction that enqueues its job, so that any number of schedulers take each tick once.

use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use crate::args;
use crate::db::Tx;
use crate::enums::JobState;
use crate::sql::{self, at};
use crate::time::Time;

/// An entry as stored, with what became of its last job.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Schedule {
    /// The entry.
    pub name: String,
    /// The latest tick that was taken, or was past when the entry was registered.
    pub last_tick: Option<Time>,
    /// When that tick was taken; null while none has been.
    pub taken_at: Option<Time>,
    /// The job that tick enqueued or joined.
    pub last_job: Option<Uuid>,
    /// Paused: no tick is taken.
    pub paused: bool,
    /// Since when.
    pub paused_at: Option<Time>,
    /// By whom.
    pub paused_by: Option<String>,
    /// Where the last job stands.
    pub job_state: Option<JobState>,
    /// Why it failed, as a word.
    pub job_error_code: Option<String>,
    /// Why it failed, as a sentence.
    pub job_error_message: Option<String>,
    /// When it ended.
    pub job_finished_at: Option<Time>,
}

/// Registers an entry unless it is known: what is past by then was never missed, so a fresh
/// installation fires nothing. True when it was not known.
pub async fn register<C: ConnectionTrait>(
    db: &C,
    name: &str,
    past_tick: Time,
) -> Result<bool, DbErr> {
    let rows = sql::execute(
        db,
        "INSERT INTO schedules (name, last_tick) VALUES (?, ?) ON CONFLICT (name) DO UPDATE \
         SET last_tick = excluded.last_tick WHERE schedules.last_tick IS NULL",
        args![name, at(past_tick)],
    )
    .await?;
    Ok(rows > 0)
}

/// Takes a tick for the transaction that enqueues its job. False when it has been taken, lies in
/// the future, or the entry is paused.
pub async fn take(tx: &Tx, name: &str, tick: Time) -> Result<bool, DbErr> {
    let rows = sql::execute(
        tx,
        "UPDATE schedules SET last_tick = ?, taken_at = {now} \
         WHERE name = ? AND last_tick < ? AND ? <= {now} AND NOT paused",
        args![at(tick), name, at(tick), at(tick)],
    )
    .await?;
    Ok(rows == 1)
}

/// Notes which job the taken tick enqueued or joined, in the same transaction.
pub async fn set_job(tx: &Tx, name: &str, job: Uuid) -> Result<(), DbErr> {
    sql::execute(tx, "UPDATE schedules SET last_job = ? WHERE name = ?", args![job, name]).await?;
    Ok(())
}

/// Pauses an entry. False when it is paused already (who did it first is kept) or unknown.
pub async fn pause<C: ConnectionTrait>(db: &C, name: &str, by: &str) -> Result<bool, DbErr> {
    let rows = sql::execute(
        db,
        "UPDATE schedules SET paused = TRUE, paused_at = {now}, paused_by = ? \
         WHERE name = ? AND NOT paused",
        args![by, name],
    )
    .await?;
    Ok(rows == 1)
}

/// Resumes an entry; of the ticks missed meanwhile the latest is taken. False when it is not
/// paused.
pub async fn resume<C: ConnectionTrait>(db: &C, name: &str) -> Result<bool, DbErr> {
    let rows = sql::execute(
        db,
        "UPDATE schedules SET paused = FALSE, paused_at = NULL, paused_by = NULL \
         WHERE name = ? AND paused",
        args![name],
    )
    .await?;
    Ok(rows == 1)
}

/// Every entry that was ever registered, with its last result.
pub async fn list<C: ConnectionTrait>(db: &C) -> Result<Vec<Schedule>, DbErr> {
    sql::all(
        db,
        "SELECT s.name, s.last_tick, s.taken_at, s.last_job, s.paused, s.paused_at, s.paused_by, \
         j.state AS job_state, j.error_code AS job_error_code, \
         j.error_message AS job_error_message, j.finished_at AS job_finished_at \
         FROM schedules s LEFT JOIN jobs j ON j.id = s.last_job ORDER BY s.name",
        vec![],
    )
    .await
}
