//! Enqueue: insert, or join the unfinished job that holds the key.

use std::collections::{BTreeSet, HashSet};

use sea_orm::prelude::{Json, Uuid};
use sea_orm::{ConnectionTrait, DbBackend, DbErr};

use super::Priority;
use crate::db::{Db, Tx};
use crate::enums::Action;
use crate::ledger::LedgerError;
use crate::ledger::spend::{self, Charge};
use crate::sql::{self, Arg, at};
use crate::time::Time;
use crate::{args, job_watcher};

/// A job to be stored. Built by the jobs crate from a kind's policy.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Name of the kind.
    pub kind: &'static str,
    /// Name of the queue.
    pub queue: &'static str,
    /// Lane.
    pub priority: Priority,
    /// What to do.
    pub payload: Json,
    /// Version of the payload's shape.
    pub payload_version: i32,
    /// Unique among the unfinished jobs of the kind.
    pub key: Option<String>,
    /// Attempts allowed.
    pub max_attempts: i32,
    /// Steps of the whole tree, when countable.
    pub progress_total: Option<i32>,
    /// Not before this many milliseconds from now.
    pub delay_ms: i64,
    /// Must start before then.
    pub deadline_at: Option<Time>,
    /// Who asks.
    pub user_id: Option<Uuid>,
    /// The team it counts for.
    pub team_id: Option<Uuid>,
    /// The job that starts it.
    pub parent_id: Option<Uuid>,
    /// Request that starts it.
    pub request_id: Option<String>,
    /// Trace that starts it.
    pub trace_parent: Option<String>,
    /// What its user pays it as.
    pub credit_action: Option<Action>,
}

/// What became of a [`NewJob`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enqueued {
    /// The job that does the work.
    pub id: Uuid,
    /// Its kind.
    pub kind: &'static str,
    /// False when the caller joined a job that was already there.
    pub created: bool,
    /// Queue of the job's ticket.
    pub queue: String,
    /// Lane of the job's ticket.
    pub priority: Priority,
    /// True when a ticket may go out now (not delayed, not running already).
    pub due: bool,
}

#[derive(sea_orm::FromQueryResult)]
struct Inserted {
    id: Uuid,
}

#[derive(sea_orm::FromQueryResult)]
struct Payer {
    job_id: Uuid,
    user_id: Uuid,
}

#[derive(sea_orm::FromQueryResult)]
struct Joined {
    id: Uuid,
    queue: String,
    priority: Priority,
    state: super::JobState,
}

/// Rows per INSERT: with 17 values each below the 32,766 that SQLite takes.
const CHUNK: usize = 1_000;

/// Stores the jobs in the caller's transaction, in order. A job whose key is held by an
/// unfinished job of its kind joins that one: a watcher row, and its priority if more urgent. What
/// costs is set aside in the same transaction, for each user once a job.
///
/// # Errors
/// [`LedgerError::Refused`] when somebody cannot pay. The caller rolls back, whatever it is.
pub async fn enqueue_many(tx: &Tx, jobs: &[NewJob]) -> Result<Vec<Enqueued>, LedgerError> {
    // In the order of their keys: two callers that ask for the same work in different orders
    // would wait for each other for ever.
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    order.sort_by_key(|i| (jobs[*i].kind, jobs[*i].key.as_deref(), *i));
    let mut done: Vec<Option<Enqueued>> = vec![None; jobs.len()];
    for chunk in order.chunks(CHUNK) {
        let chunk: Vec<(usize, &NewJob, Uuid)> =
            chunk.iter().map(|i| (*i, &jobs[*i], Uuid::now_v7())).collect();
        let rows: Vec<(&NewJob, Uuid)> = chunk.iter().map(|(_, job, id)| (*job, *id)).collect();
        let inserted = insert(tx, &rows).await?;
        for (i, job, id) in chunk {
            done[i] = Some(if inserted.contains(&id) {
                created(job, id)
            } else {
                join_or_insert(tx, job).await?
            });
        }
    }
    let done: Vec<Enqueued> = done.into_iter().flatten().collect();
    let watched = watches(tx.get_database_backend());
    let watchers: Vec<_> = jobs
        .iter()
        .zip(&done)
        .filter(|(_, enqueued)| !(watched && enqueued.created))
        .filter(|(job, _)| job.user_id.is_some() || job.parent_id.is_some())
        .map(|(job, enqueued)| (enqueued.id, job.user_id, job.parent_id))
        .collect();
    job_watcher::add(tx, &watchers).await?;
    let charged = jobs
        .iter()
        .zip(&done)
        .filter_map(|(job, enqueued)| Some((enqueued.id, job.user_id?, job.credit_action?)));
    charge(tx, charged.collect()).await?;
    Ok(done)
}

/// Sets aside what these users pay for these jobs, unless it is set aside already. After the rows
/// of the jobs: who ends one takes his locks in that order, too.
pub(super) async fn charge(
    tx: &Tx,
    charged: BTreeSet<(Uuid, Uuid, Action)>,
) -> Result<(), LedgerError> {
    if charged.is_empty() {
        return Ok(());
    }
    let jobs: Vec<Uuid> = charged.iter().map(|(job, ..)| *job).collect();
    let open: Vec<Payer> = sql::all(
        tx,
        "SELECT job_id, user_id FROM credit_holds WHERE job_id IN {list} AND state = 'held'",
        args![sql::list(&jobs)],
    )
    .await?;
    let open: HashSet<(Uuid, Uuid)> = open.iter().map(|row| (row.job_id, row.user_id)).collect();
    let charges: Vec<Charge> = charged
        .into_iter()
        .filter(|(job, user, _)| !open.contains(&(*job, *user)))
        .map(|(job, user, action)| Charge { user, action, key: None, job: Some(job) })
        .collect();
    for held in spend::hold(tx, &charges).await? {
        held?;
    }
    Ok(())
}

