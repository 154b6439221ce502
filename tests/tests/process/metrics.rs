//! What a process tells Prometheus.

use std::collections::BTreeMap;
use std::time::Duration;

use jobs::Options;
use jobs::kinds::profile_fetch::ProfileFetch;
use reqwest::{Client, Response};
use tempfile::TempDir;
use tests::program::program;

use super::{ANALYSED, Beside, Farm};

async fn get(url: &str) -> Response {
    let http = Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
    http.get(url).send().await.unwrap()
}

/// The values by their names and labels.
async fn told(farm: &Farm) -> BTreeMap<String, f64> {
    let answer = get(&farm.metrics).await.error_for_status().unwrap();
    let text = answer.text().await.unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let values = lines.map(|line| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    });
    values.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_is_told_of_jobs_calls_captions_and_answers_and_of_nobody() {
    let data = TempDir::new().unwrap();
    let farm = Farm::up(&program(), data.path(), 1);
    let beside = Beside::open(data.path()).await;
    let fetch = ProfileFetch::of("demo_travel".parse().unwrap());
    beside.jobs.submit(&fetch, &Options::default()).await.unwrap();
    beside.until(ANALYSED, 12).await;
    beside.until("jobs WHERE state = 'succeeded' AND kind = 'profile_analysis'", 1).await;
    let get = async |path: &str| get(&format!("{}{path}", farm.url)).await;
    assert_eq!(get("/api/health").await.status(), 200);
    assert_eq!(get("/api/profile/demo_travel").await.status(), 401);
    assert_eq!(get("/nowhere/demo_travel").await.status(), 404);
    assert_eq!(get("/metrics").await.status(), 404, "not where everybody asks");
    // What a run did is counted when its end is written, just after the row says so; the farm is
    // looked at every 5 s, and its ledger added up meanwhile.
    let ended = r#"farm_job_duration_seconds_count{kind="profile_analysis",outcome="succeeded"}"#;
    let told = tests::eventually("the run is counted", || async {
        let told = told(&farm).await;
        let looked = told.contains_key("farm_ledger_drift_credits");
        (told.contains_key(ended) && looked).then_some(told)
    })
    .await;
    for (name, want) in [
        (ended, 1.0),
        (r#"farm_job_duration_seconds_count{kind="profile_fetch",outcome="succeeded"}"#, 1.0),
        (r#"farm_job_wait_seconds_count{queue="fetch"}"#, 1.0),
        // The fetch itself was enqueued by this test, its child by the farm.
        (r#"farm_jobs_enqueued_total{queue="ai",kind="profile_analysis"}"#, 1.0),
        (r#"farm_ai_captions_total{engine="rules"}"#, 12.0),
        ("farm_ai_batch_size_sum", 12.0),
        (r#"farm_breaker_state{dependency="provider"}"#, 0.0),
        (r#"farm_breaker_state{dependency="models"}"#, 0.0),
        (r#"farm_queue_depth{queue="fetch",state="queued"}"#, 0.0),
        (r#"farm_queue_oldest_age_seconds{queue="ai"}"#, 0.0),
        ("farm_ledger_drift_credits", 0.0),
    ] {
        assert_eq!(told.get(name), Some(&want), "{name}: {told:#?}");
    }
    let calls = told.get(r#"farm_provider_requests_total{outcome="ok"}"#);
    assert!(calls.is_some_and(|calls| *calls >= 1.0), "{told:#?}");
    for (route, status) in [("/api/health", 200), ("/api/profile/{username}", 401), ("none", 404)] {
        let name = format!(
            "http_server_request_duration_seconds_count{{http_request_method=\"GET\",\
             http_route=\"{route}\",http_response_status_code=\"{status}\"}}"
        );
        assert!(told.contains_key(&name), "{name}: {told:#?}");
    }
    let names = told.keys().cloned().collect::<String>();
    assert!(!names.contains("demo_travel"), "{names}");
    assert!(farm.stop().success());
}
