//! What queues look like to operators: counted from open rows, measured from rows that ended.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use super::JobState;
use crate::args;
use crate::sql;
use crate::time::Time;

/// Waiting jobs of a queue.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Waiting {
    /// The queue.
    pub queue: String,
    /// Waiting for their first attempt, or put back.
    pub queued: i64,
    /// Waiting for their next attempt.
    pub retrying: i64,
    /// Of both, those that may start now.
    pub due: i64,
    /// When the first of them was, or will be, due.
    pub first_due: Time,
}

/// What waits, per queue.
pub async fn waiting<C: ConnectionTrait>(db: &C) -> Result<Vec<Waiting>, DbErr> {
    sql::all(
        db,
        // The clock in a SELECT of its own is asked once, and not for every row: 0.2 s for 500,000
        // rows in place of 2.4 s.
        "SELECT queue, count(*) FILTER (WHERE state = 'queued') AS queued, \
         count(*) FILTER (WHERE state = 'retrying') AS retrying, \
         count(*) FILTER (WHERE run_at <= (SELECT {now})) AS due, min(run_at) AS first_due \
         FROM jobs WHERE state IN ('queued', 'retrying') GROUP BY queue",
        vec![],
    )
    .await
}

/// How many jobs of a queue wait.
pub async fn waiting_in<C: ConnectionTrait>(
    db: &C,
    queue: crate::enums::Queue,
) -> Result<i64, DbErr> {
    let all = waiting(db).await?;
    let found = all.iter().find(|waiting| waiting.queue == queue.as_str());
    Ok(found.map_or(0, |waiting| waiting.queued + waiting.retrying))
}

/// Running jobs of a queue.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Running {
    /// The queue.
    pub queue: String,
    /// On a worker.
    pub running: i64,
    /// Without one: they wait for their children.
    pub parents: i64,
}

/// What runs, per queue.
pub async fn running<C: ConnectionTrait>(db: &C) -> Result<Vec<Running>, DbErr> {
    sql::all(
        db,
        "SELECT queue, count(*) FILTER (WHERE worker IS NOT NULL) AS running, \
         count(*) FILTER (WHERE worker IS NULL) AS parents \
         FROM jobs WHERE state = 'running' GROUP BY queue",
        vec![],
    )
    .await
}

#[derive(FromQueryResult)]
struct Longest {
    began: Option<Time>,
}

/// When the run began that takes longest of those that are on a worker now.
pub async fn longest_run<C: ConnectionTrait>(db: &C) -> Result<Option<Time>, DbErr> {
    let longest: Option<Longest> = sql::one(
        db,
        "SELECT min(claimed_at) AS began FROM jobs WHERE state = 'running' \
         AND worker IS NOT NULL",
        vec![],
    )
    .await?;
    Ok(longest.and_then(|longest| longest.began))
}

/// A job that ended.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Ended {
    /// How.
    pub state: JobState,
    /// When its last run was due.
    pub run_at: Time,
    /// When its last run began.
    pub claimed_at: Option<Time>,
    /// When it ended.
    pub finished_at: Time,
}

impl Ended {
    /// How long its last run waited for a slot; `None` when it ended without one.
    pub fn waited_ms(&self) -> Option<i64> {
        // Put back after its last run, it was due later than that run began.
        self.claimed_at.map(|began| began.millis_since(self.run_at)).filter(|ms| *ms >= 0)
    }
}

/// Jobs of a queue that ended within so many milliseconds, newest first.
pub async fn ended<C: ConnectionTrait>(
    db: &C,
    queue: &str,
    within_ms: i64,
    limit: u64,
) -> Result<Vec<Ended>, DbErr> {
    sql::all(
        db,
        "SELECT state, run_at, claimed_at, finished_at FROM jobs WHERE queue = ? \
         AND finished_at IS NOT NULL AND finished_at > {now-?} \
         ORDER BY finished_at DESC LIMIT ?",
        args![queue, within_ms, limit as i64],
    )
    .await
}

/// The value below which a share (0 to 1) of the values lies, by nearest rank; `None` of none.
pub fn percentile(sorted: &[i64], share: f64) -> Option<i64> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values: Vec<i64> = (1..=100).collect();
        assert_eq!(percentile(&values, 0.5), Some(50));
        assert_eq!(percentile(&values, 0.95), Some(95));
        assert_eq!(percentile(&values, 0.99), Some(99));
        assert_eq!(percentile(&values, 1.0), Some(100));
        assert_eq!(percentile(&[7], 0.0), Some(7));
        assert_eq!(percentile(&[7], 0.99), Some(7));
        assert_eq!(percentile(&[], 0.5), None);
    }
}
