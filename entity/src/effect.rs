//! `noop_effects`: an append-only table without a unique key, in which benchmarks and storms
//! count how often a job's effect took place.

use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use crate::args;
use crate::sql;

/// Appends one effect of a run.
pub async fn add<C: ConnectionTrait>(db: &C, job: Uuid, run: i32) -> Result<(), DbErr> {
    sql::execute(
        db,
        "INSERT INTO noop_effects (job_id, run, at) VALUES (?, ?, {now})",
        args![job, run],
    )
    .await?;
    Ok(())
}

/// How often the effects of a job took place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromQueryResult)]
pub struct EffectCount {
    /// The job.
    pub job_id: Uuid,
    /// Rows of it.
    pub n: i64,
}

/// Counts per job; only those with more than `over`.
pub async fn counts<C: ConnectionTrait>(db: &C, over: i64) -> Result<Vec<EffectCount>, DbErr> {
    sql::all(
        db,
        "SELECT job_id, count(*) AS n FROM noop_effects GROUP BY job_id HAVING count(*) > ?",
        args![over],
    )
    .await
}
