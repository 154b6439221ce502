//! Who may see a creator's full profile: whoever unlocked it, whoever had it fetched within the
//! last 30 days (`user_profile_access`), and the teammates of both (`team_profile_access`).

use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, FromQueryResult};

use crate::args;
use crate::db::Tx;
use crate::sql::{self, Arg};
use crate::time::Time;

/// How long a grant from a search lasts, in milliseconds: 30 days.
pub const GRANT_MS: i64 = 30 * 24 * 3_600_000;

/// The end of access that has none: the last second of the year 9999.
pub const FOR_GOOD: Time = Time(253_402_300_799_000);

/// Grants every user access, or renews the grant they have, and lets their teammates see it as
/// long. Accounts that are gone are passed over.
pub async fn grant<C: ConnectionTrait>(db: &C, users: &[Uuid], profile: Uuid) -> Result<(), DbErr> {
    if users.is_empty() {
        return Ok(());
    }
    let until = match db.get_database_backend() {
        DbBackend::Postgres => "{now} + column4::bigint * interval '1 millisecond'",
        _ => "{now} + column4",
    };
    let rows = |users: &[Uuid]| {
        let rows = users.iter().map(|user| args![Uuid::now_v7(), *user, profile, GRANT_MS]);
        vec![Arg::Rows(rows.collect())]
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
        rows(users),
    )
    .await?;
    share(db, users, profile, Some(GRANT_MS)).await
}

/// Lets the teammates of these users see a profile: for so many milliseconds, or for good.
async fn share<C: ConnectionTrait>(
    db: &C,
    users: &[Uuid],
    profile: Uuid,
    ms: Option<i64>,
) -> Result<(), DbErr> {
    let until = if ms.is_some() { "{now+?}" } else { "NULL" };
    let mut args = args![profile];
    args.extend(ms.map(Arg::from));
    args.push(sql::list(users));
    // Nobody else is in a team that is one's own. What was given for good stays so.
    let text = format!(
        "INSERT INTO team_profile_access (team_id, profile_id, granted_by, granted_at, expires_at) \
         SELECT m.team_id, ?::uuid, m.user_id, {{now}}, {until} FROM team_members m \
         JOIN teams t ON t.id = m.team_id \
         WHERE m.user_id IN {{list}} AND m.status = 'active' AND t.personal_of IS NULL \
         ON CONFLICT (team_id, profile_id, granted_by) DO UPDATE SET \
         granted_at = excluded.granted_at, expires_at = excluded.expires_at \
         WHERE team_profile_access.expires_at IS NOT NULL"
    );
    sql::execute(db, &text, args).await?;
    Ok(())
}

/// An unlock to be stored.
#[derive(Clone, Copy, Debug)]
pub struct Unlock {
    /// Whose.
    pub user: Uuid,
    /// The profile.
    pub profile: Uuid,
    /// What it cost.
    pub credits: i64,
    /// The hold that paid for it.
    pub hold: Uuid,
}

/// An unlock as stored.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Unlocked {
    /// Whose.
    pub user_id: Uuid,
    /// The profile.
    pub profile_id: Uuid,
    /// The hold that paid for it.
    pub hold_id: Uuid,
    /// Since when.
    pub unlocked_at: Time,
}

/// Stores unlocks, for the owner and their team. They are for good, unless the setting
/// `unlock_days` is a number.
pub async fn unlock(tx: &Tx, unlocks: &[Unlock]) -> Result<(), DbErr> {
    if unlocks.is_empty() {
        return Ok(());
    }
    let days = crate::configuration::number(tx, "unlock_days").await?;
    let ms = days.filter(|days| *days > 0).map(|days| days.saturating_mul(24 * 3_600_000));
    let until = if ms.is_some() { "{now+?}" } else { "NULL" };
    for unlock in unlocks {
        let mut args = args![unlock.user, unlock.profile, unlock.credits, unlock.hold];
        args.extend(ms.map(Arg::from));
        let text = format!(
            "INSERT INTO unlocked_influencers (user_id, profile_id, credits_spent, hold_id, \
             unlocked_at, expires_at) VALUES (?, ?, ?, ?, {{now}}, {until}) \
             ON CONFLICT (user_id, profile_id) DO UPDATE SET \
             credits_spent = excluded.credits_spent, hold_id = excluded.hold_id, \
             unlocked_at = excluded.unlocked_at, expires_at = excluded.expires_at"
        );
        sql::execute(tx, &text, args).await?;
        share(tx, &[unlock.user], unlock.profile, ms).await?;
    }
    Ok(())
}

