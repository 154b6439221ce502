//! Noop jobs in numbers: stored through the library, as any caller would, and waited for.

use std::time::{Duration, Instant};

use entity::job::enqueue::NewJob;
use entity::{Db, sql};
use jobs::kinds::noop::Noop;
use jobs::process::Failure;
use jobs::submit::new_job;
use jobs::{Jobs, Options};

/// Jobs of one call of `submit_many`.
const CHUNK: u64 = 1_000;

/// A run may take this long without a single job ending.
const PATIENCE: Duration = Duration::from_secs(60);

/// So many noop jobs to be stored.
pub(super) fn noops(count: u64) -> Result<Vec<NewJob>, Failure> {
    let one = new_job(&Noop::default(), &Options::default());
    let one = one.map_err(Failure::during("a noop job"))?;
    Ok(vec![one; count as usize])
}

/// Stores `count` jobs and sends their tickets, chunk by chunk.
pub(super) async fn submit(jobs: &Jobs, count: u64) -> Result<(), Failure> {
    let chunk = noops(CHUNK)?;
    let mut left = count;
    while left > 0 {
        let part = &chunk[..left.min(CHUNK) as usize];
        jobs.submit_many(part).await.map_err(Failure::during("jobs were not stored"))?;
        left -= part.len() as u64;
    }
    Ok(())
}

async fn count(db: &Db, template: &str) -> Result<u64, Failure> {
    let failed = || Failure::during("jobs cannot be counted");
    let rows = sql::rows(db.read(), template, vec![]).await.map_err(failed())?;
    let first = rows.first().map(|row| row.try_get_by_index::<i64>(0));
    Ok(first.transpose().map_err(failed())?.unwrap_or(0) as u64)
}

/// Jobs that have not ended.
pub(super) async fn open(db: &Db) -> Result<u64, Failure> {
    let open = "SELECT count(*) AS n FROM jobs WHERE state IN ('queued', 'retrying', 'running')";
    count(db, open).await
}

/// Jobs that succeeded.
pub(super) async fn succeeded(db: &Db) -> Result<u64, Failure> {
    count(db, "SELECT count(*) AS n FROM jobs WHERE state = 'succeeded'").await
}

/// Waits until no job is open.
pub(in crate::bench) async fn drained(db: &Db) -> Result<(), Failure> {
    // The first will do; counting would slow down what is measured.
    let more = "SELECT count(*) AS n FROM (SELECT 1 AS one FROM jobs WHERE state IN \
         ('queued', 'retrying', 'running') LIMIT 1) AS more";
    let (mut seen, mut began) = (u64::MAX, Instant::now());
    let mut looked = Instant::now();
    while count(db, more).await? > 0 {
        if looked.elapsed() > Duration::from_secs(10) {
            looked = Instant::now();
            let now = open(db).await?;
            if now < seen {
                (seen, began) = (now, Instant::now());
            }
        }
        if began.elapsed() > PATIENCE {
            return Err(Failure::new(format!("{seen} jobs are open and none of them ends")));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
