//! What a run writes while it runs, all of it fenced.

use sea_orm::DbErr;
use sea_orm::prelude::{Json, Uuid};

use super::{Fence, Model};
use crate::args;
use crate::db::Tx;
use crate::sql::{self, Arg};

/// Progress of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The declared stage it is in.
    pub stage: &'static str,
    /// Steps done.
    pub done: i32,
}

#[derive(sea_orm::FromQueryResult)]
struct Id {
    id: Uuid,
}

/// Writes the progress of many runs in one statement; it never falls. Returns the jobs that
/// changed.
pub async fn write<C: sea_orm::ConnectionTrait>(
    db: &C,
    runs: &[(Fence, Progress)],
) -> Result<Vec<Uuid>, DbErr> {
    if runs.is_empty() {
        return Ok(vec![]);
    }
    let rows = runs
        .iter()
        .map(|(fence, p)| args![fence.id, fence.run, p.stage, p.done, fence.worker])
        .collect();
    let changed: Vec<Id> = sql::all(
        db,
        "UPDATE jobs SET version = version + 1, stage = v.column3::text, \
         progress_done = CASE WHEN v.column4::int > progress_done \
           THEN v.column4::int ELSE progress_done END \
         FROM {rows} WHERE jobs.id = v.column1::uuid \
           AND jobs.run = v.column2::int AND jobs.state = 'running' \
           AND jobs.worker = v.column5::uuid RETURNING jobs.id AS id",
        vec![Arg::Rows(rows)],
    )
    .await?;
    Ok(changed.into_iter().map(|row| row.id).collect())
}

/// Sets how many steps there are, unless some are done: what is shown must never fall. Returns the
/// job when it changed.
pub async fn count<C: sea_orm::ConnectionTrait>(
    db: &C,
    fence: Fence,
    stage: &str,
    total: i32,
) -> Result<Option<Uuid>, DbErr> {
    let row: Option<Id> = sql::one(
        db,
        "UPDATE jobs SET version = version + 1, stage = ?, \
         progress_total = CASE WHEN progress_done = 0 OR progress_total IS NULL \
           THEN ? ELSE progress_total END \
         WHERE id = ? AND run = ? AND state = 'running' AND worker = ? RETURNING id",
        args![stage, total, fence.id, fence.run, fence.worker],
    )
    .await?;
    Ok(row.map(|row| row.id))
}

/// Notes, in the transaction that did them, how many steps are left; what is shown never falls.
pub async fn left(tx: &Tx, fence: Fence, stage: &str, left: i32) -> Result<(), DbErr> {
    sql::execute(
        tx,
        "UPDATE jobs SET version = version + 1, stage = ?, \
         progress_done = CASE WHEN progress_total - ? > progress_done \
           THEN progress_total - ? ELSE progress_done END \
         WHERE id = ? AND run = ? AND state = 'running' AND worker = ?",
        args![stage, left, left, fence.id, fence.run, fence.worker],
    )
    .await?;
    Ok(())
}

/// Locks the row for a partial write of this run. False when the run lost its fence: roll back.
pub async fn hold(tx: &Tx, fence: Fence) -> Result<bool, DbErr> {
    let row: Option<Id> = sql::one(
        tx,
        "SELECT id FROM jobs WHERE id = ? AND run = ? AND state = 'running' \
         AND worker = ? {for update}",
        args![fence.id, fence.run, fence.worker],
    )
    .await?;
    Ok(row.is_some())
}

/// Calls kept in the row; older ones fall out.
const MAX_CALLS: usize = 20;

/// Adds to the count of outside calls, and their records. False when the fence is lost.
pub async fn record_calls(
    tx: &Tx,
    fence: Fence,
    made: i32,
    records: &[Json],
) -> Result<bool, DbErr> {
    let row: Option<Model> = sql::one(
        tx,
        "SELECT {job} FROM jobs WHERE id = ? AND run = ? AND state = 'running' AND worker = ? \
         {for update}",
        args![fence.id, fence.run, fence.worker],
    )
    .await?;
    let Some(job) = row else { return Ok(false) };
    let mut calls = job.calls.as_array().cloned().unwrap_or_default();
    calls.extend_from_slice(records);
    let from = calls.len().saturating_sub(MAX_CALLS);
    sql::execute(
        tx,
        "UPDATE jobs SET calls_made = calls_made + ?, calls = ? WHERE id = ? AND run = ?",
        args![made, Json::Array(calls[from..].to_vec()), fence.id, fence.run],
    )
    .await?;
    Ok(true)
}
