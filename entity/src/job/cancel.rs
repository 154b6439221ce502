//! Cancel: the caller leaves; the job ends when nobody is left.

use sea_orm::DbErr;
use sea_orm::prelude::Uuid;

use super::end::{self, Settled};
use super::{JobState, Model};
use crate::db::Tx;
use crate::job_event::{self, EventKind};
use crate::ledger::settle;
use crate::sql::{self, list};
use crate::time::Time;
use crate::{args, job_watcher};

/// Who cancels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaver {
    /// One of those who asked for the work.
    User(Uuid),
    /// A job that waits for it.
    Parent(Uuid),
    /// An operator, for everybody.
    Operator,
}

/// What a cancel came to.
#[derive(Clone, Debug)]
pub struct Cancel {
    /// The row as it stands now.
    pub job: Model,
    /// Others still wait for it, so it goes on.
    pub shared: bool,
    /// Running jobs that were asked to stop.
    pub stop: Vec<Uuid>,
    /// Jobs whose version changed.
    pub changed: Vec<Uuid>,
}

/// Takes the leaver off the job and, when nobody is left, ends it: at once when it waits, by
/// request when it runs, through its children when it waits for them. A finished job is left as
/// it is. `None` when there is no such job.
pub async fn cancel(tx: &Tx, id: Uuid, leaver: Leaver) -> Result<Option<Cancel>, DbErr> {
    let Some(job) = locked(tx, id).await? else { return Ok(None) };
    let mut cancel = Cancel { job, shared: false, stop: vec![], changed: vec![] };
    if cancel.job.state.is_done() {
        return Ok(Some(cancel));
    }
    job_watcher::leave(tx, id, leaver).await?;
    match leaver {
        Leaver::User(user) => settle::left(tx, id, Some(user)).await?,
        Leaver::Operator => settle::left(tx, id, None).await?,
        Leaver::Parent(_) => {}
    }
    if leaver != Leaver::Operator && job_watcher::anybody_left(tx, id).await? {
        cancel.shared = true;
        cancel.job = bump(tx, id).await?;
        cancel.changed.push(id);
        return Ok(Some(cancel));
    }
    let mut open = vec![cancel.job.clone()];
    while let Some(job) = open.pop() {
        if job.waits_for_children() {
            for child in job_watcher::children(tx, job.id).await? {
                let Some(child) = locked(tx, child).await? else { continue };
                job_watcher::leave(tx, child.id, Leaver::Parent(job.id)).await?;
                if !child.state.is_done() && !job_watcher::anybody_left(tx, child.id).await? {
                    open.push(child);
                }
            }
        }
        if job.state == JobState::Running && job.worker.is_some() {
            request_stop(tx, job.id).await?;
            cancel.stop.push(job.id);
            cancel.changed.push(job.id);
        } else {
            job_event::add(tx, job.id, EventKind::Cancelled, "cancelled before it ran").await?;
            let Settled { changed, .. } = end::finish(tx, &job, JobState::Cancelled, None).await?;
            cancel.changed.extend(changed);
        }
    }
    if let Some(job) = locked(tx, id).await? {
        cancel.job = job;
    }
    Ok(Some(cancel))
}

async fn locked(tx: &Tx, id: Uuid) -> Result<Option<Model>, DbErr> {
    sql::one(tx, "SELECT {job} FROM jobs WHERE id = ? {for update}", args![id]).await
}

async fn bump(tx: &Tx, id: Uuid) -> Result<Model, DbErr> {
    sql::one(tx, "UPDATE jobs SET version = version + 1 WHERE id = ? RETURNING {job}", args![id])
        .await?
        .ok_or(DbErr::RecordNotUpdated)
}

async fn request_stop(tx: &Tx, id: Uuid) -> Result<(), DbErr> {
    sql::execute(
        tx,
        "UPDATE jobs SET cancel_requested_at = {now}, version = version + 1 \
         WHERE id = ? AND state = 'running' AND cancel_requested_at IS NULL",
        args![id],
    )
    .await?;
    job_event::add(tx, id, EventKind::CancelRequested, "asked to stop").await
}

/// A run as its row has it.
#[derive(Clone, Copy, Debug, sea_orm::FromQueryResult)]
pub struct RunRow {
    /// The job.
    pub id: Uuid,
    /// The run.
    pub run: i32,
    /// Somebody asked it to stop.
    pub cancel_requested_at: Option<Time>,
}

/// The runs that rows ascribe to a worker.
pub async fn runs_of<C: sea_orm::ConnectionTrait>(
    db: &C,
    worker: Uuid,
) -> Result<Vec<RunRow>, DbErr> {
    sql::all(
        db,
        "SELECT id, run, cancel_requested_at FROM jobs WHERE worker = ? AND state = 'running'",
        args![worker],
    )
    .await
}

/// Fails waiting jobs whose deadline has passed; returns what changed.
pub async fn fail_overdue(tx: &Tx, limit: u64) -> Result<Vec<Uuid>, DbErr> {
    let overdue: Vec<Model> = sql::all(
        tx,
        "SELECT {job} FROM jobs WHERE state IN ('queued', 'retrying') \
         AND deadline_at IS NOT NULL AND deadline_at <= {now} LIMIT ? {skip locked}",
        args![limit as i64],
    )
    .await?;
    let mut changed = vec![];
    for job in overdue {
        let why = Some(("deadline", "the job did not start before its deadline"));
        changed.extend(end::finish(tx, &job, JobState::Failed, why).await?.changed);
    }
    Ok(changed)
}

/// The rows of `ids`, in any order.
pub(crate) async fn rows<C: sea_orm::ConnectionTrait>(
    db: &C,
    ids: &[Uuid],
) -> Result<Vec<Model>, DbErr> {
    sql::all(db, "SELECT {job} FROM jobs WHERE id IN {list}", args![list(ids)]).await
}
