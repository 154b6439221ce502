//! `farm bench` as somebody runs it, briefly: that it measures what it says, not how fast this
//! machine is.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::process::Command;

use serde_json::Value;
use tests::program::program;

/// What it prints with `--json`.
fn bench(args: &[&str]) -> Value {
    let mut command = Command::new(program());
    command.arg("bench").args(args).args(["--rounds", "1", "--json"]);
    for name in ["DATABASE_URL", "REDIS_URL", "FARM_HTTP_ADDR", "RUST_LOG"] {
        command.env_remove(name);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {}\n{said}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Each is there, with a number that can be one.
fn assert_figures(report: &Value, pointers: &[&str]) {
    for pointer in pointers {
        let figure = report.pointer(pointer).and_then(Value::as_f64);
        let sound = figure.is_some_and(|figure| figure.is_finite() && figure > 0.0);
        assert!(sound, "{pointer} is {figure:?} in {report:#}");
    }
    assert!(report["limited_by"].is_string() && report["on"]["cores"].is_string(), "{report:#}");
}

#[test]
fn the_api_is_measured() {
    // A thousand connections are too many for a debug build on a busy machine.
    let report = bench(&["api", "--seconds", "1", "--connections", "40"]);
    assert_figures(
        &report,
        &[
            "/get_job_p50_ms",
            "/get_job_p99_ms",
            "/health_p99_ms",
            "/cached_profile_per_s",
            "/peers/poem_hello_per_s",
            "/connections_40/p50_ms",
            "/connections_40/p99_ms",
            "/connections_40/per_s",
            "/connections_40/closed_p99_ms",
            "/enqueue_per_s",
            "/enqueue_p50_ms",
            "/enqueue_p99_ms",
            "/bulk_rows_per_s",
            "/api_rest_mib",
            "/api_load_mib",
            "/api_40_connections_mib",
            "/cpu/cached_profile/api",
            "/spreads/cached_profile_per_s/max",
        ],
    );
    // Of a debug build it may be rounded to nothing.
    assert!(report["ratio_to_poem_hello"].is_number(), "{report:#}");
}

#[test]
fn jobs_are_measured() {
    let report = bench(&["queue", "--jobs", "1000", "--backlog", "0"]);
    assert_figures(
        &report,
        &[
            "/durable_jobs_per_s",
            "/embedded_jobs_per_s",
            "/bulk_rows_per_s",
            "/idle_p50_ms",
            "/idle_p99_ms",
            "/commit_p99_ms",
            "/spreads/durable_jobs_per_s/median",
        ],
    );
}
