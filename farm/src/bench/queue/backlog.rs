//! What claims and ends cost when much is queued, and when much was finished and pruned; and what
//! a queued job costs in the processes.

use entity::enums::Queue;
use entity::job::retention;
use jobs::process::Failure;

use super::Options;
use super::flow;
use crate::bench::figure::{Report, Spread};
use crate::bench::stack::{Stack, stop};
use crate::bench::{host, say};
use crate::roles::Role;

/// Rows of the small backlog.
const SMALL: u64 = 10_000;
/// Jobs at the beginning of a run that are left out: the worker is only starting.
const LEAD: u64 = 1_000;
/// Jobs of the large backlog that are looked at.
const WINDOW: u64 = 50_000;
/// Long enough for retention to want them all.
const LATER_MS: i64 = retention::KEEP_SUCCEEDED_MS + 3_600_000;

pub(super) async fn measure(
    stack: &mut Stack,
    options: &Options,
    report: &mut Report,
) -> Result<(), Failure> {
    let mut start = Spread::default();
    let mut rest = f64::NAN;
    for round in 0..options.common.rounds {
        say(&format!("a backlog of {SMALL}, round {} of {}", round + 1, options.common.rounds));
        stack.empty().await?;
        let run = drain(stack, options, SMALL, SMALL).await?;
        start.add(run.micros_per_job);
        rest = run.at_rest;
    }
    let small = memory_of_waiting(stack, options, SMALL).await?;
    let backlog = options.backlog;
    say(&format!("a backlog of {backlog}"));
    stack.empty().await?;
    let large = memory_of_waiting(stack, options, backlog).await?;
    let run = drain(stack, options, 0, WINDOW.min(backlog)).await?;
    let times = |spread: f64| format!("{:.2} x the small backlog's", spread / start.median());
    let note = format!("{}; at most 1.5 x", times(run.micros_per_job));
    report.figure(
        "cost_small_us",
        "claim and end, 10,000 queued",
        "µs/job",
        start.clone(),
        "wall time",
    );
    report.figure(
        "cost_large_us",
        "claim and end, large backlog",
        "µs/job",
        run.micros_per_job.into(),
        note,
    );

    let full = size(stack).await?;
    say("pruning what was finished");
    let clock = entity::clock::advance(stack.db().write(), LATER_MS).await;
    clock.map_err(Failure::during("the clock"))?;
    let began = std::time::Instant::now();
    let pruned = retention::pass(stack.db(), || true).await;
    let pruned = pruned.map_err(Failure::during("pruning"))? as f64;
    report.figure(
        "pruned_rows_per_s",
        "pruning",
        "rows/s",
        (pruned / began.elapsed().as_secs_f64()).into(),
        "",
    );
    let mut after = Spread::default();
    for _ in 0..options.common.rounds {
        after.add(drain(stack, options, SMALL, SMALL).await?.micros_per_job);
    }
    let note = format!("{}; at most 1.5 x", times(after.median()));
    report.figure(
        "cost_pruned_us",
        "claim and end after finishing and pruning them",
        "µs/job",
        after,
        note,
    );
    let left = size(stack).await?;
    let dead = stack
        .number("SELECT n_dead_tup::float8 FROM pg_stat_user_tables WHERE relname = 'jobs'")
        .await?;
    report.figure("table_full_mib", "table and indexes, all finished", "MiB", full.into(), "");
    let note = format!("{dead:.0} dead rows; the space is used again");
    report.figure("table_pruned_mib", "table and indexes, pruned", "MiB", left.into(), note);
    report.figure("worker_rest_mib", "worker at rest", "MiB", rest.into(), "resident");
    report.figure("worker_load_mib", "worker under load, at most", "MiB", run.at_most.into(), "");
    let per_job =
        (large - small).max(0.0) * 1_048_576.0 / (backlog.saturating_sub(SMALL)).max(1) as f64;
    report.figure(
        "memory_per_queued_job_bytes",
        "worker and scheduler, per queued job",
        "B",
        per_job.into(),
        "aim 0",
    );
    Ok(())
}

struct Run {
    micros_per_job: f64,
    at_rest: f64,
    at_most: f64,
}

/// Stores `more` rows, lets a worker finish everything, and tells what each of the jobs between
/// the first [`LEAD`] and number `upto` took.
async fn drain(stack: &Stack, options: &Options, more: u64, upto: u64) -> Result<Run, Failure> {
    flow::submit(&stack.jobs, more).await?;
    let before = flow::succeeded(stack.db()).await?;
    let scheduler = stack.role("scheduler", &[])?;
    let worker = stack.worker(Queue::Upkeep, options.slots, &[]).await?;
    let at_rest = resident(&worker)?.0;
    flow::drained(stack.db()).await?;
    let at_most = resident(&worker)?.1;
    stop(worker).await?;
    stop(scheduler).await?;
    let at = |nth: u64| {
        format!(
            "(SELECT finished_at FROM jobs WHERE finished_at IS NOT NULL \
             ORDER BY finished_at OFFSET {} LIMIT 1)",
            before + nth
        )
    };
    let sql = format!("SELECT extract(epoch FROM {} - {})::float8", at(upto - 1), at(LEAD));
    let micros_per_job = stack.number(&sql).await? * 1e6 / (upto - LEAD) as f64;
    Ok(Run { micros_per_job, at_rest, at_most })
}

/// Resident memory of a worker and a scheduler, in MiB, when so many jobs wait and none runs.
async fn memory_of_waiting(stack: &Stack, options: &Options, rows: u64) -> Result<f64, Failure> {
    stack.pause(true).await?;
    flow::submit(&stack.jobs, rows.saturating_sub(flow::open(stack.db()).await?)).await?;
    let scheduler = stack.role("scheduler", &[])?;
    let worker = stack.worker(Queue::Upkeep, options.slots, &[]).await?;
    // Three sweeps.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let memory = resident(&worker)?.0 + resident(&scheduler)?.0;
    stop(worker).await?;
    stop(scheduler).await?;
    stack.pause(false).await?;
    Ok(memory)
}

fn resident(role: &Role) -> Result<(f64, f64), Failure> {
    let pid = role.pid().ok_or_else(|| Failure::new(format!("{} is gone", role.name())))?;
    host::memory(pid)
}

async fn size(stack: &Stack) -> Result<f64, Failure> {
    Ok(stack.number("SELECT pg_total_relation_size('jobs')::float8").await? / 1_048_576.0)
}
