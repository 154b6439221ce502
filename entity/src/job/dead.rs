//! Failed jobs, for operators: which failures there are, and queueing their jobs again.

use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, TransactionTrait};

use super::retry::{self, Again, Retried};
use super::{JobState, Model};
use crate::args;
use crate::db::Tx;
use crate::job_event::EventKind;
use crate::sql::{self, Arg, at, list};
use crate::time::Time;

/// Failed jobs of one kind and one reason.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Group {
    /// The kind.
    pub kind: String,
    /// The reason.
    pub fingerprint: String,
    /// The reason as a word.
    pub error_code: Option<String>,
    /// How many jobs.
    pub jobs: i64,
    /// When the newest failed.
    pub newest: Time,
    /// When the oldest failed.
    pub oldest: Time,
}

/// Where a page of groups begins: after the group of this place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct After {
    /// Its newest failure.
    pub newest: Time,
    /// Its kind.
    pub kind: String,
    /// Its fingerprint.
    pub fingerprint: String,
}

/// Groups of failed jobs, the one that failed last first.
pub async fn groups<C: ConnectionTrait>(
    db: &C,
    kind: Option<&str>,
    after: Option<&After>,
    limit: u64,
) -> Result<Vec<Group>, DbErr> {
    let mut args: Vec<Arg> = vec![];
    let mut narrow = "";
    if let Some(kind) = kind {
        narrow = "AND kind = ? ";
        args.push(kind.into());
    }
    let mut from = "";
    if let Some(after) = after {
        from = "WHERE newest < ? OR (newest = ? AND (kind, fingerprint) > (?, ?)) ";
        args.extend([at(after.newest), at(after.newest)]);
        args.extend(args![after.kind.clone(), after.fingerprint.clone()]);
    }
    args.push((limit as i64).into());
    sql::all(
        db,
        &format!(
            "SELECT * FROM (SELECT kind, COALESCE(error_fingerprint, 'unknown') AS fingerprint, \
               min(error_code) AS error_code, count(*) AS jobs, max(finished_at) AS newest, \
               min(finished_at) AS oldest FROM jobs WHERE state = 'failed' {narrow}\
               GROUP BY kind, COALESCE(error_fingerprint, 'unknown')) AS g \
             {from}ORDER BY newest DESC, kind, fingerprint LIMIT ?"
        ),
        args,
    )
    .await
}

#[derive(FromQueryResult)]
struct Count {
    n: i64,
}

/// How many failed jobs there are.
pub async fn count<C: ConnectionTrait>(db: &C) -> Result<i64, DbErr> {
    let failed = "SELECT count(*) AS n FROM jobs WHERE state = 'failed'";
    let count: Option<Count> = sql::one(db, failed, vec![]).await?;
    Ok(count.map_or(0, |count| count.n))
}

/// A failed job of a group.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Sample {
    /// The job.
    pub id: Uuid,
    /// Why it failed, as a sentence.
    pub error_message: Option<String>,
}

/// The newest jobs of a group.
pub async fn samples<C: ConnectionTrait>(
    db: &C,
    group: &Group,
    limit: u64,
) -> Result<Vec<Sample>, DbErr> {
    let unknown = group.fingerprint == "unknown";
    let mut args = args![group.kind.clone()];
    let fingerprint = if unknown { "error_fingerprint IS NULL" } else { "error_fingerprint = ?" };
    if !unknown {
        args.push(group.fingerprint.clone().into());
    }
    args.push((limit as i64).into());
    sql::all(
        db,
        &format!(
            "SELECT id, error_message FROM jobs WHERE state = 'failed' AND kind = ? \
             AND {fingerprint} ORDER BY finished_at DESC, id DESC LIMIT ?"
        ),
        args,
    )
    .await
}

/// What a redrive is narrowed to.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only this kind.
    pub kind: Option<String>,
    /// Only this reason.
    pub fingerprint: Option<String>,
    /// Only this reason, as a word.
    pub error_code: Option<String>,
    /// Only jobs that failed at or after this time.
    pub since: Option<Time>,
    /// Only jobs that failed before this time.
    pub until: Option<Time>,
    /// Only these.
    pub ids: Option<Vec<Uuid>>,
}

#[derive(FromQueryResult)]
struct Id {
    id: Uuid,
}

