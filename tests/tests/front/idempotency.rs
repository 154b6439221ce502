//! `Idempotency-Key`: sending a request again is never more than sending it once.

use poem::Request;
use poem::http::{HeaderValue, Method};
use serde_json::json;
use tests::{Answer, Client, System};

use crate::common::{HOUR, check_refusal, id_of, job, refresh};

fn keyed(client: &Client) -> Client {
    client.with("idempotency-key", "9d1c-first")
}

async fn jobs(system: &System) -> i64 {
    system.count("SELECT count(*) AS n FROM jobs").await
}

#[track_caller]
fn same_answer(first: &Answer, again: &Answer) {
    assert_eq!(again.status, first.status);
    assert_eq!(again.json, first.json);
    for header in ["location", "etag", "retry-after", "content-type"] {
        assert_eq!(again.header(header), first.header(header), "{header}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_gets_the_same_answer() {
    let mut system = System::builder().workers(0).start().await;
    let dana = keyed(&system.as_user("dana").await);
    let first = dana.post(&refresh("demo_travel")).await.expect(202);
    same_answer(&first, &dana.post(&refresh("demo_travel")).await);
    // The same, said otherwise.
    same_answer(&first, &dana.post(&refresh("@DEMO_Travel")).await);
    same_answer(&first, &dana.post_json(&refresh("demo_travel"), json!({})).await);
    system.add_worker().await;
    system.finish(id_of(&first.json)).await;
    same_answer(&first, &dana.post(&refresh("demo_travel")).await);
    assert_eq!((jobs(&system).await, system.demo.calls_for("demo_travel")), (1, 1));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_waited_for_is_repeated_too() {
    let system = System::start().await;
    let dana = keyed(&system.as_user("dana").await).with("prefer", "wait=20");
    let first = dana.post(&refresh("demo_travel")).await.expect(200);
    assert_eq!(first.json["state"], "succeeded");
    same_answer(&first, &dana.post(&refresh("demo_travel")).await);
    assert_eq!(system.demo.calls_for("demo_travel"), 1, "though a refresh always asks anew");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_request_under_the_same_key_is_refused() {
    let system = System::builder().workers(0).start().await;
    let dana = keyed(&system.as_user("dana").await);
    dana.post(&refresh("demo_travel")).await.expect(202);
    for answer in [
        dana.post(&refresh("demo_food")).await,
        dana.post_json(&refresh("demo_travel"), json!({ "include_posts": false })).await,
    ] {
        check_refusal(&answer);
        let answer = answer.expect_problem(422, "idempotency_key_reused");
        assert_eq!(answer.json["field"], "Idempotency-Key");
    }
    assert_eq!(jobs(&system).await, 1);
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_belongs_to_its_user() {
    let system = System::builder().workers(0).start().await;
    let dana = keyed(&system.as_user("dana").await);
    let emil = keyed(&system.as_user("emil").await);
    let hers = dana.post(&refresh("demo_travel")).await.expect(202);
    let his = emil.post(&refresh("demo_food")).await.expect(202);
    assert_ne!(id_of(&hers.json), id_of(&his.json));
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_at_once_under_one_key_start_one_job() {
    let system = System::builder().workers(0).start().await;
    let dana = keyed(&system.as_user("dana").await);
    let all = (0..8).map(|_| {
        let dana = dana.clone();
        tokio::spawn(async move { dana.post(&refresh("demo_travel")).await })
    });
    let mut accepted = vec![];
    for answer in all.collect::<Vec<_>>() {
        let answer = answer.await.unwrap();
        if answer.status.as_u16() == 202 {
            accepted.push(answer);
            continue;
        }
        check_refusal(&answer);
        let busy = answer.expect_problem(409, "request_in_flight");
        assert!(busy.header("retry-after").is_some());
    }
    assert!(!accepted.is_empty());
    for answer in &accepted {
        assert_eq!(answer.json, accepted[0].json);
    }
    assert_eq!(jobs(&system).await, 1);
    same_answer(&accepted[0], &dana.post(&refresh("demo_travel")).await);
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_none_is_refused_and_starts_nothing() {
    let system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let long = "k".repeat(256);
    for bad in ["", "two words", "tab\there", long.as_str()] {
        let answer = dana.with("idempotency-key", bad).post(&refresh("demo_travel")).await;
        check_refusal(&answer);
        assert_eq!(answer.expect_problem(400, "invalid_input").json["field"], "Idempotency-Key");
    }
    let request =
        Request::builder().method(Method::POST).uri(refresh("demo_travel").parse().unwrap());
    let foreign = HeaderValue::from_bytes("ключ".as_bytes()).unwrap();
    let request = request.header("idempotency-key", foreign).finish();
    check_refusal(&dana.call(request).await.expect_problem(400, "invalid_input"));
    assert_eq!(jobs(&system).await, 0);
    let longest = "k".repeat(255);
    dana.with("idempotency-key", &longest).post(&refresh("demo_travel")).await.expect(202);
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_does_not_use_up_its_key() {
    let system = System::builder().workers(0).start().await;
    let dana = keyed(&system.as_user("dana").await);
    dana.post(&refresh("no..handle")).await.expect(400);
    dana.post_text(&refresh("demo_travel"), "{").await.expect(400);
    dana.post(&refresh("demo_travel")).await.expect(202);
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_day_a_key_is_free_again() {
    let system = System::builder().workers(0).start().await;
    let dana = keyed(&system.as_user("dana").await);
    let first = dana.post(&refresh("demo_travel")).await.expect(202);
    system.advance(23 * HOUR).await;
    dana.post(&refresh("demo_food")).await.expect(422);
    system.advance(2 * HOUR).await;
    let second = dana.post(&refresh("demo_food")).await.expect(202);
    assert_ne!(id_of(&first.json), id_of(&second.json));
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_got_lost_is_made_again_from_the_job() {
    let system = System::builder().workers(0).start().await;
    let dana = keyed(&system.as_user("dana").await);
    let first = dana.post(&refresh("demo_travel")).await.expect(202);
    // As if the process had died between storing the job and answering.
    let lost = "UPDATE idempotency_keys SET answer = NULL";
    entity::sql::execute(system.db().write(), lost, vec![]).await.unwrap();
    dana.post(&refresh("demo_travel")).await.expect_problem(409, "request_in_flight");
    system.advance(std::time::Duration::from_secs(31)).await;
    let again = dana.post(&refresh("demo_travel")).await.expect(202);
    assert_eq!(id_of(&again.json), id_of(&first.json));
    assert_eq!(again.header("location"), Some(job(id_of(&first.json), "").as_str()));
    assert_eq!(jobs(&system).await, 1);
    system.end_with_open_jobs().await;
}
