//! Rescue: runs whose worker is gone go back to the queue, or fail when they have cost too many.

use sea_orm::DbErr;
use sea_orm::prelude::Uuid;

use super::end;
use super::{JobState, Model, with_error};
use crate::db::Tx;
use crate::job_event::{self, EventKind};
use crate::sql;
use crate::{args, clock};

/// Workers a job may lose before it counts as poison.
pub const POISON_AFTER: i32 = 3;

/// What one sweep did.
#[derive(Clone, Debug, Default)]
pub struct Rescued {
    /// Put back in the queue.
    pub requeued: Vec<Model>,
    /// Failed as `worker_lost` or `poison`, or cancelled as asked.
    pub ended: Vec<Uuid>,
    /// Every job whose version changed.
    pub changed: Vec<Uuid>,
}

/// Rescues up to `limit` runs of workers that are gone or whose lease is over. Any process may
/// call it at any time.
pub async fn rescue(tx: &Tx, limit: u64) -> Result<Rescued, DbErr> {
    let lost: Vec<Model> = sql::all(
        tx,
        "SELECT {job} FROM jobs WHERE state = 'running' AND worker IS NOT NULL \
         AND NOT EXISTS (SELECT 1 FROM workers w WHERE w.id = jobs.worker \
           AND w.lease_until > {now}) LIMIT ? {skip locked}",
        args![limit as i64],
    )
    .await?;
    let mut done = Rescued::default();
    for mut job in lost {
        job.lost += 1;
        let settled = if job.cancel_requested_at.is_some() {
            job_event::add(tx, job.id, EventKind::Cancelled, "its worker was lost").await?;
            end::finish(tx, &job, JobState::Cancelled, None).await?
        } else if job.lost >= POISON_AFTER {
            let why = format!("{} workers died while running it", job.lost);
            job_event::add(tx, job.id, EventKind::Poison, &why).await?;
            end::finish(tx, &job, JobState::Failed, Some(("poison", &why))).await?
        } else if job.attempt >= job.max_attempts {
            let why = "its worker was lost and no attempt is left";
            job_event::add(tx, job.id, EventKind::Rescued, why).await?;
            end::finish(tx, &job, JobState::Failed, Some(("worker_lost", why))).await?
        } else {
            let why = "its worker was lost";
            job_event::add(tx, job.id, EventKind::Rescued, why).await?;
            let errors = with_error(&job, "worker_lost", why, clock::now(tx).await?);
            let error = Some(("worker_lost", why, errors));
            end::requeue(tx, &job, JobState::Queued, 0, 0, error).await?
        };
        done.changed.extend(&settled.changed);
        if settled.job.state == JobState::Queued {
            done.requeued.push(settled.job);
        } else {
            done.ended.push(settled.job.id);
        }
    }
    Ok(done)
}