/// Which of these users have unlocked these profiles, and until now still have.
pub async fn unlocks<C: ConnectionTrait>(
    db: &C,
    wanted: &[(Uuid, Uuid)],
) -> Result<Vec<Unlocked>, DbErr> {
    if wanted.is_empty() {
        return Ok(vec![]);
    }
    let rows = wanted.iter().map(|(user, profile)| args![*user, *profile]).collect();
    sql::all(
        db,
        "SELECT user_id, profile_id, hold_id, unlocked_at FROM unlocked_influencers \
         JOIN {rows} ON user_id = v.column1::uuid AND profile_id = v.column2::uuid \
         WHERE expires_at IS NULL OR expires_at > {now}",
        vec![Arg::Rows(rows)],
    )
    .await
}

/// Unexpired access of a user, by profile; takes the user three times. One row for each way.
const WAYS: &str = "SELECT a.profile_id, a.expires_at FROM user_profile_access a \
       WHERE a.user_id = ? AND a.expires_at > {now} \
     UNION ALL SELECT u.profile_id, u.expires_at FROM unlocked_influencers u \
       WHERE u.user_id = ? AND (u.expires_at IS NULL OR u.expires_at > {now}) \
     UNION ALL SELECT t.profile_id, t.expires_at FROM team_profile_access t \
       WHERE t.team_id IN (SELECT m.team_id FROM team_members m \
           WHERE m.user_id = ? AND m.status = 'active') \
         AND (t.expires_at IS NULL OR t.expires_at > {now})";

/// Until when the user may see the profile, [`FOR_GOOD`] at most; `None` without access.
pub async fn until<C: ConnectionTrait>(
    db: &C,
    user: Uuid,
    profile: Uuid,
) -> Result<Option<Time>, DbErr> {
    #[derive(FromQueryResult)]
    struct Way {
        expires_at: Option<Time>,
    }
    let ways: Vec<Way> = sql::all(
        db,
        &format!("SELECT w.expires_at FROM ({WAYS}) AS w WHERE w.profile_id = ?"),
        args![user, user, user, profile],
    )
    .await?;
    Ok(ways.iter().map(|way| way.expires_at.unwrap_or(FOR_GOOD)).max())
}

/// Those of the profiles that the user may see in full.
pub async fn among<C: ConnectionTrait>(
    db: &C,
    user: Uuid,
    profiles: &[Uuid],
) -> Result<Vec<Uuid>, DbErr> {
    let rows = sql::rows(
        db,
        &format!("SELECT DISTINCT w.profile_id FROM ({WAYS}) AS w WHERE w.profile_id IN {{list}}"),
        args![user, user, user, sql::list(profiles)],
    )
    .await?;
    rows.iter().map(|row| row.try_get("", "profile_id")).collect()
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
        &format!(
            "SELECT p.username FROM profiles p WHERE p.id IN {{list}} \
             AND p.id NOT IN (SELECT w.profile_id FROM ({WAYS}) AS w) \
             AND NOT EXISTS (SELECT 1 FROM users u WHERE u.id = ? \
               AND u.role IN ('admin', 'superadmin')) ORDER BY p.username"
        ),
        args![sql::list(profiles), user, user, user, user],
    )
    .await?;
    rows.iter().map(|row| row.try_get("", "username")).collect()
}

/// Hands what gave access to one profile to another: they are the same creator. Who has access to
/// both keeps the other's.
pub async fn inherit(tx: &Tx, from: Uuid, to: Uuid) -> Result<(), DbErr> {
    let tables = [
        ("user_profile_access", "user_id"),
        ("unlocked_influencers", "user_id"),
        ("team_profile_access", "team_id"),
    ];
    for (table, owner) in tables {
        let text = format!(
            "UPDATE {table} SET profile_id = ? WHERE profile_id = ? \
             AND {owner} NOT IN (SELECT {owner} FROM {table} WHERE profile_id = ?)"
        );
        sql::execute(tx, &text, args![to, from, to]).await?;
        let rest = format!("DELETE FROM {table} WHERE profile_id = ?");
        sql::execute(tx, &rest, args![from]).await?;
    }
    Ok(())
}