/// Those of [`found`] that can be queued again now.
const FREE: &str = "place = 1 AND (key IS NULL OR NOT EXISTS (SELECT 1 FROM jobs o \
    WHERE o.kind = found.kind AND o.key = found.key \
      AND o.state IN ('queued', 'running', 'retrying')))";

/// The failed jobs a filter finds and that can be queued again now, the one that failed first
/// first. Of those that do the same work only the one that failed last is among them, and none
/// while an open job does it.
pub async fn matching<C: ConnectionTrait>(
    db: &C,
    filter: &Filter,
    limit: u64,
) -> Result<Vec<Uuid>, DbErr> {
    let (found, mut args) = found(filter);
    args.push((limit as i64).into());
    let text = format!("SELECT id {found} WHERE {FREE} ORDER BY finished_at, id LIMIT ?");
    let rows: Vec<Id> = sql::all(db, &text, args).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// How many failed jobs a filter finds that [`matching`] leaves out.
pub async fn superseded<C: ConnectionTrait>(db: &C, filter: &Filter) -> Result<u64, DbErr> {
    let (found, args) = found(filter);
    let text = format!("SELECT count(*) AS n {found} WHERE NOT ({FREE})");
    let count: Option<Count> = sql::one(db, &text, args).await?;
    Ok(count.map_or(0, |count| count.n as u64))
}

/// The failed jobs a filter finds; their place is 1 unless one with the same key failed later.
fn found(filter: &Filter) -> (String, Vec<Arg>) {
    let mut text =
        "FROM (SELECT id, kind, key, finished_at, row_number() OVER (PARTITION BY kind, \
         key, CASE WHEN key IS NULL THEN id END ORDER BY finished_at DESC, id DESC) AS place \
         FROM jobs WHERE state = 'failed'"
            .to_owned();
    let mut args: Vec<Arg> = vec![];
    let mut also = |condition: &str, arg: Arg| {
        text.push_str(" AND ");
        text.push_str(condition);
        args.push(arg);
    };
    if let Some(kind) = &filter.kind {
        also("kind = ?", kind.clone().into());
    }
    if let Some(fingerprint) = &filter.fingerprint {
        also("COALESCE(error_fingerprint, 'unknown') = ?", fingerprint.clone().into());
    }
    if let Some(code) = &filter.error_code {
        also("error_code = ?", code.clone().into());
    }
    if let Some(since) = filter.since {
        also("finished_at >= ?", at(since));
    }
    if let Some(until) = filter.until {
        also("finished_at < ?", at(until));
    }
    if let Some(ids) = &filter.ids {
        also("id IN {list}", list(ids));
    }
    text.push_str(") AS found");
    (text, args)
}

/// What a batch of a redrive came to.
#[derive(Clone, Debug, Default)]
pub struct Redriven {
    /// Queued again.
    pub queued: Vec<Model>,
    /// Left as they are: an open job holds their key.
    pub superseded: u64,
    /// Left as they are: they are no longer failed, or gone.
    pub changed: u64,
    /// Left as they are: those who wait for them cannot pay.
    pub unpaid: u64,
}

/// When the n-th job of a redrive is due, counted from the first, in milliseconds.
pub fn due_ms(n: u64, per_second: u32) -> i64 {
    (n * 1_000 / u64::from(per_second.max(1))) as i64
}

/// Queues failed jobs again, each whole or not at all, `per_second` of them due in each second;
/// so many were queued before them.
pub async fn redrive(
    tx: &Tx,
    ids: &[Uuid],
    by: &str,
    before: u64,
    per_second: u32,
) -> Result<Redriven, DbErr> {
    let mut done = Redriven::default();
    for id in ids {
        let how = Again {
            from: &[JobState::Failed],
            user: None,
            delay_ms: due_ms(before + done.queued.len() as u64, per_second),
            event: EventKind::Redriven,
            by,
        };
        // A savepoint of its own: a key that is taken must not undo the others.
        let one = tx.begin().await?;
        match retry::again(&one, *id, &how).await? {
            Retried::Queued(job) => {
                one.commit().await?;
                done.queued.push(*job);
            }
            Retried::KeyTaken => {
                one.rollback().await?;
                done.superseded += 1;
            }
            Retried::NotEnded(_) | Retried::Missing => {
                one.rollback().await?;
                done.changed += 1;
            }
            Retried::Unpaid(_) => {
                one.rollback().await?;
                done.unpaid += 1;
            }
        }
    }
    Ok(done)
}
