//! `user_searches`: which creators a user looked for. Jobs are pruned after a week; these stay.

use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use crate::args;
use crate::sql::{self, Arg};
use crate::time::Time;

/// The same user and creator count once within so long, in milliseconds: clients repeat what
/// failed, and a page sends twenty requests for one creator.
pub const ONCE_WITHIN_MS: i64 = 60_000;

/// A search.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct UserSearch {
    /// Its id.
    pub id: Uuid,
    /// The creator's handle.
    pub instagram_username: String,
    /// What was asked for: `profile` or `posts`.
    pub analysis_type: String,
    /// When.
    pub created_at: Time,
}

/// Where a page begins: after this one, which may be gone meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// When it was.
    pub created_at: Time,
    /// Which of that moment.
    pub id: Uuid,
}

/// Notes that a user asked for these creators; those they asked for a moment ago are passed over.
pub async fn record<C: ConnectionTrait>(
    db: &C,
    user: Uuid,
    handles: &[&str],
    analysis_type: &str,
) -> Result<(), DbErr> {
    if handles.is_empty() {
        return Ok(());
    }
    let row = |handle: &&str| args![Uuid::now_v7(), user, *handle, analysis_type];
    sql::execute(
        db,
        "INSERT INTO user_searches (id, user_id, instagram_username, analysis_type, created_at) \
         SELECT column1::uuid, column2::uuid, column3, column4, {now} FROM {rows} \
         WHERE NOT EXISTS (SELECT 1 FROM user_searches s WHERE s.user_id = column2::uuid \
           AND s.instagram_username = column3 AND s.created_at > {now-?})",
        vec![Arg::Rows(handles.iter().map(row).collect()), Arg::from(ONCE_WITHIN_MS)],
    )
    .await?;
    Ok(())
}

/// What a user looked for, newest first.
pub async fn page<C: ConnectionTrait>(
    db: &C,
    user: Uuid,
    after: Option<Cursor>,
    limit: u64,
) -> Result<Vec<UserSearch>, DbErr> {
    let columns = "SELECT id, instagram_username, analysis_type, created_at FROM user_searches";
    let order = "ORDER BY created_at DESC, id DESC LIMIT ?";
    match after {
        None => {
            let first = format!("{columns} WHERE user_id = ? {order}");
            sql::all(db, &first, args![user, limit as i64]).await
        }
        Some(Cursor { created_at, id }) => {
            let next = format!("{columns} WHERE user_id = ? AND (created_at, id) < (?, ?) {order}");
            let at = sql::at(created_at);
            let args = vec![user.into(), at, id.into(), (limit as i64).into()];
            sql::all(db, &next, args).await
        }
    }
}

/// How often a user searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Counts {
    /// Ever.
    pub total: i64,
    /// Since a moment.
    pub since: i64,
    /// When last.
    pub last: Option<Time>,
}

/// How often a user searched, ever and since then.
pub async fn counts<C: ConnectionTrait>(db: &C, user: Uuid, since: Time) -> Result<Counts, DbErr> {
    let row: Option<Counts> = sql::one(
        db,
        "SELECT count(*) AS total, count(CASE WHEN created_at >= ? THEN 1 END) AS since, \
         max(created_at) AS last FROM user_searches WHERE user_id = ?",
        vec![sql::at(since), user.into()],
    )
    .await?;
    Ok(row.unwrap_or(Counts { total: 0, since: 0, last: None }))
}

/// The creators a user looked for most often.
pub async fn favorites<C: ConnectionTrait>(
    db: &C,
    user: Uuid,
    limit: u64,
) -> Result<Vec<String>, DbErr> {
    let rows = sql::rows(
        db,
        "SELECT instagram_username FROM user_searches WHERE user_id = ? \
         GROUP BY instagram_username ORDER BY count(*) DESC, max(created_at) DESC LIMIT ?",
        args![user, limit as i64],
    )
    .await?;
    rows.iter().map(|row| row.try_get("", "instagram_username")).collect()
}
