//! The reconciler's questions: what in the tables contradicts itself. Zero is the only good
//! answer; each repair is one statement and says how many rows it mended.

use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};
use serde::Serialize;

use super::end;
use crate::args;
use crate::db::Tx;
use crate::ledger::settle::{SLACK_MS, STRAY};
use crate::sql;

/// What one pass found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// Running rows whose worker's lease is over by more than 30 s (rescue should have come).
    pub orphan_runs: i64,
    /// Parents whose count of open children disagrees with the children.
    pub parents_off: i64,
    /// Waiting rows of a kind that no live worker knows.
    pub kinds_without_worker: i64,
    /// Waiting rows past their deadline by more than 30 s.
    pub overdue: i64,
    /// Credits that are held although no open job is theirs, as a number of holds.
    pub stray_holds: i64,
}

impl Findings {
    /// True when nothing is wrong. Kinds without a worker are reported, not an error: the worker
    /// may be on its way.
    pub fn is_clean(&self) -> bool {
        self.orphan_runs == 0 && self.parents_off == 0 && self.overdue == 0 && self.stray_holds == 0
    }
}

#[derive(FromQueryResult)]
struct Count {
    n: i64,
}

async fn count<C: ConnectionTrait>(db: &C, text: &str, args: Vec<sql::Arg>) -> Result<i64, DbErr> {
    let row: Option<Count> = sql::one(db, text, args).await?;
    Ok(row.map_or(0, |row| row.n))
}

const OPEN_CHILDREN: &str = "(SELECT count(*) FROM job_watchers w JOIN jobs c ON c.id = w.job_id \
     WHERE w.parent_id = jobs.id AND w.left_at IS NULL \
     AND c.state IN ('queued', 'running', 'retrying'))";

/// Waiting rows of a kind that no live worker knows.
pub async fn kinds_without_worker<C: ConnectionTrait>(db: &C) -> Result<i64, DbErr> {
    count(
        db,
        "SELECT count(*) AS n FROM jobs WHERE state IN ('queued', 'retrying') \
         AND NOT EXISTS (SELECT 1 FROM worker_kinds k JOIN workers w ON w.id = k.worker_id \
           WHERE k.kind = jobs.kind AND w.lease_until > {now})",
        vec![],
    )
    .await
}

/// Counts the contradictions without touching them.
pub async fn inspect<C: ConnectionTrait>(db: &C) -> Result<Findings, DbErr> {
    let slack = 30_000_i64;
    Ok(Findings {
        orphan_runs: count(
            db,
            "SELECT count(*) AS n FROM jobs WHERE state = 'running' AND worker IS NOT NULL \
             AND NOT EXISTS (SELECT 1 FROM workers w WHERE w.id = jobs.worker \
               AND w.lease_until > {now-?})",
            args![slack],
        )
        .await?,
        parents_off: count(
            db,
            &format!(
                "SELECT count(*) AS n FROM jobs WHERE state = 'running' AND worker IS NULL \
                 AND (children_open <= 0 OR children_open <> {OPEN_CHILDREN})"
            ),
            vec![],
        )
        .await?,
        kinds_without_worker: kinds_without_worker(db).await?,
        overdue: count(
            db,
            "SELECT count(*) AS n FROM jobs WHERE state IN ('queued', 'retrying') \
             AND deadline_at <= {now-?}",
            args![slack],
        )
        .await?,
        stray_holds: count(
            db,
            &format!("SELECT count(*) AS n FROM credit_holds h WHERE {STRAY}"),
            args![SLACK_MS],
        )
        .await?,
    })
}

#[derive(FromQueryResult)]
struct Id {
    id: Uuid,
}

/// Sets the count of open children right where it is off, and ends the parents that wait for
/// nobody. Returns the repaired parents.
pub async fn repair_parents(tx: &Tx) -> Result<Vec<Uuid>, DbErr> {
    let repaired: Vec<Id> = sql::all(
        tx,
        &format!(
            "UPDATE jobs SET children_open = {OPEN_CHILDREN}, version = version + 1 \
             WHERE state = 'running' AND worker IS NULL AND children_open <> {OPEN_CHILDREN} \
             RETURNING id"
        ),
        vec![],
    )
    .await?;
    let idle: Vec<Id> = sql::all(
        tx,
        "SELECT id FROM jobs WHERE state = 'running' AND worker IS NULL AND children_open <= 0 \
         {for update}",
        vec![],
    )
    .await?;
    let idle: Vec<Uuid> = idle.into_iter().map(|row| row.id).collect();
    end::end_parents(tx, &idle).await?;
    end::children_ended(tx, &idle).await?;
    Ok(repaired.into_iter().map(|row| row.id).chain(idle).collect())
}
