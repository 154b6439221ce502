//! `queue_controls`: pause and resume, durable and for the whole fleet.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use crate::args;
use crate::sql;
use crate::time::Time;

/// A queue's switch as stored.
#[derive(Clone, Debug, FromQueryResult)]
pub struct QueueControl {
    /// The queue.
    pub queue: String,
    /// Paused since then.
    pub paused_at: Option<Time>,
    /// By whom.
    pub paused_by: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// Pauses a queue: nothing of it starts until it is resumed; what runs goes on.
pub async fn pause<C: ConnectionTrait>(
    db: &C,
    queue: &str,
    by: &str,
    reason: &str,
) -> Result<(), DbErr> {
    sql::execute(
        db,
        "INSERT INTO queue_controls (queue, paused_at, paused_by, reason, changes) \
         VALUES (?, {now}, ?, ?, 1) ON CONFLICT (queue) DO UPDATE SET \
         paused_at = excluded.paused_at, paused_by = excluded.paused_by, \
         reason = excluded.reason, changes = queue_controls.changes + 1",
        args![queue, by, reason],
    )
    .await?;
    Ok(())
}

/// Resumes a queue.
pub async fn resume<C: ConnectionTrait>(db: &C, queue: &str) -> Result<bool, DbErr> {
    let rows = sql::execute(
        db,
        "UPDATE queue_controls SET paused_at = NULL, changes = changes + 1 \
         WHERE queue = ? AND paused_at IS NOT NULL",
        args![queue],
    )
    .await?;
    Ok(rows > 0)
}

/// The queues that are paused now.
pub async fn paused<C: ConnectionTrait>(db: &C) -> Result<Vec<QueueControl>, DbErr> {
    sql::all(db, "SELECT queue, paused_at, paused_by, reason FROM queue_controls WHERE paused_at IS NOT NULL", vec![]).await
}
