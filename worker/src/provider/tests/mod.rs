//! Tests of the provider module; the client runs against a small HTTP server in the process.

mod answers;
mod breaker;
mod calls;
mod ladder;
mod limits;
mod mapping;
mod recorded;
mod server;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use jobs::limit::RateLimit;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::breaker::BreakerPolicy;
use super::*;

/// A client of `base` with tiny pauses and limits that no test reaches by accident.
fn config(base: &str) -> DecodoConfig {
    let mut config = DecodoConfig::new(base.parse().unwrap(), "someone", Secret::new("hush"));
    config.pauses = Pauses { initial: Duration::from_millis(2), cap: Duration::from_millis(4) };
    config.rate = Arc::new(RateLimit::local(NonZeroU32::new(10_000).unwrap()));
    config.retry_floor = 1_000;
    config.breaker = BreakerPolicy { consecutive: 1_000, min_calls: 1_000, ..Default::default() };
    config
}

fn budget(calls: u32) -> CallBudget {
    CallBudget { calls, deadline: Duration::from_secs(45), empties_before: 0 }
}

async fn fetch(client: &Decodo, budget: CallBudget) -> FetchReport {
    client.fetch_profile("tiny_shop", budget, &CancellationToken::new()).await
}

fn user() -> Value {
    json!({"id": "77", "username": "tiny_shop", "edge_followed_by": {"count": 5}})
}

/// `user` inside the vendor's envelope.
fn envelope(user: Value) -> Value {
    json!({"results": [{"content": {"data": {"user": user}, "status": "ok"},
                        "status_code": 200, "task_id": "t1"}]})
}

fn outcomes(report: &FetchReport) -> Vec<CallOutcome> {
    report.calls.iter().map(|call| call.outcome).collect()
}
