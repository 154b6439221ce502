//! Asking for analytics, of one creator or of many.

use entity::sql;
use jobs::Options;
use jobs::kinds::profile_fetch::ProfileFetch;
use serde_json::{Value, json};
use tests::System;

use crate::common::{HOUR, check_refusal, id_of, job, posts, profile, submit};

const BULK: &str = "/api/v1/analytics/bulk/profiles";

fn analyze(what: &str, handle: &str) -> String {
    format!("/api/v1/analytics/{what}/{handle}")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_is_the_job_with_what_the_client_reads() {
    let mut system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let emil = system.as_user("emil").await;
    let answer = dana.post(&analyze("profile", "@Demo_Travel")).await.expect(202);
    let id = id_of(&answer.json);
    assert_eq!(answer.header("location"), Some(job(id, "").as_str()));
    assert!(answer.header("retry-after").is_some() && answer.header("etag").is_some());
    let body = &answer.json;
    assert_eq!((&body["success"], &body["status"]), (&json!(true), &json!("queued")));
    assert_eq!((&body["job_id"], &body["kind"]), (&body["id"], &json!("profile_fetch")));
    assert_eq!((&body["queue_position"], &body["created"]), (&json!(1), &json!(true)));
    assert_eq!(body["estimated_completion_seconds"], Value::Null, "nothing was measured yet");
    assert_eq!(body["message"], body["waiting_reason"]);
    let status = dana.get(body["polling_url"].as_str().unwrap()).await.expect(200).json;
    assert_eq!(status["status"], "queued");
    // One fetch for all who want the same.
    let joined = emil.post(&analyze("posts", "demo_travel")).await.expect(202).json;
    assert_eq!((&joined["id"], &joined["created"]), (&body["id"], &json!(false)));
    assert_eq!(submit(&dana, "demo_travel").await, id);
    system.add_worker().await;
    system.finish(id).await;
    for client in [&dana, &emil] {
        let page = client.get(&posts("demo_travel")).await.expect(200).json;
        assert_eq!(page["total"], 12);
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_wait_the_answer_is_the_end() {
    let system = System::start().await;
    let dana = system.as_user("dana").await.with("prefer", "wait=20");
    let done = dana.post(&analyze("posts", "demo_travel")).await.expect(200).json;
    assert_eq!((&done["status"], &done["success"]), (&json!("completed"), &json!(true)));
    assert_eq!((&done["queue_position"], &done["done"]), (&Value::Null, &json!(true)));
    let fresh = dana.post(&analyze("profile", "demo_travel")).await.expect(200).json;
    assert_eq!(fresh["result"]["source"], "fresh", "what is fresh is not fetched again");
    assert_eq!(system.demo.calls_for("demo_travel"), 1);
    let failed = dana.post(&analyze("profile", "demo_missing")).await.expect(200).json;
    assert_eq!((&failed["status"], &failed["success"]), (&json!("failed"), &json!(false)));
    check_refusal(&dana.post(&analyze("profile", "no..dots")).await.expect(400));
    for _ in 0..4 {
        dana.post(&analyze("profile", "demo_travel")).await.expect(200);
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_under_a_key_gets_the_same_answer() {
    let mut system = System::builder().workers(0).start().await;
    let bare = system.as_user("dana").await;
    let dana = bare.with("idempotency-key", "k1");
    let first = dana.post(&analyze("profile", "demo_travel")).await.expect(202);
    submit(&bare, "demo_food").await;
    let again = dana.post(&analyze("profile", "demo_travel")).await.expect(202);
    assert_eq!(first.json, again.json);
    let other = dana.post(&analyze("posts", "demo_travel")).await;
    other.expect_problem(422, "idempotency_key_reused");
    let keyed = bare.with("idempotency-key", "k2");
    let names = json!({ "usernames": ["one", "no..dots", "two"] });
    let bulk = keyed.post_json(BULK, names.clone()).await.expect(202);
    assert_eq!(bulk.json, keyed.post_json(BULK, names).await.expect(202).json);
    assert_eq!(bulk.json["rejected"][0]["username"], "no..dots");
    assert_eq!(
        system.count("SELECT count(*) AS n FROM jobs WHERE kind = 'bulk_profiles'").await,
        1
    );
    system.add_worker().await;
    system.drain().await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_names_are_one_job_with_a_child_each() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let names = json!({ "usernames":
        ["demo_travel", "@Demo_Travel", "demo_food", "demo_missing", "no..dots", "x y"] });
    let answer = dana.post_json(BULK, names).await.expect(202);
    let body = &answer.json;
    assert_eq!((&body["kind"], &body["success"]), (&json!("bulk_profiles"), &json!(true)));
    assert_eq!(body["accepted"], json!(["demo_travel", "demo_food", "demo_missing"]));
    let rejected = body["rejected"].as_array().unwrap();
    assert_eq!((rejected.len(), &rejected[0]["username"]), (2, &json!("no..dots")));
    assert!(rejected[0]["reason"].as_str().unwrap().contains("dots"), "{rejected:?}");
    assert_eq!(body["estimated_completion_seconds"], Value::Null);
    let id = id_of(body);
    system.finish(id).await;
    let view = dana.get(&job(id, "")).await.expect(200).json;
    assert_eq!(view["children"], json!({ "total": 3, "succeeded": 2, "failed": 1 }));
    assert_eq!((&view["state"], &view["progress"]["percent"]), (&json!("succeeded"), &json!(100)));
    for handle in ["demo_travel", "demo_food"] {
        assert_eq!(dana.get(&profile(handle)).await.expect(200).json["access"], "full");
    }
    let jobs = dana.get("/api/v1/jobs?kind=bulk_profiles").await.expect(200).json;
    assert_eq!(jobs["items"].as_array().unwrap().len(), 1);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_names_and_names_that_are_none_are_refused() {
    let mut system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let admin = system.as_user("admin").await;
    let names = |count: usize| -> Value {
        json!({ "usernames": (0..count).map(|n| format!("name{n}")).collect::<Vec<_>>() })
    };
    for (body, field) in [
        (names(16), "usernames"),
        (names(1_001), "usernames"),
        (json!({ "usernames": [] }), "usernames"),
        (json!({ "usernames": [["one"]] }), "usernames"),
        (json!({}), "usernames"),
        (json!({ "usernames": ["one"], "all": true }), "all"),
    ] {
        let answer = dana.post_json(BULK, body).await;
        check_refusal(&answer);
        assert_eq!(answer.expect_problem(400, "invalid_body").json["field"], field);
    }
    let long = "x".repeat(500);
    let none = dana.post_json(BULK, json!({ "usernames": ["a b", "", long] })).await;
    check_refusal(&none);
    let none = none.expect_problem(400, "invalid_body").json;
    assert_eq!(
        (&none["field"], none["rejected"].as_array().unwrap().len()),
        (&json!("usernames"), 3)
    );
    assert!(none["rejected"][2]["username"].as_str().unwrap().len() < 100, "not echoed whole");
    assert_eq!(system.count("SELECT count(*) AS n FROM jobs").await, 0);
    // Fifteen names said twice are fifteen names.
    let mut twice = names(15);
    let list = twice["usernames"].as_array_mut().unwrap();
    list.extend_from_within(..);
    let few = dana.post_json(BULK, twice).await.expect(202).json;
    let many = admin.post_json(BULK, names(16)).await.expect(202).json;
    assert_eq!((&few["priority"], &many["priority"]), (&json!("normal"), &json!("bulk")));
    admin.post_json(BULK, names(1_001)).await.expect(400);
    system.add_worker().await;
    system.finish(id_of(&many)).await;
    system.drain().await;
    let view = admin.get(&job(id_of(&many), "")).await.expect(200).json;
    assert_eq!(view["children"]["total"], 16);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_estimate_is_measured_from_when_jobs_were_due_and_never_invented() {
    let mut system = System::start().await;
    let dana = system.as_user("dana").await;
    for n in 0..5 {
        let job = ProfileFetch::of(format!("name{n}").parse().unwrap());
        let id = system.jobs.submit(&job, &Options::default()).await.unwrap().id;
        assert_eq!(system.finish(id).await.state.as_str(), "succeeded");
    }
    // As jobs of long ago that were queued again.
    let old = "UPDATE jobs SET created_at = {created_at-?}";
    sql::execute(system.db().write(), old, entity::args![86_400_000_i64]).await.unwrap();
    system.stop_worker().await;
    let estimate = || async {
        let answer = dana.post(&analyze("profile", "demo_travel")).await.expect(202);
        answer.json["estimated_completion_seconds"].clone()
    };
    let soon = estimate().await;
    assert!((1..HOUR.as_secs()).contains(&soon.as_u64().unwrap()), "{soon}");
    system.advance(HOUR).await;
    assert_eq!(estimate().await, Value::Null, "it takes longer than was measured");
    system.end_with_open_jobs().await;
}
