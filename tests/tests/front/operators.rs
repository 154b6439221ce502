//! What operators see and do: workers, queues, contradictions.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use entity::enums::Queue;
use entity::worker::{self, NewWorker};
use entity::{args, sql};
use farm::demo::Scripted;
use jobs::kinds::noop::{Noop, NoopFail};
use poem::http::Method;
use serde_json::{Value, json};
use tests::{Client, System};
use uuid::Uuid;

use crate::common::{Stream, check_refusal, job, noop, submit};

fn number(view: &Value) -> String {
    view["number"].to_string()
}

async fn queue(client: &Client, name: &str) -> Value {
    let list = client.get("/api/v1/queues").await.expect(200).json;
    let items = list["items"].as_array().unwrap();
    items.iter().find(|queue| queue["name"] == name).unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_doors_are_closed_to_others() {
    let system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    for (method, path) in [
        (Method::GET, "/api/v1/workers/overview"),
        (Method::GET, "/api/v1/workers/live-stream"),
        (Method::GET, "/api/v1/queues"),
        (Method::POST, "/api/v1/queues/fetch/pause"),
        (Method::POST, "/api/v1/queues/fetch/resume"),
        (Method::GET, "/api/v1/jobs/dead"),
        (Method::POST, "/api/v1/jobs/dead/redrive"),
        (Method::GET, "/api/v1/integrity"),
    ] {
        // What they send is not even looked at.
        let body = (method == Method::POST).then(|| "[]".to_owned());
        let answer = dana.send(method.clone(), path, body.clone()).await;
        check_refusal(&answer.expect_problem(403, "operators_only"));
        check_refusal(&system.api().send(method, path, body).await.expect(401));
    }
    assert!(entity::queue_control::paused(system.db().read()).await.unwrap().is_empty());
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_names_every_worker_and_what_it_runs() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let admin = system.as_user("admin").await;
    system.demo.script("slowpoke", vec![Scripted::Hang]);
    let id = submit(&dana, "slowpoke").await;
    system.job_when(id, "it runs", |job| job.worker.is_some()).await;
    let tx = system.db().begin().await.unwrap();
    let lost = NewWorker {
        id: Uuid::now_v7(),
        host: "gone:7",
        version: "0.0.9",
        kinds: &["noop"],
        slots: 2,
        lease_ms: -1,
    };
    worker::register(&tx, &lost).await.unwrap();
    tx.commit().await.unwrap();
    let seen = admin.get("/api/v1/workers/overview").await.expect(200).json;
    let workers = seen["workers"].as_array().unwrap();
    assert_eq!(workers.len(), 2);
    let gone = workers.iter().find(|worker| worker["host"] == "gone:7").unwrap();
    assert_eq!((&gone["alive"], &gone["version"]), (&json!(false), &json!("0.0.9")));
    assert_eq!((&gone["kinds"], &gone["jobs"]), (&json!(["noop"]), &json!([])));
    assert_eq!(gone["memory_bytes"], Value::Null, "it never said");
    let alive = workers.iter().find(|worker| worker["alive"] == true).unwrap();
    assert_eq!((&alive["slots"], &alive["draining"]), (&json!(20), &json!(false)));
    // It has no models and no decoder, so what waits for them is not its.
    let runs_here = jobs::Kind::ALL
        .iter()
        .filter(|kind| !matches!(kind.policy().queue, Queue::Ai | Queue::Media));
    assert_eq!(alive["kinds"].as_array().unwrap().len(), runs_here.count());
    assert!(alive["last_heartbeat_at"].as_str() >= alive["started_at"].as_str());
    let runs = alive["jobs"].as_array().unwrap();
    assert_eq!((runs.len(), &runs[0]["id"]), (1, &json!(id)));
    assert_eq!((&runs[0]["kind"], &runs[0]["attempt"]), (&json!("profile_fetch"), &json!(1)));
    let first = runs[0]["elapsed_ms"].as_i64().unwrap();
    system.advance(Duration::from_secs(5)).await;
    let later = admin.get("/api/v1/workers/overview").await.expect(200).json;
    let later = later["workers"].as_array().unwrap().iter().find(|w| w["alive"] == true).unwrap();
    assert!(later["jobs"][0]["elapsed_ms"].as_i64().unwrap() >= first + 5_000);
    dana.post(&job(id, "/cancel")).await.expect(200);
    system.drain().await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_without_jobs_has_no_measures() {
    let system = System::builder().workers(0).start().await;
    let admin = system.as_user("admin").await;
    let list = admin.get("/api/v1/queues").await.expect(200).json;
    let names: Vec<_> = list["items"].as_array().unwrap().iter().map(|q| &q["name"]).collect();
    assert_eq!(names, ["fetch", "ai", "media", "export", "upkeep"]);
    for queue in list["items"].as_array().unwrap() {
        assert_eq!(queue["measured"]["jobs"], 0);
        for figure in ["wait_p50_ms", "wait_p95_ms", "wait_p99_ms", "throughput_per_minute"] {
            assert_eq!(queue["measured"][figure], Value::Null, "{figure}");
        }
        assert_eq!((&queue["oldest_due_ms"], &queue["paused"]), (&Value::Null, &Value::Null));
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_measured_by_what_it_did() {
    let mut system = System::builder().workers(0).start().await;
    let admin = system.as_user("admin").await;
    for _ in 0..4 {
        noop(&system, "dana", &Noop::default()).await;
    }
    noop(&system, "dana", &Noop { fail: Some(NoopFail::Fatal), ..Noop::default() }).await;
    system.advance(Duration::from_secs(10)).await;
    let waits = queue(&admin, "upkeep").await;
    assert_eq!((&waits["queued"], &waits["due"]), (&json!(5), &json!(5)));
    let oldest = waits["oldest_due_ms"].as_i64().unwrap();
    assert!((10_000..40_000).contains(&oldest), "{oldest}");
    system.add_worker().await;
    system.drain().await;
    let idle = queue(&admin, "upkeep").await;
    assert_eq!((&idle["queued"], &idle["oldest_due_ms"]), (&json!(0), &Value::Null));
    let measured = &idle["measured"];
    assert_eq!((&measured["jobs"], &measured["failed"]), (&json!(5), &json!(1)));
    assert_eq!(measured["throughput_per_minute"], 1.0, "five in five minutes");
    let p = |name: &str| measured[name].as_i64().unwrap();
    assert!(p("wait_p50_ms") >= 10_000 && p("wait_p99_ms") < 40_000, "{measured}");
    assert!(p("wait_p50_ms") <= p("wait_p95_ms") && p("wait_p95_ms") <= p("wait_p99_ms"));
    assert_eq!(queue(&admin, "fetch").await["measured"]["jobs"], 0, "each queue by itself");
    system.advance(Duration::from_secs(3_601)).await;
    assert_eq!(queue(&admin, "upkeep").await["measured"]["wait_p50_ms"], Value::Null);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_queue_starts_nothing_and_says_who_stopped_it() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let admin = system.as_user("admin").await;
    let why = json!({ "reason": "the provider is sick" });
    let paused = admin.post_json("/api/v1/queues/fetch/pause", why).await.expect(200).json;
    assert_eq!(paused["paused"]["by"], "admin@example.test");
    assert_eq!(paused["paused"]["reason"], "the provider is sick");
    let id = submit(&dana, "demo_travel").await;
    system.upkeep.sweep().await.unwrap();
    let seen = dana.get(&job(id, "")).await.expect(200);
    let reason = seen.json["waiting_reason"].as_str().unwrap();
    assert!(reason.contains("admin@example.test") && reason.contains("is sick"), "{reason}");
    assert_eq!(queue(&admin, "fetch").await["due"], 1);
    let other = noop(&system, "dana", &Noop::default()).await;
    system.finish(other).await;
    assert_eq!(system.job(id).await.state.as_str(), "queued");
    let again = json!({ "reason": "still sick" });
    let paused = admin.post_json("/api/v1/queues/fetch/pause", again).await.expect(200).json;
    assert_eq!(paused["paused"]["reason"], "still sick");
    for _ in 0..2 {
        let open = admin.post("/api/v1/queues/fetch/resume").await.expect(200).json;
        assert_eq!(open["paused"], Value::Null);
    }
    assert_eq!(system.finish(id).await.state.as_str(), "succeeded");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_told_at_once_that_a_queue_was_paused() {
    let system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let admin = system.as_user("admin").await;
    let id = submit(&dana, "demo_travel").await;
    let mut stream = Stream::open(&dana, &job(id, "/events")).await;
    let first = stream.next().await.unwrap();
    let tag = dana.get(&job(id, "")).await.header("etag").unwrap().to_owned();
    for (act, says) in [("pause", "paused by admin"), ("resume", "no live worker")] {
        let asked = dana.with("prefer", "wait=25").with("if-none-match", &tag);
        let asked = if act == "resume" { dana.with("prefer", "wait=25") } else { asked };
        let path = job(id, "");
        let poll = tokio::spawn(async move { asked.get(&path).await });
        // The place in the waiting room is shared with the stream, so it cannot be counted.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let acted = Instant::now();
        admin.post(&format!("/api/v1/queues/fetch/{act}")).await.expect(200);
        let answer = poll.await.unwrap().expect(200).json;
        assert!(acted.elapsed() < Duration::from_millis(1_500), "{act}: {:?}", acted.elapsed());
        let why = answer["waiting_reason"].as_str().unwrap();
        assert!(why.contains(says), "{act}: {why}");
        let event = stream.next().await.unwrap();
        assert_eq!((&event.id, &event.data), (&first.id, &answer), "under the same version");
    }
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_refused_with_the_field_and_the_rule() {
    let system = System::builder().workers(0).start().await;
    let admin = system.as_user("admin").await;
    let pause = "/api/v1/queues/fetch/pause";
    let unknown = admin.post("/api/v1/queues/nothing/pause").await;
    check_refusal(&unknown);
    assert_eq!(unknown.expect_problem(404, "queue_not_found").json["field"], "name");
    for (body, field) in [
        (json!({ "reason": "x".repeat(201) }), "reason"),
        (json!({ "reason": "a\u{0}b" }), "reason"),
        (json!({ "reason": ["x"] }), "reason"),
        (json!({ "because": "x" }), "because"),
    ] {
        let answer = admin.post_json(pause, body).await;
        check_refusal(&answer);
        assert_eq!(answer.expect_problem(400, "invalid_body").json["field"], field);
    }
    assert_eq!(queue(&admin, "fetch").await["paused"], Value::Null);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_who_watch_live_see_the_same_samples() {
    let system = System::start().await;
    let admin = system.as_user("admin").await;
    let path = "/api/v1/workers/live-stream";
    let mut watching = vec![];
    for _ in 0..20 {
        let mut stream = Stream::open(&admin, path).await;
        watching.push(tokio::spawn(async move {
            let mut seen = BTreeMap::new();
            while seen.len() < 4 {
                let event = stream.next().await.unwrap();
                assert_eq!((event.word.as_str(), &event.id), ("overview", &number(&event.data)));
                let twice = seen.insert(event.id, event.data);
                assert_eq!(twice, None, "two of them are looking");
            }
            seen
        }));
    }
    let started = Instant::now();
    let mut samples: BTreeMap<String, Value> = BTreeMap::new();
    for seen in watching {
        for (number, view) in seen.await.unwrap() {
            // The same to the millisecond: one look for all of them.
            let first = samples.entry(number).or_insert_with(|| view.clone());
            assert_eq!(*first, view);
        }
    }
    // Though nothing happens: at most two seconds between one and the next.
    assert!(started.elapsed() < Duration::from_secs(9), "{:?}", started.elapsed());
    let newest = samples.values().next_back().unwrap();
    assert_eq!(newest["workers"].as_array().unwrap().len(), 1);
    assert_eq!(newest["queues"].as_array().unwrap().len(), 5);
    // While nobody watches nobody looks: who comes then is the first.
    tests::eventually("the looking has stopped", || async {
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let first = Stream::open(&admin, path).await.next().await.unwrap();
        (first.data["number"] == 1).then_some(())
    })
    .await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn contradictions_are_counted() {
    let system = System::builder().workers(0).without_upkeep().start().await;
    let admin = system.as_user("admin").await;
    let integrity = || async { admin.get("/api/v1/integrity").await.expect(200).json };
    let good = integrity().await;
    assert_eq!(good["clean"], true);
    let findings = good["findings"].as_object().unwrap();
    assert!(findings.len() >= 4 && findings.values().all(|n| *n == 0), "{good}");
    let id = noop(&system, "dana", &Noop::default()).await;
    assert_eq!(integrity().await["findings"]["kinds_without_worker"], 1);
    let set = |state: &'static str, worker: Option<Uuid>| {
        let db = system.db().write();
        let update = "UPDATE jobs SET state = ?, worker = ? WHERE id = ?";
        async move { sql::execute(db, update, args![state, worker, id]).await.unwrap() }
    };
    set("running", Some(Uuid::now_v7())).await;
    let bad = integrity().await;
    assert_eq!((&bad["clean"], &bad["findings"]["orphan_runs"]), (&json!(false), &json!(1)));
    set("queued", None).await;
    assert_eq!(integrity().await["clean"], true);
    system.end_with_open_jobs().await;
}
