//! The end of a run: succeeded, handed to children, or settled some other way. Everything here
//! is fenced: when the row is no longer this run's, nothing is written and the caller is told.

use sea_orm::DbErr;
use sea_orm::prelude::{Json, Uuid};

use super::{Fence, JobState, Model, fingerprint, with_error};
use crate::db::Tx;
use crate::job_event::{self, EventKind};
use crate::ledger::settle;
use crate::sql::{self, Arg, list};
use crate::{args, clock};

/// How a run ended when it did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settle {
    /// Try again after the delay while attempts are left, else fail.
    Retry {
        /// Word.
        code: String,
        /// Sentence.
        message: String,
        /// Milliseconds.
        delay_ms: i64,
    },
    /// No further attempt can help.
    Fail {
        /// Word.
        code: String,
        /// Sentence.
        message: String,
    },
    /// The run stopped because it was asked to.
    Cancelled,
    /// Not now: the attempt is given back.
    Snooze {
        /// Milliseconds.
        delay_ms: i64,
    },
    /// The process is stopping: the attempt is given back.
    PutBack,
}

/// What a settled or finished run came to.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The row as it stands now.
    pub job: Model,
    /// Jobs whose version changed, the parents included.
    pub changed: Vec<Uuid>,
}

/// First step of a commit: takes the row for its end. `None` means that the run lost its fence
/// and the transaction must be rolled back. Call [`children_ended`] as the last step.
pub async fn succeed(
    tx: &Tx,
    fence: Fence,
    result: Json,
    result_ttl_ms: i64,
) -> Result<Option<Model>, DbErr> {
    sql::one(
        tx,
        "UPDATE jobs SET state = 'succeeded', version = version + 1, worker = NULL, \
         stage = NULL, progress_done = COALESCE(progress_total, progress_done), result = ?, \
         error_code = NULL, error_message = NULL, finished_at = {now}, \
         result_expires_at = {now+?} \
         WHERE id = ? AND run = ? AND state = 'running' AND worker = ? RETURNING {job}",
        args![result, result_ttl_ms, fence.id, fence.run, fence.worker],
    )
    .await
}

/// First step of a commit that ends with children: stores the output, frees the slot, and waits.
pub async fn hand_to_children(
    tx: &Tx,
    fence: Fence,
    result: Json,
    must_succeed: bool,
) -> Result<Option<Model>, DbErr> {
    sql::one(
        tx,
        "UPDATE jobs SET version = version + 1, worker = NULL, stage = 'children', result = ?, \
         children_must_succeed = ? WHERE id = ? AND run = ? AND state = 'running' \
         AND worker = ? RETURNING {job}",
        args![result, must_succeed, fence.id, fence.run, fence.worker],
    )
    .await
}

/// Second step of [`hand_to_children`], after the children were stored: how many are open. Of the
/// steps the job declares the last is theirs; it has done the others.
pub async fn set_children_open(tx: &Tx, id: Uuid, open: i32) -> Result<(), DbErr> {
    sql::execute(
        tx,
        "UPDATE jobs SET children_open = ?, \
         progress_done = CASE WHEN progress_total - 1 > progress_done \
           THEN progress_total - 1 ELSE progress_done END WHERE id = ?",
        args![open, id],
    )
    .await?;
    Ok(())
}

#[derive(sea_orm::FromQueryResult)]
struct Id {
    id: Uuid,
}

/// Replaces the output of a job in the transaction that ends it.
pub async fn set_result(tx: &Tx, id: Uuid, result: Json) -> Result<(), DbErr> {
    sql::execute(tx, "UPDATE jobs SET result = ? WHERE id = ?", args![result, id]).await?;
    Ok(())
}

