//! The contract a front end polls.

use entity::enums::JobState;
use entity::job::Model;
use entity::queue_control;
use farm::demo::Scripted;
use insta::assert_json_snapshot;
use jobs::kinds::noop::Noop;
use jobs::kinds::profile_fetch::ProfileFetch;
use jobs::submit::Options;
use serde_json::{Value, json};
use tests::{Client, System};
use uuid::Uuid;

use crate::common::{HOUR, check_refusal, fetched, id_of, job, masked, profile, refresh, submit};

/// A job that does nothing, for a user.
async fn noop(system: &System, user: &str, what: Noop) -> Uuid {
    let user = system.user(user).await.id;
    let options = Options { user_id: Some(user), ..Options::default() };
    system.jobs.submit(&what, &options).await.unwrap().id
}

async fn view(client: &Client, id: Uuid) -> Value {
    client.get(&job(id, "")).await.expect(200).json
}

async fn flat(client: &Client, id: Uuid) -> Value {
    client.get(&job(id, "/status")).await.expect(200).json
}

/// A fetch that the worker has begun and that ends only when it is stopped.
async fn running(system: &System, client: &Client) -> Uuid {
    system.demo.script("slowpoke", vec![Scripted::Hang]);
    let id = submit(client, "slowpoke").await;
    tests::eventually("the provider was asked", || async {
        (system.demo.calls_for("slowpoke") > 0).then_some(())
    })
    .await;
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn the_view_of_a_waiting_job() {
    let system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let id = submit(&dana, "demo_travel").await;
    assert_json_snapshot!("waiting", masked(&view(&dana, id).await));
    assert_json_snapshot!("waiting_flat", masked(&flat(&dana, id).await));
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_view_of_a_job_that_succeeded() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let id = id_of(&fetched(&system, &dana, "demo_travel").await);
    assert_json_snapshot!("succeeded", masked(&view(&dana, id).await));
    assert_json_snapshot!("succeeded_flat", masked(&flat(&dana, id).await));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_view_of_a_job_that_failed() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let id = id_of(&fetched(&system, &dana, "demo_missing").await);
    assert_json_snapshot!("failed", masked(&view(&dana, id).await));
    assert_json_snapshot!("failed_flat", masked(&flat(&dana, id).await));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_is_processing_until_it_is_stopped() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let id = running(&system, &dana).await;
    let seen = view(&dana, id).await;
    assert_eq!((&seen["state"], &seen["done"]), (&json!("running"), &json!(false)));
    assert!(seen["started_at"].is_string() && seen["finished_at"].is_null());
    assert_eq!(seen["waiting_reason"], Value::Null);
    let status = flat(&dana, id).await;
    assert_eq!(status["status"], "processing");
    assert_eq!(status["params"]["username"], "slowpoke");
    assert_eq!(status["queue_position"], Value::Null);
    assert!(status["elapsed_seconds"].as_f64().unwrap() >= 0.0);
    let stopped = dana.post(&job(id, "/cancel")).await.expect(200).json;
    assert!(stopped["cancel_requested_at"].is_string(), "visible at once: {stopped}");
    assert_eq!(system.finish(id).await.state.as_str(), "cancelled");
    assert_eq!(flat(&dana, id).await["status"], "cancelled");
    assert_eq!(view(&dana, id).await["done"], true);
    let result = dana.get(&job(id, "/result")).await;
    result.expect_problem(409, "job_cancelled");
    dana.get(&profile("slowpoke")).await.expect(404);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_is_good_until_the_job_changes() {
    let mut system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let id = submit(&dana, "demo_travel").await;
    let first = dana.get(&job(id, "")).await.expect(200);
    let tag = first.header("etag").unwrap().to_owned();
    assert_eq!(first.header("cache-control"), Some("private, no-cache"));
    let known = dana.with("if-none-match", &tag);
    let same = known.get(&job(id, "")).await.expect(304);
    assert_eq!((same.header("etag"), same.text.as_str()), (Some(tag.as_str()), ""));
    known.with("if-none-match", "*").get(&job(id, "")).await.expect(304);
    system.add_worker().await;
    system.finish(id).await;
    let changed = known.get(&job(id, "")).await.expect(200);
    assert_ne!(changed.header("etag"), Some(tag.as_str()));
    assert!(changed.json["version"].as_i64() > first.json["version"].as_i64());
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_result_is_202_then_the_profile_then_gone() {
    let mut system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let id = submit(&dana, "demo_travel").await;
    let early = dana.get(&job(id, "/result")).await.expect(202);
    assert_eq!(id_of(&early.json), id);
    assert!(early.header("retry-after").is_some());
    system.add_worker().await;
    system.finish(id).await;
    let result = dana.get(&job(id, "/result")).await.expect(200).json;
    let shown = dana.get(&profile("demo_travel")).await.expect(200).json;
    assert_eq!(masked(&result), masked(&shown), "what the call would have answered");
    system.advance(25 * HOUR).await;
    dana.get(&job(id, "/result")).await.expect_problem(410, "result_expired");
    system.prune().await;
    dana.get(&job(id, "/result")).await.expect_problem(410, "result_expired");
    assert_eq!(view(&dana, id).await["state"], "succeeded", "the job itself is kept for a week");
    system.advance(24 * 8 * HOUR).await;
    system.prune().await;
    dana.get(&job(id, "/result")).await.expect_problem(404, "job_not_found");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_job_can_be_cancelled_and_started_again() {
    let mut system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let id = submit(&dana, "demo_travel").await;
    for _ in 0..2 {
        let cancelled = dana.post(&job(id, "/cancel")).await.expect(200).json;
        assert_eq!((&cancelled["state"], &cancelled["done"]), (&json!("cancelled"), &json!(true)));
    }
    system.add_worker().await;
    let again = dana.post(&job(id, "/retry")).await.expect(202);
    assert_eq!(id_of(&again.json), id);
    assert_eq!(again.header("location"), Some(job(id, "").as_str()));
    assert_eq!(system.finish(id).await.state.as_str(), "succeeded");
    assert_eq!(system.demo.calls_for("demo_travel"), 1);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_a_shared_job_sees_it_cancelled_and_the_other_gets_it() {
    let mut system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let emil = system.as_user("emil").await;
    let id = submit(&dana, "demo_travel").await;
    assert_eq!(submit(&emil, "demo_travel").await, id);
    let left = dana.post(&job(id, "/cancel")).await.expect(200).json;
    assert_eq!((&left["state"], &left["done"]), (&json!("cancelled"), &json!(true)));
    assert_eq!(flat(&dana, id).await["status"], "cancelled");
    assert_eq!(view(&emil, id).await["state"], "queued");
    system.add_worker().await;
    system.finish(id).await;
    assert_eq!(view(&emil, id).await["state"], "succeeded");
    assert_eq!(emil.get(&profile("demo_travel")).await.expect(200).json["access"], "full");
    // Done is done: it does not come back to life for who left, nor does it pay for them.
    assert_eq!(view(&dana, id).await["state"], "cancelled");
    assert_eq!(dana.get(&profile("demo_travel")).await.expect(200).json["access"], "preview");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_job_cannot_be_cancelled() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    for handle in ["demo_travel", "demo_missing"] {
        let id = id_of(&fetched(&system, &dana, handle).await);
        dana.post(&job(id, "/cancel")).await.expect_problem(409, "job_finished");
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_job_can_be_tried_again_under_its_id() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    system.demo.script("late", vec![crate::common::http(401, &json!({}))]);
    let failed = fetched(&system, &dana, "late").await;
    assert_eq!(failed["error"]["retryable"], true);
    let id = id_of(&failed);
    system.demo.script("late", vec![]);
    let again = dana.post(&job(id, "/retry")).await.expect(202);
    assert_eq!(id_of(&again.json), id);
    assert!(again.json["version"].as_i64() > failed["version"].as_i64());
    system.finish(id).await;
    let view = view(&dana, id).await;
    assert_eq!((&view["state"], &view["error"]), (&json!("succeeded"), &Value::Null));
    // What succeeded is not run again.
    dana.post(&job(id, "/retry")).await.expect_problem(409, "job_not_retryable");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_job_cannot_be_retried_and_a_superseded_one_neither() {
    let system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let old = submit(&dana, "demo_travel").await;
    dana.post(&job(old, "/retry")).await.expect_problem(409, "job_not_retryable");
    dana.post(&job(old, "/cancel")).await.expect(200);
    let new = submit(&dana, "demo_travel").await;
    assert_ne!(new, old);
    dana.post(&job(old, "/retry")).await.expect_problem(409, "job_superseded");
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_filtered_and_paged_and_shows_each_job_once() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let mut mine = vec![];
    for handle in ["one", "two", "demo_missing"] {
        mine.push(id_of(&fetched(&system, &dana, handle).await));
    }
    system.advance(HOUR).await;
    let since = system.now().await.rfc3339();
    for _ in 0..2 {
        mine.push(noop(&system, "dana", Noop::default()).await);
    }
    noop(&system, "emil", Noop::default()).await;
    system.drain().await;
    let list = |query: String| {
        let dana = dana.clone();
        async move { dana.get(&format!("/api/v1/jobs{query}")).await.expect(200).json }
    };
    let ids = |page: &Value| -> Vec<Uuid> {
        page["items"].as_array().unwrap().iter().map(id_of).collect()
    };
    let mut newest_first = mine.clone();
    newest_first.reverse();
    let all = list(String::new()).await;
    assert_eq!(ids(&all), newest_first);
    assert_eq!(all["next"], Value::Null);
    let (mut seen, mut cursor, mut pages) = (vec![], String::new(), 0);
    loop {
        let page = list(format!("?limit=2{cursor}")).await;
        seen.extend(ids(&page));
        pages += 1;
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!((seen, pages), (newest_first.clone(), 3));
    assert_eq!(ids(&list("?kind=noop".to_owned()).await), newest_first[..2]);
    assert_eq!(ids(&list("?state=failed".to_owned()).await), [mine[2]]);
    assert!(ids(&list("?state=running".to_owned()).await).is_empty());
    assert_eq!(ids(&list(format!("?since={since}")).await), newest_first[..2]);
    let narrow = "?kind=profile_fetch&state=succeeded&limit=1";
    assert_eq!(ids(&list(narrow.to_owned()).await), [mine[1]]);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_somebody_left_is_listed_as_they_see_it() {
    let system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let emil = system.as_user("emil").await;
    let id = submit(&dana, "demo_travel").await;
    submit(&emil, "demo_travel").await;
    dana.post(&job(id, "/cancel")).await.expect(200);
    let shown = |client: Client, state: &'static str| async move {
        let page = client.get(&format!("/api/v1/jobs?state={state}")).await.expect(200).json;
        page["items"].as_array().unwrap().iter().map(|v| v["state"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(shown(dana.clone(), "cancelled").await, ["cancelled"]);
    assert_eq!(shown(dana, "queued").await, Vec::<Value>::new());
    assert_eq!(shown(emil, "queued").await, ["queued"]);
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_jobs_are_read_at_once_and_the_missing_are_named() {
    let system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let emil = system.as_user("emil").await;
    let (one, two) = (submit(&dana, "one").await, submit(&dana, "two").await);
    let foreign = submit(&emil, "three").await;
    let unknown = Uuid::now_v7();
    let ids = json!({ "ids": [two, unknown, one, foreign, two] });
    let answer = dana.post_json("/api/v1/jobs/batch-get", ids).await.expect(200).json;
    let found: Vec<Uuid> = answer["items"].as_array().unwrap().iter().map(id_of).collect();
    assert_eq!(found, [two, one]);
    assert_eq!(answer["missing"], json!([unknown, foreign]));
    let none = dana.post_json("/api/v1/jobs/batch-get", json!({ "ids": [] })).await.expect(200);
    assert_eq!(none.json, json!({ "items": [], "missing": [] }));
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_job_does_not_exist_and_an_admin_sees_all() {
    let system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let emil = system.as_user("emil").await;
    let admin = system.as_user("admin").await;
    let id = submit(&dana, "demo_travel").await;
    for below in ["", "/status", "/result"] {
        check_refusal(&emil.get(&job(id, below)).await.expect_problem(404, "job_not_found"));
        assert!(admin.get(&job(id, below)).await.status.is_success(), "{below}");
    }
    for below in ["/cancel", "/retry"] {
        emil.post(&job(id, below)).await.expect_problem(404, "job_not_found");
    }
    assert_eq!(emil.get("/api/v1/jobs").await.expect(200).json["items"], json!([]));
    let all = admin.get("/api/v1/jobs").await.expect(200).json;
    assert_eq!(all["items"].as_array().unwrap().len(), 1);
    assert_eq!(view(&dana, id).await["state"], "queued", "nobody else could stop it");
    let stopped = admin.post(&job(id, "/cancel")).await.expect(200).json;
    assert_eq!(stopped["state"], "cancelled");
    assert_eq!(view(&dana, id).await["state"], "cancelled");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_job_says_what_it_waits_for() {
    let mut system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let id = submit(&dana, "demo_travel").await;
    let reason = |view: Value| view["waiting_reason"].as_str().unwrap_or_default().to_owned();
    let why = reason(view(&dana, id).await);
    assert!(why.contains("no live worker"), "{why}");
    queue_control::pause(system.db().write(), "fetch", "ops@example.test", "the provider is sick")
        .await
        .unwrap();
    system.add_worker().await;
    let why = reason(view(&dana, id).await);
    assert!(why.contains("ops@example.test") && why.contains("the provider is sick"), "{why}");
    assert_eq!(flat(&dana, id).await["progress_message"], why);
    queue_control::resume(system.db().write(), "fetch").await.unwrap();
    system.finish(id).await;
    assert_eq!(reason(view(&dana, id).await), "");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn places_in_the_queue_are_counted() {
    let system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    for (place, handle) in ["one", "two", "three"].into_iter().enumerate() {
        let id = submit(&dana, handle).await;
        assert_eq!(flat(&dana, id).await["queue_position"], place + 1);
    }
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retrying_job_shows_the_last_error_and_counts_its_retries() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    // So it stays where it is until the clock is moved: other pauses may be none at all.
    let limited = || Scripted::Http {
        status: 429,
        body: json!("slow down").to_string(),
        headers: vec![("retry-after".to_owned(), "600".to_owned())],
    };
    system.demo.script("limited", vec![limited(), limited(), Scripted::Profile]);
    let id = submit(&dana, "limited").await;
    for attempt in [1, 2] {
        let waits = |job: &Model| job.state == JobState::Retrying && job.attempt == attempt;
        system.job_when(id, "it waits for its next attempt", waits).await;
        let seen = view(&dana, id).await;
        assert_eq!(seen["state"], "retrying");
        assert_eq!(
            (&seen["attempt"], &seen["error"]["retryable"]),
            (&attempt.into(), &true.into())
        );
        assert_eq!(flat(&dana, id).await["retry_count"], attempt - 1);
        system.advance(std::time::Duration::from_secs(601)).await;
    }
    system.finish(id).await;
    let seen = view(&dana, id).await;
    assert_eq!((&seen["state"], &seen["attempt"]), (&json!("succeeded"), &json!(3)));
    assert_eq!(seen["error"], Value::Null);
    assert_eq!(flat(&dana, id).await["retry_count"], 2);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_measured_kind_tells_how_long_it_will_take() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    // Not through the API: a mean that it has looked up is shown for a while.
    for handle in ["one", "two", "three", "four", "five"] {
        let fetch = ProfileFetch::of(handle.parse().unwrap());
        let id = system.jobs.submit(&fetch, &Options::default()).await.unwrap().id;
        system.finish(id).await;
    }
    let id = running(&system, &dana).await;
    assert!(view(&dana, id).await["estimated_remaining_ms"].as_i64().unwrap() >= 0);
    dana.post(&job(id, "/cancel")).await.expect(200);
    system.finish(id).await;
    assert_eq!(view(&dana, id).await["estimated_remaining_ms"], Value::Null);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_posts_option_is_its_own_work() {
    let system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let with = submit(&dana, "demo_travel").await;
    let bare = dana.post_json(&refresh("demo_travel"), json!({ "include_posts": false })).await;
    let explicit = dana.post_json(&refresh("demo_travel"), json!({ "include_posts": true })).await;
    assert_ne!(id_of(&bare.expect(202).json), with);
    assert_eq!(id_of(&explicit.expect(202).json), with);
    system.end_with_open_jobs().await;
}
