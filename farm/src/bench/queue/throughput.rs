//! Durable jobs per second, end to end: from the first enqueue to the last end, with producer and
//! worker at work at the same time, beside the peers on the same Redis.

use std::sync::Arc;
use std::time::Instant;

use entity::Db;
use entity::enums::Queue;
use jobs::Jobs;
use jobs::memory::MemoryTickets;
use jobs::process::Failure;
use scheduler::{Upkeep, UpkeepConfig};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use worker::{Deps, Engine};

use super::flow;
use super::{Options, Part};
use crate::bench::figure::{Report, Spread};
use crate::bench::peers::Peers;
use crate::bench::say;
use crate::bench::stack::{Stack, embedded, limit, shares_text, stop};
use crate::config::Settings;
use crate::machine::{self, FRESH_FOR};

pub(super) async fn measure(
    stack: &mut Stack,
    settings: &Settings,
    options: &Options,
    report: &mut Report,
) -> Result<(), Failure> {
    // The latencies are taken at shares of this throughput.
    let cluster = options.wants(Part::Throughput) || options.wants(Part::Latency);
    let wanted = options.common.peers && options.wants(Part::Throughput);
    let peers = if wanted { Some(Peers::install().await?) } else { None };
    let [mut durable, mut bulk, mut local, mut bullmq, mut celery] =
        std::array::from_fn(|_| Spread::default());
    let mut shares = vec![];
    for round in 0..=options.common.rounds {
        // The first round warms up, with a tenth of the jobs.
        let count = if round == 0 { options.jobs / 10 } else { options.jobs };
        let add = |spread: &mut Spread, figure| {
            if round > 0 {
                spread.add(figure);
            }
        };
        say(&format!("throughput, round {round} of {}", options.common.rounds));
        if cluster {
            add(&mut durable, postgres(stack, options, count, &mut shares).await?);
            add(&mut bulk, store(stack, count).await?);
        }
        if options.wants(Part::Embedded) {
            add(&mut local, sqlite(settings, stack, options, count).await?);
        }
        if let Some(peers) = &peers {
            let redis = stack.redis_url.as_str();
            add(&mut bullmq, peers.bullmq(redis, count, options.slots).await?);
            add(&mut celery, peers.celery(redis, count.div_ceil(5)).await?);
        }
    }
    let versus = |peer: &Spread, name: &str| {
        format!("farm / {name} {:.2}", durable.median() / peer.median())
    };
    let (to_bullmq, to_celery) = (versus(&bullmq, "BullMQ"), versus(&celery, "Celery"));
    if options.wants(Part::Embedded) {
        let what = "durable jobs, SQLite + memory";
        report.figure("embedded_jobs_per_s", what, "/s", local, "one process");
    }
    if !cluster {
        return Ok(());
    }
    let what = "durable jobs, Postgres + Redis";
    report.figure("durable_jobs_per_s", what, "/s", durable, "aim 10,000, at least 5,000");
    let what = "bulk enqueue through the library";
    report.figure("bulk_rows_per_s", what, "rows/s", bulk, "at least 15,000");
    if peers.is_some() {
        report.figure("peers.bullmq_jobs_per_s", "BullMQ, no row kept", "/s", bullmq, to_bullmq);
        report.figure("peers.celery_jobs_per_s", "Celery, no row kept", "/s", celery, to_celery);
    }
    let limited = limit(&shares);
    let sentence = format!("Durable jobs are limited by {limited}: {}.", shares_text(&shares));
    report.remark("limited_by", limited.into(), sentence);
    Ok(())
}

/// Jobs per second with one worker process; the shares of the CPU are of the last round.
async fn postgres(
    stack: &mut Stack,
    options: &Options,
    count: u64,
    shares: &mut Vec<(String, f64)>,
) -> Result<f64, Failure> {
    stack.empty().await?;
    let scheduler = stack.role("scheduler", &[])?;
    let worker = stack.worker(Queue::Upkeep, options.slots, &[]).await?;
    let (before, began) = (stack.cpu(&[&worker, &scheduler]), Instant::now());
    flow::submit(&stack.jobs, count).await?;
    flow::drained(stack.db()).await?;
    let took = began.elapsed();
    *shares = stack.cpu(&[&worker, &scheduler]).since(&before);
    all_succeeded(stack.db(), count).await?;
    stop(worker).await?;
    stop(scheduler).await?;
    Ok(count as f64 / took.as_secs_f64())
}

/// Rows per second without anybody who works on them.
async fn store(stack: &mut Stack, count: u64) -> Result<f64, Failure> {
    stack.empty().await?;
    let began = Instant::now();
    flow::submit(&stack.jobs, count).await?;
    Ok(count as f64 / began.elapsed().as_secs_f64())
}

/// Jobs per second of a farm in one process: this one.
async fn sqlite(
    settings: &Settings,
    stack: &Stack,
    options: &Options,
    count: u64,
) -> Result<f64, Failure> {
    let folder = stack.folder().join("embedded");
    let settings = embedded(settings, &folder);
    let db = machine::open_database(&settings).await?;
    let jobs = Jobs::new(db, Arc::new(MemoryTickets::default()));
    let nowhere = url::Url::parse("http://127.0.0.1:9").map_err(Failure::during("a URL"))?;
    let provider = settings.worker.provider(Some(nowhere), None, watch::channel(1).1)?;
    let mut config = settings.worker.engine();
    config.concurrency = [(Queue::Upkeep, usize::from(options.slots))].into();
    let deps = Deps {
        provider,
        fresh_for: FRESH_FOR,
        analyze: false,
        models: None,
        storage: settings.common.open_storage()?,
        thumbnails: false,
        media: None,
    };
    let engine = Engine::start(jobs.clone(), deps, config).await;
    let engine = engine.map_err(Failure::during("the embedded worker did not start"))?;
    let done = CancellationToken::new();
    let upkeep = Upkeep::new(jobs.clone(), UpkeepConfig::default());
    let upkeep = tokio::spawn(upkeep.run_until(done.clone()));
    let began = Instant::now();
    flow::submit(&jobs, count).await?;
    flow::drained(jobs.db()).await?;
    let took = began.elapsed();
    all_succeeded(jobs.db(), count).await?;
    engine.shutdown().await;
    done.cancel();
    let _ = upkeep.await;
    jobs.db().clone().close().await.map_err(Failure::during("the file was not closed"))?;
    std::fs::remove_dir_all(&folder).map_err(Failure::during("the file was not removed"))?;
    Ok(count as f64 / took.as_secs_f64())
}

/// A figure of a run that lost or repeated something is none.
async fn all_succeeded(db: &Db, count: u64) -> Result<(), Failure> {
    let succeeded = flow::succeeded(db).await?;
    if succeeded == count {
        return Ok(());
    }
    Err(Failure::new(format!("of {count} jobs {succeeded} succeeded")))
}
