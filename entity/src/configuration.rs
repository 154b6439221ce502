//! `system_configurations`: settings that an operator may change while the farm runs.

use sea_orm::prelude::Json;
use sea_orm::{ConnectionTrait, DbErr};

use crate::args;
use crate::sql;

/// The value of a setting; `None` when there is no such setting.
async fn value<C: ConnectionTrait>(db: &C, key: &str) -> Result<Option<Json>, DbErr> {
    let text = "SELECT value FROM system_configurations WHERE config_key = ?";
    let rows = sql::rows(db, text, args![key]).await?;
    rows.first().map(|row| row.try_get("", "value")).transpose()
}

/// A setting that is a whole number; `None` when it is null.
pub async fn number<C: ConnectionTrait>(db: &C, key: &str) -> Result<Option<i64>, DbErr> {
    Ok(value(db, key).await?.and_then(|value| value.as_i64()))
}

/// A setting that is on or off; off unless it says that it is on.
pub async fn is_on<C: ConnectionTrait>(db: &C, key: &str) -> Result<bool, DbErr> {
    Ok(value(db, key).await?.and_then(|value| value.as_bool()).unwrap_or(false))
}
