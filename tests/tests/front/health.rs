//! How the farm is, for everybody who asks; and its figures, for users.

use std::time::{Duration, Instant};

use farm::demo::Scripted;
use models::Tier;
use serde_json::{Value, json};
use tests::oracle::Oracle;
use tests::{Client, System, eventually};

use crate::common::{Stream, fetched, job, submit};

const HEALTH: &str = "/api/health";
const METRICS: &str = "/api/metrics";

async fn health(client: &Client) -> Value {
    client.get(HEALTH).await.expect(200).json
}

/// Waits until health says so of a part.
async fn until(system: &System, part: &str, status: &str) -> Value {
    eventually(&format!("{part} is {status}"), || async {
        let health = health(&system.api()).await;
        (health["components"][part]["status"] == status).then_some(health)
    })
    .await
}

fn codes(health: &Value) -> Vec<&str> {
    let alerts = health["alerts"].as_array().unwrap();
    // Of the machine that tests run on nothing is known.
    let codes = alerts.iter().filter(|alert| alert["component"] != "system");
    codes.map(|alert| alert["code"].as_str().unwrap()).collect()
}

fn often(engine: &mut worker::EngineConfig) {
    engine.renew_every = Duration::from_millis(50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_farm_at_work_is_healthy_and_a_stranger_sees_with_which_models() {
    let models = Oracle::of(Tier::Lite).engine();
    let system = System::builder().models(models).engine(often).start().await;
    let dana = system.as_user("dana").await;
    fetched(&system, &dana, "demo_travel").await;
    let health = until(&system, "models", "healthy").await;
    assert_eq!((&health["status"], &health["score"]), (&json!("healthy"), &json!(100.0)));
    let models = &health["components"]["models"];
    assert_eq!(
        (&models["serving"], &models["wanted"], &models["workers"]),
        (&json!("lite"), &json!("lite"), &json!(1))
    );
    for part in ["database", "redis", "queues", "workers", "fallback", "provider", "storage"] {
        assert_eq!(health["components"][part], json!({ "status": "healthy", "message": null }));
    }
    assert_eq!(codes(&health), Vec::<&str>::new());
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    assert!(health["performance"]["requests"].as_i64().unwrap() > 0, "{health:#}");
    let root = system.api().get("/health").await.expect(200).json;
    assert_eq!((&root["status"], &root["components"]), (&health["status"], &health["components"]));
    // Nothing of whoever works, or of whom for.
    let text = health.to_string();
    for secret in ["dana", "demo_travel", "host", "oracle"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_work_costs_points_and_calls_for_somebody() {
    let mut system = System::builder().engine(often).start().await;
    let (dana, admin) = (system.as_user("dana").await, system.as_user("admin").await);
    // Nobody analyses captions here, and nobody misses it.
    let before = until(&system, "provider", "healthy").await;
    assert_eq!((&before["score"], codes(&before)), (&json!(100.0), vec![]));
    assert_eq!(before["components"]["models"]["status"], "off");
    // A queue that an operator stopped.
    admin.post("/api/v1/queues/fetch/pause").await.expect(200);
    let paused = until(&system, "queues", "degraded").await;
    assert_eq!(paused["components"]["queues"]["message"], "fetch is paused");
    assert_eq!((&paused["score"], codes(&paused)), (&json!(96.0), vec![]));
    admin.post("/api/v1/queues/fetch/resume").await.expect(200);
    until(&system, "queues", "healthy").await;
    // The provider cuts everybody off.
    for name in ["one", "two", "three", "four", "five"] {
        system.demo.script(name, vec![Scripted::Drop; 20]);
        submit(&dana, name).await;
    }
    let open = until(&system, "provider", "unhealthy").await;
    assert_eq!((&open["score"], codes(&open)), (&json!(92.0), vec!["unhealthy.provider"]));
    let raised = |health: &Value| {
        let alerts = health["alerts"].as_array().unwrap();
        alerts.iter().find(|alert| alert["code"] == "unhealthy.provider").unwrap().clone()
    };
    let alert = raised(&open);
    assert_eq!((&alert["severity"], &alert["component"]), (&json!("critical"), &json!("provider")));
    assert!(alert["message"].as_str().unwrap().contains("it is tried again in"), "{alert}");
    // It is the same alert as long as it stays.
    assert_eq!(raised(&health(&dana).await)["since"], alert["since"]);
    // And the last worker goes: of the provider nobody knows any more.
    system.stop_worker().await;
    let alone = until(&system, "workers", "unhealthy").await;
    assert_eq!((&alone["status"], &alone["score"]), (&json!("degraded"), &json!(84.0)));
    assert_eq!(codes(&alone), ["unhealthy.workers"]);
    let jobs = dana.get("/api/v1/jobs").await.expect(200).json;
    for open in jobs["items"].as_array().unwrap().iter().filter(|job| job["done"] == false) {
        dana.post(&format!("/api/v1/jobs/{}/cancel", open["id"].as_str().unwrap()))
            .await
            .expect(200);
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_tell_of_requests_memory_connections_and_the_machine() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    fetched(&system, &dana, "demo_travel").await;
    for _ in 0..3 {
        dana.get("/api/profile/demo_travel").await.expect(200);
    }
    dana.get("/api/profile/nobody_there").await.expect(404);
    let figures = dana.get(METRICS).await.expect(200).json;
    let requests = &figures["requests"];
    assert!(requests["requests"].as_i64().unwrap() >= 5, "{requests:#}");
    assert_eq!(requests["error_rate"], 0.0, "what callers do wrong is none of ours");
    for time in ["mean_ms", "p50_ms", "p95_ms", "p99_ms"] {
        assert!(requests[time].as_f64().unwrap() > 0.0, "{time}: {requests:#}");
    }
    let cache = &figures["cache"];
    let (hits, misses) = (cache["hits"].as_i64().unwrap(), cache["misses"].as_i64().unwrap());
    // Which of them came from memory depends on how fast this machine is; one had to be read.
    assert!(hits + misses >= 3 && misses >= 1, "{cache:#}");
    let rate = hits as f64 / (hits + misses) as f64;
    assert!((cache["hit_rate"].as_f64().unwrap() - rate).abs() < 1e-3, "{cache:#}");
    let database = &figures["database"];
    let open = database["connections"].as_i64().unwrap();
    assert!((1..=database["max"].as_i64().unwrap()).contains(&open), "{database:#}");
    assert!(database["idle"].as_i64().unwrap() <= open, "{database:#}");
    for part in ["cpu_percent", "memory_percent", "disk_percent"] {
        assert!((0.0..=100.0).contains(&figures["system"][part].as_f64().unwrap()), "{figures:#}");
    }
    assert_eq!(figures["health_score"], 100.0);
    // The same as they change.
    let mut stream = Stream::open(&dana, "/api/streaming/metrics").await;
    let event = stream.next().await.unwrap();
    assert_eq!(event.word, "metrics");
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&event.data), names(&figures));
    system.api().get("/api/streaming/metrics").await.expect_problem(401, "not_authenticated");
    system.end().await;
}

/// A page that waits for a job for 25 s as it asked to is no slow answer.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_caller_asked_to_wait_is_no_slowness_of_ours() {
    let system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let id = submit(&dana, "demo_travel").await;
    let began = Instant::now();
    let waiting = dana.with("prefer", "wait=6").get(&job(id, "")).await.expect(200).json;
    assert_eq!(waiting["state"], "queued");
    assert!(began.elapsed() >= Duration::from_secs(6));
    let health = health(&system.api()).await;
    assert!(!codes(&health).contains(&"slow_response"), "{health:#}");
    dana.post(&job(id, "/cancel")).await.expect(200);
    system.end().await;
}
