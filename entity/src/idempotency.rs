//! `idempotency_keys`: a repeated POST gets the answer of the first.

use sea_orm::prelude::{Json, Uuid};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use crate::args;
use crate::db::Tx;
use crate::sql;
use crate::time::Time;

/// How long a key is kept, in milliseconds: 24 h.
pub const KEEP_MS: i64 = 24 * 3_600_000;

/// A key as stored.
#[derive(Clone, Debug, FromQueryResult)]
pub struct IdempotencyKey {
    /// SHA-256 of method, path and body, in hex.
    pub body_hash: String,
    /// The job the first request started, when it started one.
    pub job_id: Option<Uuid>,
    /// The first answer; null while it is being made.
    pub answer: Option<Json>,
    /// When the first request came.
    pub created_at: Time,
}

/// Takes the key in the caller's transaction. `Some` is the row of an earlier request.
pub async fn take(
    tx: &Tx,
    user: Uuid,
    key: &str,
    body_hash: &str,
) -> Result<Option<IdempotencyKey>, DbErr> {
    sql::execute(
        tx,
        "DELETE FROM idempotency_keys WHERE user_id = ? AND key = ? AND expires_at < {now}",
        args![user, key],
    )
    .await?;
    let taken = sql::execute(
        tx,
        "INSERT INTO idempotency_keys (id, user_id, key, body_hash, created_at, expires_at) \
         VALUES (?, ?, ?, ?, {now}, {now+?}) ON CONFLICT (user_id, key) DO NOTHING",
        args![Uuid::now_v7(), user, key, body_hash, KEEP_MS],
    )
    .await?;
    if taken == 1 {
        return Ok(None);
    }
    find(tx, user, key).await
}

/// The row of a key.
pub async fn find<C: ConnectionTrait>(
    db: &C,
    user: Uuid,
    key: &str,
) -> Result<Option<IdempotencyKey>, DbErr> {
    sql::one(
        db,
        "SELECT body_hash, job_id, answer, created_at FROM idempotency_keys \
         WHERE user_id = ? AND key = ?",
        args![user, key],
    )
    .await
}

/// Starts the time of the first request anew, because its answer will not come.
pub async fn touch(tx: &Tx, user: Uuid, key: &str) -> Result<(), DbErr> {
    sql::execute(
        tx,
        "UPDATE idempotency_keys SET created_at = {now} WHERE user_id = ? AND key = ?",
        args![user, key],
    )
    .await?;
    Ok(())
}

/// Notes the job that the request started, in the same transaction.
pub async fn set_job(tx: &Tx, user: Uuid, key: &str, job: Uuid) -> Result<(), DbErr> {
    sql::execute(
        tx,
        "UPDATE idempotency_keys SET job_id = ? WHERE user_id = ? AND key = ?",
        args![job, user, key],
    )
    .await?;
    Ok(())
}

/// Stores the answer that repeats will get.
pub async fn set_answer<C: ConnectionTrait>(
    db: &C,
    user: Uuid,
    key: &str,
    answer: Json,
) -> Result<(), DbErr> {
    sql::execute(
        db,
        "UPDATE idempotency_keys SET answer = ? WHERE user_id = ? AND key = ?",
        args![answer, user, key],
    )
    .await?;
    Ok(())
}
