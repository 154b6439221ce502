//! Retention: finished rows are kept for a while, then pruned in bounded batches.

use sea_orm::{ConnectionTrait, DbErr};

use crate::db::Db;
use crate::sql;
use crate::{ai_answer, args, session};

/// How long a result may be read, in milliseconds: one day.
pub const RESULT_TTL_MS: i64 = 24 * 3_600_000;
/// How long succeeded and cancelled jobs are kept, in milliseconds: 7 days.
pub const KEEP_SUCCEEDED_MS: i64 = 7 * 24 * 3_600_000;
/// How long failed jobs are kept, in milliseconds: 30 days.
pub const KEEP_FAILED_MS: i64 = 30 * 24 * 3_600_000;

/// How long an unreadable provider answer is kept, in milliseconds: one day.
pub const KEEP_RAW_MS: i64 = 24 * 3_600_000;

/// Rows per statement of [`pass`].
const BATCH: u64 = 500;

/// Deletes everything that has had its time, in bounded batches, and returns how many rows went.
/// Stops after the batch at hand when `go_on` says no; what is left is the next pass's. Others
/// may write between two batches.
pub async fn pass(db: &Db, go_on: impl Fn() -> bool) -> Result<u64, DbErr> {
    let mut gone = 0;
    loop {
        let batch = prune(db.write(), BATCH).await? + sweep(db.write(), BATCH).await?;
        gone += batch;
        if batch < BATCH || !go_on() {
            return Ok(gone);
        }
    }
}

/// Deletes at most `limit` finished jobs past their time, oldest first, with their events and
/// watchers (by foreign key). The last job of an entry of the schedule stays: it is that entry's
/// last result. Returns how many went.
pub async fn prune<C: ConnectionTrait>(db: &C, limit: u64) -> Result<u64, DbErr> {
    sql::execute(
        db,
        // Locked and asked again: a row that is being retried meanwhile must stay.
        "DELETE FROM jobs WHERE finished_at IS NOT NULL AND id IN (SELECT id FROM jobs \
         WHERE finished_at IS NOT NULL \
           AND ((state IN ('succeeded', 'cancelled') AND finished_at < {now-?}) \
             OR (state = 'failed' AND finished_at < {now-?})) \
           AND NOT EXISTS (SELECT 1 FROM schedules s WHERE s.last_job = jobs.id) \
         ORDER BY finished_at LIMIT ? {skip locked})",
        args![KEEP_SUCCEEDED_MS, KEEP_FAILED_MS, limit as i64],
    )
    .await
}

/// Deletes what else has had its time: idempotency keys, workers gone for an hour, and results
/// past their expiry (the row stays, its result goes), unreadable answers of the provider,
/// answers about texts, and sessions.
pub async fn sweep<C: ConnectionTrait>(db: &C, limit: u64) -> Result<u64, DbErr> {
    let limit = limit as i64;
    let mut gone = sql::execute(
        db,
        "DELETE FROM idempotency_keys WHERE id IN (SELECT id FROM idempotency_keys \
         WHERE expires_at < {now} LIMIT ?)",
        args![limit],
    )
    .await?;
    gone += sql::execute(
        db,
        "DELETE FROM job_events WHERE id IN (SELECT id FROM job_events \
         WHERE event = 'bad_shape' AND at < {now-?} LIMIT ?)",
        args![KEEP_RAW_MS, limit],
    )
    .await?;
    gone += ai_answer::prune(db, limit as u64).await?;
    gone += session::prune(db, limit as u64).await?;
    gone +=
        sql::execute(db, "DELETE FROM workers WHERE lease_until < {now-?}", args![3_600_000_i64])
            .await?;
    gone += sql::execute(
        db,
        "UPDATE jobs SET result = NULL, version = version + 1 WHERE id IN (SELECT id FROM jobs \
         WHERE result IS NOT NULL AND result_expires_at < {now} LIMIT ? {skip locked})",
        args![limit],
    )
    .await?;
    Ok(gone)
}
