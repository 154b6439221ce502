//! Claim: tickets become runs, n rows in one statement.

use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, DbErr};

use super::Model;
use crate::args;
use crate::sql::{self, list};

/// Claims those of `ids` that are due, of a known kind and in a queue that is not paused, for a
/// worker whose lease is live. What is not returned is somebody else's, finished, paused or not
/// due: its ticket is dropped.
///
/// On Postgres the commit does not wait for the disk. A server that crashes may forget the claim,
/// and with it nothing but that somebody had begun: the row waits again, and whatever that run
/// still writes is refused by its fence ([`super::Fence::worker`]).
pub async fn claim<C: ConnectionTrait>(
    db: &C,
    worker: Uuid,
    ids: &[Uuid],
    kinds: &[&str],
) -> Result<Vec<Model>, DbErr> {
    sql::all(
        db,
        // First the rows by their ids, then what they must be: with both in one condition the
        // planner may walk the whole backlog looking for the ids.
        "WITH held AS MATERIALIZED ( \
           SELECT id AS held_id, state AS was, run_at AS due_at, kind AS what, queue AS lane, \
             deadline_at AS until, {now} AS clock FROM jobs WHERE id IN {list} \
             ORDER BY id {skip locked}) \
         UPDATE jobs SET state = 'running', worker = ?, run = run + 1, attempt = attempt + 1, \
         version = version + 1, claimed_at = clock, \
         started_at = COALESCE(started_at, clock) \
         FROM held WHERE jobs.id = held_id AND was IN ('queued', 'retrying') \
           AND due_at <= clock AND what IN {list} AND (until IS NULL OR until > clock) \
           AND NOT EXISTS (SELECT 1 FROM queue_controls c WHERE c.queue = lane \
             AND c.paused_at IS NOT NULL) \
           AND EXISTS (SELECT 1 FROM workers w WHERE w.id = ? AND w.lease_until > {now} \
             AND NOT w.draining {unsynced}) \
         RETURNING {job}",
        args![list(ids), worker, list(kinds), worker],
    )
    .await
}
