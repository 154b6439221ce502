//! `user_lists` and `user_list_items`: creators a user keeps together.

use sea_orm::prelude::*;
use sea_orm::{DbErr, FromQueryResult};

use crate::args;
use crate::sql;

/// A list.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct UserList {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// How they call it.
    pub name: String,
}

/// A list of this user; nobody else's is found.
pub async fn of_user<C: ConnectionTrait>(
    db: &C,
    user: Uuid,
    id: Uuid,
) -> Result<Option<UserList>, DbErr> {
    sql::one(
        db,
        "SELECT id, user_id, name FROM user_lists WHERE user_id = ? AND id = ?",
        args![user, id],
    )
    .await
}

/// The creators of a list in its order, at most `limit`.
pub async fn profiles<C: ConnectionTrait>(
    db: &C,
    list: Uuid,
    limit: u32,
) -> Result<Vec<Uuid>, DbErr> {
    let rows = sql::rows(
        db,
        "SELECT profile_id FROM user_list_items WHERE list_id = ? ORDER BY position, id LIMIT ?",
        args![list, i64::from(limit)],
    )
    .await?;
    rows.iter().map(|row| row.try_get("", "profile_id")).collect()
}