/// Stores a job with a single statement, which commits by itself: a third of the round trips of a
/// transaction. `None` when that is not enough, and nothing was stored: on SQLite, for what costs,
/// and where an unfinished job holds the key.
pub async fn enqueue_alone(db: &Db, job: &NewJob) -> Result<Option<Enqueued>, DbErr> {
    if !watches(db.backend()) || job.credit_action.is_some() {
        return Ok(None);
    }
    let id = Uuid::now_v7();
    let inserted = insert(db.write(), &[(job, id)]).await?;
    Ok(inserted.contains(&id).then(|| created(job, id)))
}

/// Whether a row and its watchers are one statement: SQLite inserts into one table at a time.
fn watches(backend: DbBackend) -> bool {
    backend == DbBackend::Postgres
}

fn created(job: &NewJob, id: Uuid) -> Enqueued {
    Enqueued {
        id,
        kind: job.kind,
        created: true,
        queue: job.queue.to_owned(),
        priority: job.priority,
        due: job.delay_ms <= 0,
    }
}

/// Returns which were inserted; on Postgres their watchers were too.
async fn insert<C: ConnectionTrait>(
    db: &C,
    jobs: &[(&NewJob, Uuid)],
) -> Result<HashSet<Uuid>, DbErr> {
    let watches = watches(db.get_database_backend());
    let rows = jobs
        .iter()
        .map(|(job, id)| {
            let mut row = vec![
                Arg::from(*id),
                job.kind.into(),
                job.queue.into(),
                (job.priority as i16).into(),
                job.payload.clone().into(),
                job.payload_version.into(),
                job.key.clone().into(),
                job.max_attempts.into(),
                job.progress_total.into(),
                at(job.deadline_at),
                job.user_id.into(),
                job.team_id.into(),
                job.parent_id.into(),
                job.request_id.clone().into(),
                job.trace_parent.clone().into(),
                job.delay_ms.into(),
                job.credit_action.map(Action::as_str).into(),
            ];
            if watches {
                row.push(Uuid::now_v7().into());
            }
            row
        })
        .collect();
    let text = if watches {
        // A parent watches as a job, as in `job_watcher::add`.
        format!(
            "WITH new AS (SELECT * FROM {{rows}}), \
             stored AS ({INSERT} column17::text, {{now}} + column16::bigint * interval '1 millisecond', {{now}} \
               FROM new {UNLESS_HELD} RETURNING id), \
             watched AS (INSERT INTO job_watchers (id, job_id, user_id, parent_id, created_at) \
               SELECT column18::uuid, column1::uuid, \
               CASE WHEN column13 IS NULL THEN column11::uuid END, column13::uuid, {{now}} \
               FROM new JOIN stored ON stored.id = column1::uuid \
               WHERE column11 IS NOT NULL OR column13 IS NOT NULL) \
             SELECT id FROM stored"
        )
    } else {
        format!(
            "{INSERT} column17, {{now}} + column16, {{now}} FROM {{rows}} {UNLESS_HELD} RETURNING id"
        )
    };
    let rows: Vec<Inserted> = sql::all(db, &text, vec![Arg::Rows(rows)]).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// `run_at` and `created_at` follow: `column16` is the delay, and the clock is read once per
/// statement, so a batch shares one time.
const INSERT: &str = "INSERT INTO jobs (id, kind, queue, priority, payload, payload_version, key, \
     max_attempts, progress_total, deadline_at, user_id, team_id, parent_id, request_id, \
     trace_parent, credit_action, run_at, created_at) \
     SELECT column1::uuid, column2::text, column3::text, column4::smallint, column5::jsonb, \
     column6::int, column7::text, column8::int, column9::int, column10::timestamptz, \
     column11::uuid, column12::uuid, column13::uuid, column14::text, column15::text,";

const UNLESS_HELD: &str = "WHERE true ON CONFLICT (kind, key) WHERE key IS NOT NULL AND state IN \
     ('queued', 'running', 'retrying') DO NOTHING";

/// The holder may end between the refused insert and the join: then insert anew. The loop is
/// bounded; each round lost means that another job of the key ended in between.
async fn join_or_insert(tx: &Tx, job: &NewJob) -> Result<Enqueued, DbErr> {
    for _ in 0..16 {
        // Joining also takes back a cancel that has not taken effect yet: it was asked for when
        // nobody was left, and now somebody is here.
        let joined: Option<Joined> = sql::one(
            tx,
            "UPDATE jobs SET version = version + 1, cancel_requested_at = NULL, \
             credit_action = COALESCE(?, credit_action), priority = CASE WHEN priority > ? THEN ? ELSE priority END \
             WHERE kind = ? AND key = ? AND state IN ('queued', 'running', 'retrying') \
             RETURNING id, queue, priority, state",
            args![
                job.credit_action.map(Action::as_str),
                job.priority as i16,
                job.priority as i16,
                job.kind,
                job.key.clone()
            ],
        )
        .await?;
        if let Some(joined) = joined {
            return Ok(Enqueued {
                id: joined.id,
                kind: job.kind,
                created: false,
                queue: joined.queue,
                priority: joined.priority,
                due: joined.state == super::JobState::Queued,
            });
        }
        let id = Uuid::now_v7();
        if insert(tx, &[(job, id)]).await?.contains(&id) {
            return Ok(created(job, id));
        }
    }
    Err(DbErr::Custom(format!("job key {:?} changed hands 16 times while joining", job.key)))
}