/// Ends effect-free runs, n rows in one statement. Runs that lost their fence are left out of
/// the answer; nothing of theirs was written.
pub async fn finish_many(
    tx: &Tx,
    runs: &[(Fence, Json)],
    result_ttl_ms: i64,
) -> Result<(Vec<Uuid>, Vec<Uuid>), DbErr> {
    let rows = runs
        .iter()
        .map(|(fence, result)| args![fence.id, fence.run, fence.worker, result.clone()])
        .collect();
    let ended: Vec<Id> = sql::all(
        tx,
        "UPDATE jobs SET state = 'succeeded', version = version + 1, worker = NULL, \
         stage = NULL, progress_done = COALESCE(progress_total, progress_done), \
         result = v.column4::jsonb, error_code = NULL, error_message = NULL, \
         finished_at = {now}, result_expires_at = {now+?} \
         FROM {rows} \
         WHERE jobs.id = v.column1::uuid AND jobs.run = v.column2::int \
           AND jobs.state = 'running' AND jobs.worker = v.column3::uuid RETURNING jobs.id AS id",
        vec![result_ttl_ms.into(), Arg::Rows(rows)],
    )
    .await?;
    let ended: Vec<Uuid> = ended.into_iter().map(|row| row.id).collect();
    let parents = children_ended(tx, &ended).await?;
    Ok((ended, parents))
}

/// Ends a run that did not succeed. `None` means that the run lost its fence.
pub async fn settle(tx: &Tx, fence: Fence, outcome: &Settle) -> Result<Option<Settled>, DbErr> {
    let Some(job) = lock(tx, fence).await? else { return Ok(None) };
    settle_locked(tx, job, outcome).await.map(Some)
}

async fn lock(tx: &Tx, fence: Fence) -> Result<Option<Model>, DbErr> {
    sql::one(
        tx,
        // Without a worker it has handed over to its children: that run has ended.
        "SELECT {job} FROM jobs WHERE id = ? AND run = ? AND state = 'running' \
         AND worker = ? {for update}",
        args![fence.id, fence.run, fence.worker],
    )
    .await
}

pub(super) async fn settle_locked(tx: &Tx, job: Model, outcome: &Settle) -> Result<Settled, DbErr> {
    let asked_to_stop = job.cancel_requested_at.is_some();
    match outcome {
        Settle::Retry { .. } | Settle::Snooze { .. } | Settle::PutBack | Settle::Cancelled
            if asked_to_stop =>
        {
            job_event::add(tx, job.id, EventKind::Cancelled, "stopped on request").await?;
            finish(tx, &job, JobState::Cancelled, None).await
        }
        Settle::Retry { code, message, .. } if job.attempt >= job.max_attempts => {
            finish(tx, &job, JobState::Failed, Some((code, message))).await
        }
        Settle::Retry { code, message, delay_ms } => {
            job_event::add(tx, job.id, EventKind::Retry, &format!("{code}: {message}")).await?;
            let errors = with_error(&job, code, message, clock::now(tx).await?);
            requeue(tx, &job, JobState::Retrying, *delay_ms, 0, Some((code, message, errors))).await
        }
        Settle::Fail { code, message } => {
            finish(tx, &job, JobState::Failed, Some((code, message))).await
        }
        Settle::Snooze { delay_ms } => {
            requeue(tx, &job, JobState::Queued, *delay_ms, 1, None).await
        }
        // Cancelled without a request: somebody joined after it was asked for. Start over.
        Settle::PutBack | Settle::Cancelled => {
            requeue(tx, &job, JobState::Queued, 0, 1, None).await
        }
    }
}

/// Back to waiting: `give_back` attempts are returned.
pub(super) async fn requeue(
    tx: &Tx,
    job: &Model,
    state: JobState,
    delay_ms: i64,
    give_back: i32,
    error: Option<(&str, &str, Json)>,
) -> Result<Settled, DbErr> {
    let (code, message, errors) = match error {
        Some((code, message, errors)) => (Some(code), Some(message), errors),
        None => (job.error_code.as_deref(), job.error_message.as_deref(), job.errors.clone()),
    };
    let row: Option<Model> = sql::one(
        tx,
        "UPDATE jobs SET state = ?, version = version + 1, worker = NULL, run_at = {now+?}, \
         attempt = attempt - ?, lost = ?, error_code = ?, error_message = ?, errors = ? \
         WHERE id = ? AND run = ? AND state = 'running' RETURNING {job}",
        args![
            state.as_str(),
            delay_ms,
            give_back,
            job.lost,
            code,
            message,
            errors,
            job.id,
            job.run
        ],
    )
    .await?;
    let job = row.ok_or_else(|| DbErr::RecordNotUpdated)?;
    Ok(Settled { changed: vec![job.id], job })
}

