//! Claim: tickets become runs, n rows in one statement.

use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, DbErr};

use super::Model;
use crate::args;
use crate::sql::{self, list};

/// Claims those of `ids` that are due, of a known kind and in a queue that is not paused, for a
/// worker whose lease is live. What is not returned is somebody else's, finished, paused or not
/// due: its ticket is dropped.
pub async fn claim<C: ConnectionTrait>(
    db: &C,
    worker: Uuid,
    ids: &[Uuid],
    kinds: &[&str],
) -> Result<Vec<Model>, DbErr> {
    sql::all(
        db,
        "UPDATE jobs SET state = 'running', worker = ?, run = run + 1, attempt = attempt + 1, \
         version = version + 1, claimed_at = {now}, \
         started_at = COALESCE(started_at, {now}) \
         WHERE id IN (SELECT id FROM jobs WHERE id IN {list} \
           AND state IN ('queued', 'retrying') AND run_at <= {now} AND kind IN {list} \
           AND (deadline_at IS NULL OR deadline_at > {now}) \
           AND NOT EXISTS (SELECT 1 FROM queue_controls c WHERE c.queue = jobs.queue \
             AND c.paused_at IS NOT NULL) \
           AND EXISTS (SELECT 1 FROM workers w WHERE w.id = ? AND w.lease_until > {now} \
             AND NOT w.draining) \
           ORDER BY id {skip locked}) \
         RETURNING {job}",
        args![worker, list(ids), list(kinds), worker],
    )
    .await
}
