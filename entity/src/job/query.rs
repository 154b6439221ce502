//! Reading jobs: for users (scoped by who asked), for operators, and for the engine.

use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use super::{JobState, Model};
use crate::args;
use crate::ledger::read::{self, Cost};
use crate::sql::{self, Arg, list};
use crate::time::Time;

/// Whose jobs may be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Viewer {
    /// Only those they asked for or joined.
    User(Uuid),
    /// Every job.
    Admin,
}

/// The row, unscoped: for the engine.
pub async fn by_id<C: ConnectionTrait>(db: &C, id: Uuid) -> Result<Option<Model>, DbErr> {
    sql::one(db, "SELECT {job} FROM jobs WHERE id = ?", args![id]).await
}

/// A job as one viewer sees it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The row; for a viewer who left a shared job it reads as cancelled.
    pub job: Model,
    /// Children and what became of them.
    pub children: Children,
    /// What it costs the viewer; an operator sees what it costs everybody.
    pub cost: Cost,
}

/// Sums over a job's children.
#[derive(Clone, Copy, Debug, Default, PartialEq, FromQueryResult)]
pub struct Children {
    /// All of them.
    pub total: i64,
    /// Succeeded.
    pub succeeded: i64,
    /// Failed or cancelled.
    pub failed: i64,
    /// Steps done by them.
    pub done_steps: i64,
    /// Steps they declared.
    pub total_steps: i64,
    /// How far they are, 0 to 1: the mean of each one's part. Unlike the sums of steps it never
    /// falls, although a child may find out late how many it has.
    pub share: f64,
}

#[derive(FromQueryResult)]
struct ChildrenOf {
    parent_id: Uuid,
    total: i64,
    succeeded: i64,
    failed: i64,
    done_steps: i64,
    total_steps: i64,
    share: f64,
}

#[derive(FromQueryResult)]
struct Watch {
    job_id: Uuid,
    left_at: Option<Time>,
    /// The job of theirs that waits for it.
    parent_id: Option<Uuid>,
}

/// The jobs of `ids` the viewer may see, in the order of `ids`: those they asked for, joined, or
/// started through a parent.
pub async fn seen<C: ConnectionTrait>(
    db: &C,
    viewer: Viewer,
    ids: &[Uuid],
) -> Result<Vec<Seen>, DbErr> {
    let mut jobs = super::cancel::rows(db, ids).await?;
    if let Viewer::User(user) = viewer {
        let mine: Vec<Watch> = sql::all(
            db,
            "SELECT job_id, left_at, parent_id FROM job_watchers \
             WHERE user_id = ? AND job_id IN {list} \
             UNION ALL SELECT w.job_id, NULL, w.parent_id FROM job_watchers w \
             JOIN job_watchers p ON p.job_id = w.parent_id \
             WHERE p.user_id = ? AND w.job_id IN {list}",
            args![user, list(ids), user, list(ids)],
        )
        .await?;
        jobs.retain_mut(|job| {
            // Another's job may have started it: whose it is, and that it is there, is theirs.
            job.parent_id = job.parent_id.filter(|parent| {
                mine.iter().any(|w| w.job_id == job.id && w.parent_id == Some(*parent))
            });
            let Some(watch) = mine.iter().find(|w| w.job_id == job.id) else {
                return job.user_id == Some(user);
            };
            // Asked to stop as a whole, its real end counts; else who left does not see more.
            let alone = job.state.is_done() && job.cancel_requested_at.is_some();
            if let (Some(left), false) = (watch.left_at, alone) {
                job.state = JobState::Cancelled;
                job.finished_at = Some(left);
            }
            true
        });
    }
    let mut seen = with_children(db, jobs).await?;
    seen.sort_by_key(|s| ids.iter().position(|id| *id == s.job.id));
    let charged = |seen: &&mut Seen| seen.job.credit_action.is_some();
    let ids: Vec<Uuid> = seen.iter_mut().filter(charged).map(|seen| seen.job.id).collect();
    if !ids.is_empty() {
        let user = match viewer {
            Viewer::User(user) => Some(user),
            Viewer::Admin => None,
        };
        for cost in read::costs(db, &ids, user).await? {
            seen.iter_mut().filter(|s| s.job.id == cost.job_id).for_each(|s| s.cost = cost);
        }
    }
    Ok(seen)
}

