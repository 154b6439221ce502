//! End-to-end tests: [`System`] is a whole farm in one process, with a clock that tests move, the
//! demo provider, and an API that is called without a network.
//!
//! It runs on SQLite with tickets in memory, or, with `TEST_STACK=cluster`, on Postgres and Redis:
//! the same stories, with a front door, workers and a scheduler that meet only there.
//!
//! A story starts a system, acts through the API or the job contract, waits for conditions (never
//! for time), and calls [`System::end`], which refuses unfinished jobs and contradictions.

// A harness may fail loudly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::missing_panics_doc)]
#![allow(clippy::return_self_not_must_use)]

pub mod bucket;
pub mod buyers;
mod client;
pub mod cluster;
pub mod gotrue;
pub mod oracle;
pub mod pictures;
pub mod pooler;
pub mod program;
mod recorded;
pub mod servers;
pub mod small_models;
mod system;

pub use client::{Answer, Client};
pub use gotrue::{Gotrue, Signer};
pub use oracle::Oracle;
pub use recorded::recorded_dir;
pub use system::{Builder, PASSWORD, System};

use std::time::Duration;

/// Whether stories run on Postgres and Redis (`TEST_STACK=cluster`) or on one machine's defaults.
#[allow(clippy::disallowed_methods)] // a switch of the test run, not a setting of the farm
pub fn on_cluster() -> bool {
    match std::env::var("TEST_STACK").as_deref() {
        Err(_) | Ok("machine") => false,
        Ok("cluster") => true,
        Ok(other) => panic!("TEST_STACK must be machine or cluster, not {other}"),
    }
}

/// Whether storms take their long form: `TEST_STORM=long`.
#[allow(clippy::disallowed_methods)] // a switch of the test run, not a setting of the farm
pub fn long_storms() -> bool {
    std::env::var("TEST_STORM").is_ok_and(|form| form == "long")
}

/// How long storms over money go on, at least: `TEST_STORM_SECONDS`. Otherwise a minute in the long
/// form, and no longer than a few kills take in the short one.
#[allow(clippy::disallowed_methods)] // a switch of the test run, not a setting of the farm
pub fn storm_lasts() -> Duration {
    let asked = std::env::var("TEST_STORM_SECONDS").ok();
    let asked = asked.map(|text| text.parse().expect("TEST_STORM_SECONDS: a number"));
    Duration::from_secs(asked.unwrap_or(if long_storms() { 60 } else { 0 }))
}

/// How long a condition may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `condition` answers `Some`, looking again every few milliseconds.
pub async fn eventually<T, F>(what: &str, mut condition: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(tokio::time::Instant::now() < deadline, "gave up waiting until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
