//! Searches: fetches that a user has asked for and that have not ended. Many names asked for at
//! once are one.

use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use crate::args;
use crate::db::Tx;
use crate::sql;

/// Has everybody else who would start a search for the user wait until the caller's transaction
/// ends: two that are counted at the same time cannot both be the last. Rows that refer to the user
/// do not wait: some of those who call this have just written one, and would for each other.
pub async fn lock(tx: &Tx, user: Uuid) -> Result<(), DbErr> {
    sql::rows(tx, "SELECT id FROM users WHERE id = ? {for no key update}", args![user]).await?;
    Ok(())
}

/// How many searches of the user have not ended. In the words of the index `jobs_searches`.
pub async fn in_flight<C: ConnectionTrait>(db: &C, user: Uuid) -> Result<u64, DbErr> {
    #[derive(FromQueryResult)]
    struct Count {
        n: i64,
    }
    let count: Option<Count> = sql::one(
        db,
        "SELECT count(*) AS n FROM jobs WHERE user_id = ? AND parent_id IS NULL \
         AND kind IN ('profile_fetch', 'bulk_profiles') \
         AND state IN ('queued', 'running', 'retrying')",
        args![user],
    )
    .await?;
    Ok(count.map_or(0, |count| count.n.max(0) as u64))
}