async fn with_children<C: ConnectionTrait>(db: &C, jobs: Vec<Model>) -> Result<Vec<Seen>, DbErr> {
    let parents: Vec<Uuid> = jobs
        .iter()
        .filter(|job| job.stage.as_deref() == Some("children") || job.state.is_done())
        .map(|job| job.id)
        .collect();
    let sums: Vec<ChildrenOf> = if parents.is_empty() {
        vec![]
    } else {
        sql::all(
            db,
            "SELECT w.parent_id AS parent_id, count(*) AS total, \
             CAST(sum(CASE WHEN c.state = 'succeeded' THEN 1 ELSE 0 END) AS bigint) AS succeeded, \
             CAST(sum(CASE WHEN c.state IN ('failed', 'cancelled') THEN 1 ELSE 0 END) AS bigint) \
               AS failed, \
             CAST(sum(CASE WHEN c.state IN ('succeeded', 'failed', 'cancelled') \
               THEN COALESCE(c.progress_total, 0) ELSE c.progress_done END) AS bigint) \
               AS done_steps, \
             CAST(sum(COALESCE(c.progress_total, 0)) AS bigint) AS total_steps, \
             CAST(avg(CASE WHEN c.state IN ('succeeded', 'failed', 'cancelled') THEN 1.0 \
               WHEN c.progress_total > 0 THEN 1.0 * c.progress_done / c.progress_total \
               ELSE 0.0 END) AS double precision) AS share \
             FROM job_watchers w JOIN jobs c ON c.id = w.job_id \
             WHERE w.parent_id IN {list} GROUP BY w.parent_id",
            args![list(&parents)],
        )
        .await?
    };
    Ok(jobs
        .into_iter()
        .map(|job| {
            let children = sums
                .iter()
                .find(|sum| sum.parent_id == job.id)
                .map(|sum| Children {
                    total: sum.total,
                    succeeded: sum.succeeded,
                    failed: sum.failed,
                    done_steps: sum.done_steps,
                    total_steps: sum.total_steps,
                    share: sum.share,
                })
                .unwrap_or_default();
            Seen { job, children, cost: Cost::default() }
        })
        .collect())
}

/// Whether a job of the kind is open whose key begins so.
pub async fn is_open<C: ConnectionTrait>(db: &C, kind: &str, prefix: &str) -> Result<bool, DbErr> {
    let found = sql::rows(
        db,
        "SELECT id FROM jobs WHERE kind = ? AND key LIKE ? \
         AND state IN ('queued', 'running', 'retrying') LIMIT 1",
        args![kind, format!("{prefix}%")],
    )
    .await?;
    Ok(!found.is_empty())
}

/// The open jobs of a kind that hold one of these keys.
pub async fn open_of<C: ConnectionTrait>(
    db: &C,
    kind: &str,
    keys: &[String],
) -> Result<Vec<Model>, DbErr> {
    sql::all(
        db,
        "SELECT {job} FROM jobs WHERE kind = ? AND key IN {list} \
         AND state IN ('queued', 'running', 'retrying') ORDER BY id",
        vec![kind.into(), list(keys)],
    )
    .await
}

/// What a list of jobs is narrowed to.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only this kind.
    pub kind: Option<String>,
    /// Only this state.
    pub state: Option<JobState>,
    /// Only jobs created at or after this time.
    pub since: Option<Time>,
    /// Only jobs older than this one (keyset cursor).
    pub before: Option<Uuid>,
}

#[derive(FromQueryResult)]
struct Id {
    id: Uuid,
}

/// Ids of the viewer's jobs, newest first, at most `limit`.
pub async fn page<C: ConnectionTrait>(
    db: &C,
    viewer: Viewer,
    filter: &Filter,
    limit: u64,
) -> Result<Vec<Uuid>, DbErr> {
    let mut args: Vec<Arg> = vec![];
    // The state is the one this viewer sees, as in `seen`.
    let (mut text, state) = match viewer {
        Viewer::User(user) => {
            args.push(user.into());
            let mine = "SELECT j.id AS id FROM jobs j JOIN job_watchers w ON w.job_id = j.id \
                 WHERE w.user_id = ?";
            let state = "CASE WHEN w.left_at IS NOT NULL AND (j.finished_at IS NULL \
                 OR j.cancel_requested_at IS NULL) THEN 'cancelled' ELSE j.state END = ?";
            (mine.to_owned(), state)
        }
        Viewer::Admin => ("SELECT j.id AS id FROM jobs j WHERE true".to_owned(), "j.state = ?"),
    };
    let mut also = |condition: &str, arg: Arg| {
        text.push_str(" AND ");
        text.push_str(condition);
        args.push(arg);
    };
    if let Some(kind) = &filter.kind {
        also("j.kind = ?", kind.clone().into());
    }
    if let Some(wanted) = filter.state {
        also(state, wanted.as_str().into());
    }
    if let Some(since) = filter.since {
        also("j.created_at >= ?", sql::at(since));
    }
    if let Some(before) = filter.before {
        also("j.id < ?", before.into());
    }
    text.push_str(" ORDER BY j.id DESC LIMIT ?");
    args.push((limit as i64).into());
    let rows: Vec<Id> = sql::all(db, &text, args).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// How far a job has come, for those who wait for it to change; later ones are greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// Version of its row.
    pub version: i64,
    /// What its view shows beyond the row, while the version stays: the versions of the children
    /// it waits for, or how often the switch of the queue it waits in was turned.
    pub beyond: i64,
}

