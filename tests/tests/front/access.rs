//! Who may see what, through work that others started.

use serde_json::json;
use tests::System;

use crate::common::{check_refusal, fetched, id_of, job, posts, profile, refresh, submit};

#[tokio::test(flavor = "multi_thread")]
async fn everybody_who_joined_a_fetch_gets_access_and_nobody_else() {
    let mut system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let emil = system.as_user("emil").await;
    let fay = system.as_user("fay").await;
    let id = submit(&dana, "demo_travel").await;
    submit(&emil, "demo_travel").await;
    system.add_worker().await;
    system.finish(id).await;
    for (client, access) in [(&dana, "full"), (&emil, "full"), (&fay, "preview")] {
        assert_eq!(client.get(&profile("demo_travel")).await.expect(200).json["access"], access);
    }
    check_refusal(&fay.get(&posts("demo_travel")).await.expect_problem(403, "no_access"));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_result_of_a_job_shows_no_more_than_its_reader_may_see() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let id = id_of(&fetched(&system, &dana, "demo_travel").await);
    let taken = "UPDATE user_profile_access SET expires_at = {now}";
    entity::sql::execute(system.db().write(), taken, vec![]).await.unwrap();
    let result = dana.get(&job(id, "/result")).await.expect(200).json;
    assert_eq!(result["access"], "preview");
    assert_eq!(result["followers_count"], serde_json::Value::Null);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_renewal_takes_nothing_away() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    fetched(&system, &dana, "demo_travel").await;
    system.demo.script("demo_travel", vec![crate::common::http(401, &json!({}))]);
    assert_eq!(fetched(&system, &dana, "demo_travel").await["state"], "failed");
    let shown = dana.get(&profile("demo_travel")).await.expect(200).json;
    assert_eq!((&shown["access"], &shown["stored_posts"]), (&json!("full"), &json!(12)));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_does_not_reach_the_job_of_another_user() {
    let system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await.with("idempotency-key", "k");
    let emil = system.as_user("emil").await.with("idempotency-key", "k");
    let hers = id_of(&dana.post(&refresh("one")).await.expect(202).json);
    let his = id_of(&emil.post(&refresh("two")).await.expect(202).json);
    emil.get(&job(hers, "")).await.expect_problem(404, "job_not_found");
    dana.get(&job(his, "")).await.expect_problem(404, "job_not_found");
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_who_joined_leaves_and_one_who_did_not_stops_the_job() {
    let system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let admin = system.as_user("admin").await;
    let id = submit(&dana, "demo_travel").await;
    assert_eq!(submit(&admin, "demo_travel").await, id);
    // A repeat, as after a lost answer, does no more than the first.
    for _ in 0..2 {
        admin.post(&job(id, "/cancel")).await.expect(200);
        assert_eq!(dana.get(&job(id, "")).await.expect(200).json["state"], "queued");
    }
    system.as_user("admin2").await.post(&job(id, "/cancel")).await.expect(200);
    assert_eq!(dana.get(&job(id, "")).await.expect(200).json["state"], "cancelled");
    system.end().await;
}
