//! `farm bench queue`: durable noop jobs end to end, and what becomes of them when there are many.

mod backlog;
pub(super) mod flow;
mod latency;
mod throughput;

use clap::{Args, ValueEnum};
use jobs::process::Failure;

use super::figure::Report;
use super::stack::Stack;
use super::{Common, host, say};
use crate::config::Settings;

/// How much to measure.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(super) common: Common,
    /// Jobs per round of throughput.
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1_000..=10_000_000))]
    jobs: u64,
    /// Jobs at once in the worker.
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    slots: u16,
    /// Rows of the large backlog, and jobs to finish before pruning; 0 leaves both out.
    #[arg(long, default_value_t = 1_000_000)]
    backlog: u64,
    /// Only these parts, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
}

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Postgres and Redis, one worker process, and the peers.
    Throughput,
    /// SQLite and memory, one process.
    Embedded,
    /// From enqueue to start.
    Latency,
    /// Many rows waiting, many rows finished.
    Backlog,
}

impl Options {
    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

pub(super) async fn run(settings: &Settings, options: &Options) -> Result<Report, Failure> {
    let mut stack = Stack::start(settings).await?;
    let mut on = host::describe();
    on.extend(stack.versions().await?);
    on.push(("slots".to_owned(), options.slots.to_string()));
    let mut report = Report::new("farm bench queue", on);
    throughput::measure(&mut stack, settings, options, &mut report).await?;
    if options.wants(Part::Latency) {
        latency::measure(&mut stack, options, &mut report).await?;
    }
    if options.wants(Part::Backlog) && options.backlog > 0 {
        backlog::measure(&mut stack, options, &mut report).await?;
    }
    say("done");
    stack.finish().await?;
    Ok(report)
}
