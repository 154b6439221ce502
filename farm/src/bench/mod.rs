//! `farm bench`: how fast the farm is, beside the peers of its field, with what it was measured
//! on. Every figure is a median of rounds that alternate between the farm and its peers, so that
//! a noisy machine is noisy for all of them.

pub(crate) mod ai;
mod api;
mod credits;
mod export;
mod figure;
mod host;
mod media;
mod peers;
mod queue;
mod stack;

use clap::{Args, Subcommand};
use jobs::process::Failure;

use crate::commands::out;
use crate::config::Settings;

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Jobs: durable throughput, latency from enqueue to start, backlogs, memory.
    Queue(queue::Options),
    /// The API: latency, requests per second, a thousand connections, enqueueing, memory.
    Api(api::Options),
    /// Caption analysis: captions per second of each model and tier, memory.
    Ai(ai::Options),
    /// Pictures: what one costs, how true its thumbnails are, whole jobs a second.
    Media(media::Options),
    /// Exports: rows a second into each format, memory.
    Export(export::Options),
    /// Credits: purchases a second from one wallet and from many, and what one adds to a call.
    Credits(credits::Options),
    /// One side of it, in a process of its own.
    #[command(hide = true)]
    AiSide(ai::side::Options),
    /// Say hello over HTTP: what the API is measured beside.
    #[command(hide = true)]
    Hello(api::hello::Options),
}

/// What every benchmark understands.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Measure the peers beside; they are installed below the user's cache folder.
    #[arg(long)]
    peers: bool,
    /// Rounds per figure.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=20))]
    rounds: u8,
}

/// Measures and prints.
pub(crate) async fn run(settings: &Settings, bench: &Bench) -> Result<(), Failure> {
    let (report, json) = match bench {
        Bench::Queue(options) => (queue::run(settings, options).await?, options.common.json),
        Bench::Api(options) => (api::run(settings, options).await?, options.common.json),
        Bench::Ai(options) => (ai::run(options).await?, options.common.json),
        Bench::Media(options) => (media::run(settings, options).await?, options.common.json),
        Bench::Export(options) => (export::run(settings, options).await?, options.common.json),
        Bench::Credits(options) => (credits::run(settings, options).await?, options.common.json),
        Bench::AiSide(options) => return ai::side::run(options).await,
        Bench::Hello(options) => return api::hello::run(options).await,
    };
    out::print(&if json { report.json() } else { report.text() })
}

/// A line of progress: figures take minutes.
fn say(line: &str) {
    use std::io::Write;
    // Nothing can be done when nobody listens.
    let _ = writeln!(std::io::stderr().lock(), "bench | {line}");
}
