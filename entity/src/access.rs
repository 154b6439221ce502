//! `user_profile_access`: who may see a creator's full profile, and until when.

use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use crate::args;
use crate::sql::{self, Arg};
use crate::time::Time;

/// How long a grant from a search lasts, in milliseconds: 30 days.
pub const GRANT_MS: i64 = 30 * 24 * 3_600_000;

/// Grants every user access, or renews the grant they have. Accounts that are gone are passed over.
pub async fn grant<C: ConnectionTrait>(db: &C, users: &[Uuid], profile: Uuid) -> Result<(), DbErr> {
    if users.is_empty() {
        return Ok(());
    }
    let rows = users.iter().map(|user| args![Uuid::now_v7(), *user, profile, GRANT_MS]).collect();
    let until = match db.get_database_backend() {
        sea_orm::DbBackend::Postgres => "{now} + column4::bigint * interval '1 millisecond'",
        _ => "{now} + column4",
    };
    sql::execute(
        db,
        &format!(
            "INSERT INTO user_profile_access (id, user_id, profile_id, granted_at, expires_at) \
             SELECT column1::uuid, column2::uuid, column3::uuid, {{now}}, {until} \
             FROM {{rows}} \
             WHERE EXISTS (SELECT 1 FROM users u WHERE u.id = column2::uuid) ON CONFLICT (user_id, profile_id) \
             DO UPDATE SET granted_at = excluded.granted_at, expires_at = excluded.expires_at"
        ),
        vec![Arg::Rows(rows)],
    )
    .await?;
    Ok(())
}

#[derive(FromQueryResult)]
struct Grant {
    expires_at: Time,
}

/// Until when the user may see the profile; `None` without an unexpired grant.
pub async fn until<C: ConnectionTrait>(
    db: &C,
    user: Uuid,
    profile: Uuid,
) -> Result<Option<Time>, DbErr> {
    let row: Option<Grant> = sql::one(
        db,
        "SELECT expires_at FROM user_profile_access \
         WHERE user_id = ? AND profile_id = ? AND expires_at > {now}",
        args![user, profile],
    )
    .await?;
    Ok(row.map(|row| row.expires_at))
}

/// Names of those of these profiles that the user may not see in full, in alphabetical order.
/// Operators see all of them.
pub async fn locked<C: ConnectionTrait>(
    db: &C,
    user: Uuid,
    profiles: &[Uuid],
) -> Result<Vec<String>, DbErr> {
    let rows = sql::rows(
        db,
        "SELECT p.username FROM profiles p WHERE p.id IN {list} \
         AND NOT EXISTS (SELECT 1 FROM user_profile_access a WHERE a.user_id = ? \
           AND a.profile_id = p.id AND a.expires_at > {now}) \
         AND NOT EXISTS (SELECT 1 FROM users u WHERE u.id = ? \
           AND u.role IN ('admin', 'superadmin')) ORDER BY p.username",
        args![sql::list(profiles), user, user],
    )
    .await?;
    rows.iter().map(|row| row.try_get("", "username")).collect()
}
