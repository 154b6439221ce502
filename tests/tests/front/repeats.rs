//! Retries by people, and tags that tell what changed.

use jobs::Options;
use jobs::kinds::noop::{Noop, NoopFail};
use tests::System;

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_retry_gets_the_answer_of_the_first() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let fatal = Noop { fail: Some(NoopFail::Fatal), ..Noop::default() };
    let user_id = Some(system.user("dana").await.id);
    let options = Options { user_id, ..Options::default() };
    let id = system.jobs.submit(&fatal, &options).await.unwrap().id;
    system.finish(id).await;
    let path = format!("/api/v1/jobs/{id}/retry");
    let keyed = dana.with("idempotency-key", "again-1");
    let first = keyed.post(&path).await.expect(202);
    system.finish(id).await;
    let second = keyed.post(&path).await.expect(202);
    assert_eq!(first.json, second.json);
    assert_eq!(system.job(id).await.run, 2, "it ran again once");
    dana.post(&path).await.expect(202);
    assert_eq!(system.finish(id).await.run, 3, "without the key it is another retry");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tag_changes_with_the_reason_for_waiting() {
    let system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let job = dana.post("/api/v1/instagram/profile/demo_food/refresh").await.expect(202);
    let path = job.header("location").unwrap().to_owned();
    let before = dana.get(&path).await.expect(200);
    let tagged = dana.with("if-none-match", before.header("etag").unwrap());
    tagged.get(&path).await.expect(304);
    entity::queue_control::pause(system.db().write(), "fetch", "alex", "repairs").await.unwrap();
    // Answered at once, although it may wait: there is news.
    let after = tagged.with("prefer", "wait=20").get(&path).await.expect(200);
    assert!(after.json["waiting_reason"].as_str().unwrap().contains("paused by alex"));
    system.end_with_open_jobs().await;
}
