//! `farm bench api`: how fast the front door answers, how many it lets in at once, and what it
//! costs, beside a bare server of the same framework and FastAPI.
//!
//! How long one waits is measured with an open loop, how much can be answered with a closed one;
//! [`load`] says why. Start reading at [`round`], which is what happens again and again.

mod connection;
pub(super) mod hello;
mod load;
mod rivals;
mod round;
mod site;

use std::time::Duration;

use clap::Args;
use jobs::process::Failure;
use serde_json::{Map, Value};

use self::rivals::Rivals;
use self::round::{Notes, Round};
use self::site::Site;
use super::figure::Report;
use super::stack::{Stack, limit, shares_text, stop};
use super::{Common, host, say};
use crate::config::Settings;

/// How much to measure.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(super) common: Common,
    /// Seconds per figure and round.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=600))]
    seconds: u16,
    /// Connections of very many users.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u16).range(1..=20_000))]
    connections: u16,
}

/// Key in the JSON, words and unit in the table, what is promised. `{n}` is how many very many
/// users are.
type Line = (&'static str, &'static str, &'static str, &'static str);

const LINES: [Line; 23] = [
    ("get_job_p50_ms", "a job at 500/s, p50", "ms", "open loop, 32 connections"),
    ("get_job_p99_ms", "a job at 500/s, p99", "ms", "at most 5"),
    ("health_p99_ms", "health at 500/s, p99", "ms", "under 50"),
    ("cached_profile_per_s", "stored profile, 12 posts", "/s", "closed loop, 32 connections"),
    ("peers.poem_hello_per_s", "poem, saying hello", "/s", "no token, no database"),
    ("peers.poem_bytes_per_s", "poem, saying the profile's bytes", "/s", "from memory, to anybody"),
    ("peers.fastapi_hello_per_s", "FastAPI, saying hello", "/s", "one process"),
    ("peers.fastapi_per_s", "FastAPI, same profile", "/s", "token checked, from a dict"),
    ("ratio_to_poem_hello", "profile / poem's hello", "", "at least 0.60"),
    ("ratio_to_poem_bytes", "profile / poem's same bytes", "", "what looking it up costs"),
    ("bytes_to_hello", "poem's same bytes / hello", "", "what the bytes alone cost"),
    ("ratio_to_fastapi", "profile / FastAPI's", "", "at least 8"),
    ("connections_{n}.p50_ms", "{n} connections at 500/s, p50", "ms", "jobs and profiles"),
    ("connections_{n}.p99_ms", "{n} connections at 500/s, p99", "ms", "under 100"),
    ("connections_{n}.per_s", "{n} connections without pause", "/s", "closed loop, at least 500"),
    ("connections_{n}.closed_p99_ms", "{n} connections without pause, p99", "ms", ""),
    ("enqueue_per_s", "jobs enqueued one by one", "/s", "closed loop, 16 connections"),
    ("enqueue_p50_ms", "to enqueue one job, p50", "ms", ""),
    ("enqueue_p99_ms", "to enqueue one job, p99", "ms", ""),
    ("bulk_rows_per_s", "1,000 names in one request", "rows/s", "until their jobs are stored"),
    ("api_rest_mib", "API at rest", "MiB", "resident"),
    ("api_load_mib", "API under load, at most", "MiB", ""),
    ("api_{n}_connections_mib", "API with {n} connections, at most", "MiB", ""),
];

pub(super) async fn run(settings: &Settings, options: &Options) -> Result<Report, Failure> {
    let mut stack = Stack::start(settings).await?;
    let mut on = host::describe();
    on.extend(stack.versions().await?);
    say("starting the API");
    let site = Site::open(&stack).await?;
    let rivals = Rivals::open(&stack, &site, options.common.peers).await?;
    on.push(("profile".to_owned(), format!("{} bytes", site.profile.len())));
    on.push(("health at".to_owned(), site.health.to_owned()));
    let mut notes = Notes::default();
    for (users, many) in [("few users", false), ("very many users", true)] {
        for number in 0..=options.common.rounds {
            say(&format!("{users}, round {number} of {}", options.common.rounds));
            // The first round warms up.
            let seconds = if number == 0 { options.seconds.div_ceil(5) } else { options.seconds };
            let time = Duration::from_secs(seconds.into());
            notes.counts = number > 0;
            let (stack, site, rivals, notes) = (&mut stack, &site, &rivals, &mut notes);
            let connections = options.connections.into();
            let round = Round { stack, site, rivals, time, connections, notes };
            if many { round.many().await? } else { round.few().await? }
        }
    }
    notes.add("api_rest_mib", site.rest);
    drop(rivals);
    stop(site.api).await?;
    say("done");
    stack.finish().await?;
    Ok(report(on, notes, options.connections))
}

fn report(on: Vec<(String, String)>, mut notes: Notes, connections: u16) -> Report {
    let filled = |words: &str| words.replace("{n}", &connections.to_string());
    let mut report = Report::new("farm bench api", on);
    for (key, what, unit, note) in LINES {
        // Peers are not always measured.
        if let Some(spread) = notes.figures.remove(key) {
            report.figure(&filled(key), &filled(what), unit, spread, note);
        }
    }
    let (mut cpu, mut sentences) = (Map::new(), vec![]);
    for (load, shares) in &notes.shares {
        let parts = shares.iter().map(|(part, share)| (part.clone(), rounded(*share)));
        cpu.insert(filled(load), Value::Object(parts.collect()));
        sentences.push(format!("- {}: {}", filled(load), shares_text(shares)));
    }
    report.remark("cpu", cpu.into(), format!("Use of the CPU:\n\n{}", sentences.join("\n")));
    if let Some((load, shares)) = notes.shares.iter().find(|(load, _)| *load == "cached_profile") {
        let limited = limit(shares);
        let sentence = format!("{load} is limited by {limited}.");
        report.remark("limited_by", limited.into(), sentence);
    }
    report
}

fn rounded(share: f64) -> Value {
    ((share * 1_000.0).round() / 1_000.0).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_the_figures_that_were_found_and_says_what_limits() {
        let mut notes = Notes { counts: true, ..Notes::default() };
        notes.add("connections_{n}.p99_ms", 12.0);
        notes.counts = false;
        notes.add("connections_{n}.p99_ms", 99.0);
        notes.shares.push(("cached_profile", vec![("api".to_owned(), 0.99)]));
        let json: Value = serde_json::from_str(&report(vec![], notes, 1_000).json()).unwrap();
        assert_eq!(json["connections_1000"]["p99_ms"], 12.0);
        assert_eq!(json["spreads"]["connections_1000.p99_ms"]["rounds"], 1);
        assert!(json.get("peers").is_none() && json.get("ratio_to_fastapi").is_none());
        assert_eq!(json["cpu"]["cached_profile"]["api"], 0.99);
        assert!(json["limited_by"].is_string());
    }
}