/// Ends a job (in whatever open state it is) as failed or cancelled, then its parents.
pub(super) async fn finish(
    tx: &Tx,
    job: &Model,
    state: JobState,
    error: Option<(&str, &str)>,
) -> Result<Settled, DbErr> {
    let errors = match error {
        Some((code, message)) => with_error(job, code, message, clock::now(tx).await?),
        None => job.errors.clone(),
    };
    let row: Option<Model> = sql::one(
        tx,
        "UPDATE jobs SET state = ?, version = version + 1, worker = NULL, finished_at = {now}, \
         children_open = 0, lost = ?, error_code = ?, error_message = ?, \
         error_fingerprint = ?, errors = ? \
         WHERE id = ? AND run = ? AND state IN ('queued', 'running', 'retrying') RETURNING {job}",
        args![
            state.as_str(),
            job.lost,
            error.map(|(code, _)| code),
            error.map(|(_, message)| message),
            error.map(|(code, message)| fingerprint::of(code, message)),
            errors,
            job.id,
            job.run
        ],
    )
    .await?;
    let job = row.ok_or_else(|| DbErr::RecordNotUpdated)?;
    let mut changed = vec![job.id];
    changed.extend(children_ended(tx, &[job.id]).await?);
    Ok(Settled { job, changed })
}

#[derive(sea_orm::FromQueryResult)]
struct ParentRow {
    id: Uuid,
    children_open: i32,
}

/// Last step of every end: settles what is held for the ended jobs, counts them down at the parents
/// that wait for them, and ends those parents that wait for nobody any more. Returns every parent
/// that changed.
pub async fn children_ended(tx: &Tx, ended: &[Uuid]) -> Result<Vec<Uuid>, DbErr> {
    let mut changed = vec![];
    let mut ended = ended.to_vec();
    while !ended.is_empty() {
        settle::ended(tx, &ended).await?;
        let parents: Vec<ParentRow> = sql::all(
            tx,
            "UPDATE jobs SET version = version + 1, children_open = children_open - \
               (SELECT count(*) FROM job_watchers w WHERE w.parent_id = jobs.id \
                AND w.left_at IS NULL AND w.job_id IN {list}) \
             WHERE id IN (SELECT parent_id FROM job_watchers WHERE parent_id IS NOT NULL \
                AND left_at IS NULL AND job_id IN {list}) \
               AND state = 'running' AND worker IS NULL RETURNING id, children_open",
            args![list(&ended), list(&ended)],
        )
        .await?;
        changed.extend(parents.iter().map(|parent| parent.id));
        let idle: Vec<Uuid> =
            parents.iter().filter(|p| p.children_open <= 0).map(|p| p.id).collect();
        end_parents(tx, &idle).await?;
        ended = idle;
    }
    Ok(changed)
}

/// Ends parents whose children have all ended: failed when one did not succeed and the job
/// insists, else succeeded.
pub(super) async fn end_parents(tx: &Tx, ids: &[Uuid]) -> Result<(), DbErr> {
    if ids.is_empty() {
        return Ok(());
    }
    let unhappy = "(SELECT 1 FROM job_watchers w JOIN jobs c ON c.id = w.job_id \
         WHERE w.parent_id = jobs.id AND c.state IN ('failed', 'cancelled'))";
    sql::execute(
        tx,
        &format!(
            "UPDATE jobs SET version = version + 1, children_open = 0, stage = NULL, \
             progress_done = COALESCE(progress_total, progress_done), finished_at = {{now}}, \
             state = CASE WHEN children_must_succeed AND EXISTS {unhappy} \
               THEN 'failed' ELSE 'succeeded' END, \
             error_code = CASE WHEN children_must_succeed AND EXISTS {unhappy} \
               THEN 'child_failed' END, \
             error_fingerprint = CASE WHEN children_must_succeed AND EXISTS {unhappy} \
               THEN 'child_failed' END, \
             error_message = CASE WHEN children_must_succeed AND EXISTS {unhappy} \
               THEN 'a job this one depends on did not succeed' END, \
             result_expires_at = {{now+?}} \
             WHERE id IN {{list}} AND state = 'running' AND worker IS NULL"
        ),
        args![super::retention::RESULT_TTL_MS, list(ids)],
    )
    .await?;
    Ok(())
}