#[derive(FromQueryResult)]
struct Stamped {
    id: Uuid,
    version: i64,
    beyond: i64,
}

/// Stamps of many jobs in one statement.
pub async fn stamps<C: ConnectionTrait>(db: &C, ids: &[Uuid]) -> Result<Vec<(Uuid, Stamp)>, DbErr> {
    let rows: Vec<Stamped> = sql::all(
        db,
        "SELECT id, version, CASE \
           WHEN state IN ('queued', 'retrying') THEN COALESCE((SELECT c.changes \
             FROM queue_controls c WHERE c.queue = jobs.queue), 0) \
           WHEN state = 'running' AND worker IS NULL THEN COALESCE((SELECT \
             CAST(sum(c.version) AS bigint) FROM job_watchers w JOIN jobs c ON c.id = w.job_id \
             WHERE w.parent_id = jobs.id), 0) \
           ELSE 0 END AS beyond \
         FROM jobs WHERE id IN {list}",
        args![list(ids)],
    )
    .await?;
    let stamp = |row: Stamped| (row.id, Stamp { version: row.version, beyond: row.beyond });
    Ok(rows.into_iter().map(stamp).collect())
}

#[derive(FromQueryResult)]
struct Count {
    n: i64,
}

/// Highest queue position that is counted exactly.
pub const MAX_POSITION: i64 = 1_000;

/// How many waiting jobs of its queue go before this one, plus one; `None` when it does not wait
/// or more than [`MAX_POSITION`] go before it.
pub async fn queue_position<C: ConnectionTrait>(db: &C, job: &Model) -> Result<Option<i64>, DbErr> {
    if !matches!(job.state, JobState::Queued | JobState::Retrying) {
        return Ok(None);
    }
    let count: Option<Count> = sql::one(
        db,
        // `run >= 0` asks for the index in this order.
        "SELECT count(*) AS n FROM (SELECT 1 FROM jobs WHERE queue = ? \
         AND state IN ('queued', 'retrying') AND run >= 0 AND (priority < ? OR (priority = ? AND \
           (run_at < ? OR (run_at = ? AND id < ?)))) LIMIT ?) AS ahead",
        args![
            job.queue.clone(),
            job.priority as i16,
            job.priority as i16,
            sql::at(job.run_at),
            sql::at(job.run_at),
            job.id,
            MAX_POSITION
        ],
    )
    .await?;
    Ok(count.map(|count| count.n + 1).filter(|n| *n <= MAX_POSITION))
}

/// Whether the user asked for the job or joined it, even if they have left since.
pub async fn asked_for<C: ConnectionTrait>(db: &C, job: Uuid, user: Uuid) -> Result<bool, DbErr> {
    let count: Option<Count> = sql::one(
        db,
        "SELECT count(*) AS n FROM job_watchers WHERE job_id = ? AND user_id = ?",
        args![job, user],
    )
    .await?;
    Ok(count.is_some_and(|count| count.n > 0))
}

#[derive(FromQueryResult)]
struct Span {
    due: Time,
    started: Time,
    ended: Time,
}

/// How long jobs of a kind take, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Means {
    /// From start to end.
    pub run: i64,
    /// From being due for the last time to the end, the wait included.
    pub whole: i64,
}

/// Means over the last 50 succeeded jobs of the kind; `None` while fewer than 5 are known.
pub async fn mean_durations<C: ConnectionTrait>(
    db: &C,
    kind: &str,
) -> Result<Option<Means>, DbErr> {
    let spans: Vec<Span> = sql::all(
        db,
        "SELECT run_at AS due, started_at AS started, finished_at AS ended \
         FROM jobs WHERE kind = ? \
         AND state = 'succeeded' AND started_at IS NOT NULL ORDER BY finished_at DESC LIMIT 50",
        args![kind],
    )
    .await?;
    let mean = |from: fn(&Span) -> Time| {
        let sum: i64 = spans.iter().map(|span| span.ended.millis_since(from(span))).sum();
        sum / spans.len() as i64
    };
    Ok((spans.len() >= 5)
        .then(|| Means { run: mean(|span| span.started), whole: mean(|span| span.due) }))
}

/// How many live workers take jobs of the kind.
pub async fn workers_of<C: ConnectionTrait>(db: &C, kind: &str) -> Result<i64, DbErr> {
    let count: Option<Count> = sql::one(
        db,
        "SELECT count(*) AS n FROM worker_kinds k JOIN workers w ON w.id = k.worker_id \
         WHERE k.kind = ? AND w.lease_until > {now} AND NOT w.draining",
        args![kind],
    )
    .await?;
    Ok(count.map_or(0, |count| count.n))
}

/// Whether a live worker takes jobs of the kind.
pub async fn kind_has_worker<C: ConnectionTrait>(db: &C, kind: &str) -> Result<bool, DbErr> {
    Ok(workers_of(db, kind).await? > 0)
}
