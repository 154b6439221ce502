//! What every answer carries, good or bad.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::{AppState, Issuer, Limits};
use jobs::Jobs;
use jobs::redis::{Redis, RedisTickets};
use poem::Request;
use poem::http::{Method, StatusCode};
use poem::test::TestClient;
use serde_json::{Value, json};
use tests::{Answer, Client, System};

use crate::common::{check_refusal, profile, refresh};

const ORIGIN: &str = "http://localhost:3000";

#[tokio::test(flavor = "multi_thread")]
async fn a_sane_request_id_comes_back_and_another_is_replaced() {
    let system = System::builder().workers(0).start().await;
    let api = system.api();
    for id in ["abc", "018f2b7e-1111-7222-8333-444455556666", "a.b_c:d-e", &"x".repeat(64)] {
        let answer = api.with("x-request-id", id).get("/livez").await.expect(200);
        assert_eq!(answer.header("x-request-id"), Some(id));
        let refused = api.with("x-request-id", id).get("/nothing").await;
        assert_eq!(refused.json["request_id"], *id);
    }
    for id in ["", "two words", "<script>", "a\tb", &"x".repeat(65)] {
        let answer = api.with("x-request-id", id).get("/nothing").await;
        check_refusal(&answer);
        let ours = answer.header("x-request-id").unwrap();
        assert!(ours.parse::<uuid::Uuid>().is_ok(), "{id:?} became {ours}");
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jobs_row_keeps_the_id_of_the_request_that_started_it() {
    let system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await.with("x-request-id", "from-the-browser");
    let id = crate::common::submit(&dana, "demo_travel").await;
    assert_eq!(system.job(id).await.request_id.as_deref(), Some("from-the-browser"));
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_says_how_long_it_took() {
    let system = System::builder().workers(0).start().await;
    for path in ["/livez", "/nothing", "/docs", "/api/v1/jobs"] {
        let answer = system.api().get(path).await;
        let took = answer.header("x-process-time").unwrap();
        let number = took.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        assert!(number.parse::<f64>().unwrap() >= 0.0, "{path}: {took}");
    }
    system.end().await;
}

#[track_caller]
fn readable_by(answer: &Answer, origin: Option<&str>) {
    assert_eq!(answer.header("access-control-allow-origin"), origin);
    assert!(answer.headers.get_all("vary").iter().any(|v| v == "Origin"), "{answer:?}");
    assert_eq!(answer.header("access-control-allow-credentials"), None, "no credentials");
    let exposed = answer.header("access-control-expose-headers").unwrap_or_default().to_lowercase();
    let exposes = |name: &str| exposed.split(',').any(|header| header.trim() == name);
    for name in [
        "x-request-id",
        "x-process-time",
        "x-data-source",
        "location",
        "etag",
        "retry-after",
        "x-usage-type",
        "x-current-usage",
        "x-limit",
        "x-available",
        "x-subscription-tier",
        "x-feature-locked",
        "x-credits-required",
        "x-credits-available",
        "x-credits-needed",
        "ratelimit-limit",
        "ratelimit-remaining",
        "ratelimit-reset",
    ] {
        assert_eq!(exposes(name), origin.is_some(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_pages_may_read_every_header_even_of_errors_and_foreign_pages_nothing() {
    let system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    for (path, status) in [("/livez", 200), ("/nothing", 404), ("/api/v1/jobs?limit=0", 400)] {
        let ours = dana.with("origin", ORIGIN).get(path).await.expect(status);
        readable_by(&ours, Some(ORIGIN));
        for foreign in ["https://evil.example", "http://localhost:3000.evil.example", "null"] {
            readable_by(&dana.with("origin", foreign).get(path).await.expect(status), None);
        }
    }
    let refused = system.api().with("origin", ORIGIN).get("/api/v1/jobs").await.expect(401);
    readable_by(&refused, Some(ORIGIN));
    system.end().await;
}

fn preflight(client: &Client, origin: &str) -> impl Future<Output = Answer> {
    let client = client
        .with("origin", origin)
        .with("access-control-request-method", "POST")
        .with("access-control-request-headers", "authorization,content-type,idempotency-key");
    async move { client.send(Method::OPTIONS, &profile("demo_travel"), None).await }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_needs_nobody_signed_in() {
    let system = System::builder().workers(0).start().await;
    let ours = preflight(&system.api(), ORIGIN).await;
    assert!(ours.status.is_success(), "{ours:?}");
    assert_eq!(ours.header("access-control-allow-origin"), Some(ORIGIN));
    let allowed = ours.header("access-control-allow-headers").unwrap().to_lowercase();
    for name in ["authorization", "content-type", "idempotency-key", "if-none-match", "prefer"] {
        assert!(allowed.contains(name), "{name}: {allowed}");
    }
    let methods = ours.header("access-control-allow-methods").unwrap();
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        assert!(methods.contains(method), "{methods}");
    }
    let foreign = preflight(&system.api(), "https://evil.example").await;
    assert_eq!(foreign.header("access-control-allow-origin"), None);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_may_announce_json_and_end_in_a_bare_question_mark() {
    let system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    for path in ["/livez?", "/api/v1/jobs?", "/api/v1/jobs?&"] {
        for kind in ["application/json", "text/plain"] {
            let request = Request::builder().uri(path.parse().unwrap()).content_type(kind).finish();
            let answer = dana.call(request).await;
            assert_eq!(answer.status.as_u16(), 200, "{path}: {}", answer.text);
        }
    }
    let bare = dana.get(&format!("{}?", profile("demo_travel"))).await;
    bare.expect_problem(404, "profile_not_fetched");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_answer_everybody() {
    let system = System::builder().workers(0).start().await;
    for path in ["/livez", "/readyz"] {
        let answer = system.api().get(path).await.expect(200);
        assert_eq!(answer.json["status"], "ok");
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_farm_whose_database_refuses_is_alive_and_not_ready_and_tells_no_secrets() {
    let system = System::builder().workers(0).without_upkeep().start().await;
    let dana = system.as_user("dana").await;
    let run = |statement| entity::sql::execute(system.db().write(), statement, vec![]);
    run("DELETE FROM farm_clock").await.unwrap();
    system.api().get("/livez").await.expect(200);
    let ready = system.api().get("/readyz").await.expect(503);
    assert_eq!(ready.json["status"], "unavailable");
    let health = system.api().get("/api/health").await.expect(200);
    let told = &health.json["components"];
    let database = json!({ "status": "unhealthy", "message": "it refuses" });
    assert_eq!((&health.json["status"], &told["database"]), (&json!("unhealthy"), &database));
    // Of what the tables would say nothing is known; the tickets are as they were.
    assert_eq!(
        (&health.json["score"], &told["redis"]["status"]),
        (&json!(32.0), &json!("healthy"))
    );
    let text = health.text.to_lowercase();
    assert!(!text.contains("sql") && !text.contains("clock"), "{text}");
    let broken = dana.post(&refresh("demo_travel")).await.expect_problem(500, "internal");
    let text = broken.text.to_lowercase();
    assert!(!text.contains("sql") && !text.contains("constraint"), "{text}");
    run("INSERT INTO farm_clock (offset_ms) VALUES (0)").await.unwrap();
    system.api().get("/readyz").await.expect(200);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_farm_whose_tickets_do_not_get_through_is_not_ready_and_says_so() {
    let system = System::builder().workers(0).without_upkeep().start().await;
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let redis = Redis::new(&format!("redis://:hush@127.0.0.1:{port}"), "farm").unwrap();
    let jobs = Jobs::new(system.db().clone(), Arc::new(RedisTickets::new(redis)));
    let issuer = Issuer::new(b"a secret for tests, thirty-two bytes");
    let (cors, fresh_for) = (api::Cors::default(), farm::machine::FRESH_FOR);
    let state = AppState::new(jobs, issuer, cors, fresh_for, system.files(), Limits::off());
    let front = TestClient::new(api::app(state));
    front.get("/livez").send().await.assert_status_is_ok();
    let asked = Instant::now();
    let answer = front.get("/readyz").send().await;
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    answer.assert_status(StatusCode::SERVICE_UNAVAILABLE);
    let text = answer.0.into_body().into_string().await.unwrap();
    let probe: Value = serde_json::from_str(&text).unwrap();
    let reason = probe["reason"].as_str().unwrap();
    assert!(reason.contains("Redis") && !reason.contains("database"), "{reason}");
    assert!(!text.contains("hush") && !text.contains("127.0.0.1"), "{text}");
    let answer = front.get("/api/health").send().await;
    answer.assert_status_is_ok();
    let text = answer.0.into_body().into_string().await.unwrap();
    let health: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(health["components"]["redis"]["status"], "unhealthy");
    assert_eq!(health["components"]["database"]["status"], "healthy");
    assert!(!text.contains("hush") && !text.contains("127.0.0.1"), "{text}");

    let clock = "DELETE FROM farm_clock";
    entity::sql::execute(system.db().write(), clock, vec![]).await.unwrap();
    let answer = front.get("/readyz").send().await;
    let text = answer.0.into_body().into_string().await.unwrap();
    assert!(text.contains("the database refuses; Redis"), "{text}");
    let clock = "INSERT INTO farm_clock (offset_ms) VALUES (0)";
    entity::sql::execute(system.db().write(), clock, vec![]).await.unwrap();
    system.end().await;
}
