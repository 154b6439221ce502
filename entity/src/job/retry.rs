//! Retry by a person: a failed or cancelled job starts over under the same id.

use sea_orm::prelude::Uuid;
use sea_orm::{DbErr, FromQueryResult};

use super::{JobState, Model, enqueue};
use crate::db::{Tx, is_unique_violation};
use crate::job_event::{self, EventKind};
use crate::ledger::{LedgerError, Refusal};
use crate::sql::{self, list};
use crate::{args, job_watcher};

/// What a retry came to.
#[derive(Clone, Debug)]
pub enum Retried {
    /// Queued again.
    Queued(Box<Model>),
    /// It has not ended, or it succeeded.
    NotEnded(Box<Model>),
    /// Another unfinished job holds its key; roll back.
    KeyTaken,
    /// No such job.
    Missing,
    /// Somebody who waits for it cannot pay; roll back.
    Unpaid(Refusal),
}

/// How a job is queued again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Again<'a> {
    /// Only from one of these states.
    pub from: &'a [JobState],
    /// Who watches it from now on; when nobody is named and nobody waits for it, its owner.
    pub user: Option<Uuid>,
    /// Not before so many milliseconds.
    pub delay_ms: i64,
    /// What the event is called.
    pub event: EventKind,
    /// Who did it.
    pub by: &'a str,
}

/// Queues a failed or cancelled job again: attempts, losses, calls and progress start over,
/// `run` does not (it is the fence). `user` becomes a watcher again;
/// without one (an operator retries) those who still wait for it go on waiting, or its owner does.
pub async fn retry(tx: &Tx, id: Uuid, user: Option<Uuid>, by: &str) -> Result<Retried, DbErr> {
    let from = &[JobState::Failed, JobState::Cancelled];
    again(tx, id, &Again { from, user, delay_ms: 0, event: EventKind::Retried, by }).await
}

pub(super) async fn again(tx: &Tx, id: Uuid, how: &Again<'_>) -> Result<Retried, DbErr> {
    let from: Vec<&str> = how.from.iter().map(|state| state.as_str()).collect();
    let row: Result<Option<Model>, DbErr> = sql::one(
        tx,
        "UPDATE jobs SET state = 'queued', version = version + 1, attempt = 0, lost = 0, \
         calls_made = 0, calls = '[]', run_at = {now+?}, deadline_at = NULL, stage = NULL, \
         progress_done = 0, \
         worker = NULL, cancel_requested_at = NULL, children_open = 0, result = NULL, \
         error_code = NULL, error_message = NULL, error_fingerprint = NULL, \
         finished_at = NULL, started_at = NULL, claimed_at = NULL, result_expires_at = NULL \
         WHERE id = ? AND state IN {list} RETURNING {job}",
        args![how.delay_ms, id, list(&from)],
    )
    .await;
    match row {
        Ok(Some(job)) => {
            job_event::add(tx, id, how.event, &format!("queued again by {}", how.by)).await?;
            // Parents that still wait counted it down when it ended; it is open again.
            sql::execute(
                tx,
                "UPDATE jobs SET children_open = children_open + 1, version = version + 1 \
                 WHERE state = 'running' AND worker IS NULL AND id IN (SELECT parent_id \
                 FROM job_watchers WHERE job_id = ? AND left_at IS NULL)",
                args![id],
            )
            .await?;
            // Children of its earlier life are not this one's.
            job_watcher::forget_children(tx, id).await?;
            // An operator does not become one who waits: the work is for those who still do, and
            // for its owner when all have left.
            let user = match how.user {
                None if !is_waited_for(tx, id).await? => job.user_id,
                user => user,
            };
            job_watcher::add(tx, &[(id, user, None)]).await?;
            match charge_again(tx, &job, user).await {
                Ok(()) => Ok(Retried::Queued(Box::new(job))),
                Err(LedgerError::Refused(refusal)) => Ok(Retried::Unpaid(refusal)),
                Err(LedgerError::Db(error)) => Err(error),
            }
        }
        Ok(None) => match super::query::by_id(tx, id).await? {
            Some(job) => Ok(Retried::NotEnded(Box::new(job))),
            None => Ok(Retried::Missing),
        },
        Err(error) if is_unique_violation(&error) => Ok(Retried::KeyTaken),
        Err(error) => Err(error),
    }
}

/// What it costs is set aside anew: for the one who asks, or, when an operator does, for all who
/// wait.
async fn charge_again(tx: &Tx, job: &Model, user: Option<Uuid>) -> Result<(), LedgerError> {
    let Some(action) = job.credit_action else { return Ok(()) };
    let users = match user {
        Some(user) => vec![user],
        None => job_watcher::direct_users(tx, job.id).await?,
    };
    enqueue::charge(tx, users.into_iter().map(|user| (job.id, user, action)).collect()).await
}

#[derive(FromQueryResult)]
struct Count {
    n: i64,
}

/// Whether a user, or a parent that has not ended, waits for the job.
async fn is_waited_for(tx: &Tx, id: Uuid) -> Result<bool, DbErr> {
    let count: Option<Count> = sql::one(
        tx,
        "SELECT count(*) AS n FROM job_watchers w LEFT JOIN jobs p ON p.id = w.parent_id \
         WHERE w.job_id = ? AND w.left_at IS NULL \
           AND (w.parent_id IS NULL OR p.state IN ('queued', 'running', 'retrying'))",
        args![id],
    )
    .await?;
    Ok(count.is_some_and(|count| count.n > 0))
}
