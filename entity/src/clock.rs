//! The farm's clock: the database's clock plus an offset that only tests move.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use crate::{args, sql, time::Time};

#[derive(FromQueryResult)]
struct Now {
    now: Time,
}

/// What time it is for jobs, tokens in rows, and everything that expires.
pub async fn now<C: ConnectionTrait>(db: &C) -> Result<Time, DbErr> {
    let row: Option<Now> = sql::one(db, "SELECT {now} AS now", vec![]).await?;
    row.map(|row| row.now).ok_or_else(|| DbErr::RecordNotFound("farm_now".to_owned()))
}

/// Moves the clock forward for tests, as if every live worker had renewed its lease meanwhile.
pub async fn advance<C: ConnectionTrait>(db: &C, millis: i64) -> Result<(), DbErr> {
    let leases = "UPDATE workers SET lease_until = {lease_until+?} WHERE lease_until > {now}";
    sql::execute(db, leases, args![millis]).await?;
    sql::execute(db, "UPDATE farm_clock SET offset_ms = offset_ms + ?", args![millis]).await?;
    Ok(())
}
