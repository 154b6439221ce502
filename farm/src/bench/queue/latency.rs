//! From the call that enqueues a job to the first line of its handler, idle and under load, beside
//! what a commit of one row costs on the same Postgres.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use entity::enums::Queue;
use entity::job::query;
use jobs::kinds::noop::{Noop, NoopDone};
use jobs::process::Failure;
use uuid::Uuid;

use super::Options;
use super::flow;
use crate::bench::figure::{Latencies, Report, Spread};
use crate::bench::say;
use crate::bench::stack::{Stack, stop};

/// Probes per round.
const PROBES: usize = 300;
/// Pause between two probes.
const PAUSE: Duration = Duration::from_millis(10);
/// How often a portion of the load is stored.
const PORTION: Duration = Duration::from_millis(20);

pub(super) async fn measure(
    stack: &mut Stack,
    options: &Options,
    report: &mut Report,
) -> Result<(), Failure> {
    let capacity = report.median("durable_jobs_per_s");
    stack.empty().await?;
    let scheduler = stack.role("scheduler", &[])?;
    let worker = stack.worker(Queue::Upkeep, options.slots, &[]).await?;
    let loads = [("idle", 0.0), ("half", 0.5), ("busy", 0.8)];
    let mut found: Vec<(Spread, Spread)> = vec![Default::default(); loads.len()];
    let mut commits = (Spread::default(), Spread::default());
    for round in 0..=options.common.rounds {
        say(&format!("latency, round {round} of {}", options.common.rounds));
        let commit = commit(stack).await?;
        if round > 0 {
            commits.0.add(commit.percentile(50.0));
            commits.1.add(commit.percentile(99.0));
        }
        for ((_, share), (p50, p99)) in loads.iter().zip(&mut found) {
            let waits = under_load(stack, capacity * share).await?;
            if round > 0 {
                p50.add(waits.percentile(50.0));
                p99.add(waits.percentile(99.0));
            }
        }
    }
    stop(worker).await?;
    stop(scheduler).await?;
    report.figure(
        "commit_p50_ms",
        "commit of one row, p50",
        "ms",
        commits.0,
        "raw INSERT, fsync on",
    );
    report.figure("commit_p99_ms", "commit of one row, p99", "ms", commits.1, "");
    for ((name, share), (p50, p99)) in loads.iter().zip(found) {
        let what = match *share {
            0.0 => "enqueue → start, idle".to_owned(),
            share => format!("enqueue → start at {:.0} % load", share * 100.0),
        };
        let bar = |bar: &'static str| if *share == 0.0 { bar } else { "" };
        report.figure(
            &format!("{name}_p50_ms"),
            &format!("{what}, p50"),
            "ms",
            p50,
            bar("at most 3"),
        );
        report.figure(
            &format!("{name}_p99_ms"),
            &format!("{what}, p99"),
            "ms",
            p99,
            bar("at most 15"),
        );
    }
    Ok(())
}

/// One row inserted and committed, again and again.
async fn commit(stack: &Stack) -> Result<Latencies, Failure> {
    stack.execute("CREATE TABLE IF NOT EXISTS bench_commit (at timestamptz)").await?;
    let mut waits = Latencies::default();
    for _ in 0..PROBES {
        let began = Instant::now();
        stack.execute("INSERT INTO bench_commit VALUES (clock_timestamp())").await?;
        waits.add(began.elapsed());
        tokio::time::sleep(PAUSE).await;
    }
    Ok(waits)
}

/// Probes while `per_second` other jobs go the same way.
async fn under_load(stack: &Stack, per_second: f64) -> Result<Latencies, Failure> {
    let jobs = stack.jobs.clone();
    let load = tokio::spawn(async move {
        let mut tick = tokio::time::interval(PORTION);
        let mut owed = 0.0;
        loop {
            tick.tick().await;
            owed += per_second * PORTION.as_secs_f64();
            let portion = flow::noops(owed as u64)?;
            owed -= portion.len() as f64;
            if !portion.is_empty() {
                jobs.submit_many(&portion).await.map_err(Failure::during("the load"))?;
            }
        }
        #[allow(unreachable_code)] // says what the block returns
        Ok::<(), Failure>(())
    });
    let probes = probes(stack).await;
    if load.is_finished() {
        load.await.map_err(Failure::during("the load"))??;
    } else {
        load.abort();
    }
    let probes = probes?;
    flow::drained(stack.db()).await?;
    let mut waits = Latencies::default();
    for (id, sent) in probes {
        waits.add(started(stack, id).await?.saturating_sub(sent));
    }
    Ok(waits)
}

/// Jobs one by one, with the time before each call.
async fn probes(stack: &Stack) -> Result<Vec<(Uuid, Duration)>, Failure> {
    let probe = Noop { tell_start: true, ..Noop::default() };
    let mut sent = vec![];
    for _ in 0..PROBES {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let stored = stack.jobs.submit(&probe, &jobs::Options::default()).await;
        sent.push((stored.map_err(Failure::during("a probe was not stored"))?.id, now));
        tokio::time::sleep(PAUSE).await;
    }
    Ok(sent)
}

/// When the handler of a probe began, since 1970, by the clock of this machine.
async fn started(stack: &Stack, id: Uuid) -> Result<Duration, Failure> {
    let job = query::by_id(stack.db().read(), id).await;
    let job = job.map_err(Failure::during("a probe cannot be read"))?;
    let done = job.and_then(|job| serde_json::from_value::<NoopDone>(job.result?).ok());
    let started = done.and_then(|done| done.started_us);
    started
        .map(Duration::from_micros)
        .ok_or_else(|| Failure::new("a probe did not say when it began"))
}
