//! `Prefer: wait=N`: an answer is held until something changed, and no longer.

use std::time::Duration;

use entity::worker::{self, NewWorker};
use tests::{Answer, Client, System};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

use crate::common::{fetched, id_of, job, submit};

/// A long poll under way, and the moment its answer came.
async fn poll(system: &System, client: Client, path: String) -> JoinHandle<(Answer, Instant)> {
    let before = system.jobs.watch().waited_for();
    let poll = tokio::spawn(async move { (client.get(&path).await, Instant::now()) });
    tests::eventually("the poll is waiting", || async {
        (system.jobs.watch().waited_for() > before).then_some(())
    })
    .await;
    poll
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_with_a_tag_ends_when_the_job_changes() {
    let system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let emil = system.as_user("emil").await;
    let id = submit(&emil, "demo_travel").await;
    let mut waited = Duration::ZERO;
    for _ in 0..5 {
        submit(&dana, "demo_travel").await;
        let tag = emil.get(&job(id, "")).await.header("etag").unwrap().to_owned();
        let asked = emil.with("if-none-match", &tag).with("prefer", "wait=25");
        let poll = poll(&system, asked, job(id, "")).await;
        let changed = Instant::now();
        dana.post(&job(id, "/cancel")).await.expect(200);
        let (answer, at) = poll.await.unwrap();
        waited += at.duration_since(changed);
        let answer = answer.expect(200);
        assert_eq!(answer.json["state"], "queued", "the job goes on for emil");
        assert_ne!(answer.header("etag"), Some(tag.as_str()));
    }
    // The safety net, a look every two seconds, would take about ten.
    assert!(waited < Duration::from_secs(4), "woken at once, not after {waited:?}");
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_without_a_tag_waits_from_the_version_it_found() {
    let mut system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let id = submit(&dana, "demo_travel").await;
    let first = dana.get(&job(id, "")).await.expect(200).json;
    let poll = poll(&system, dana.with("prefer", "wait=25"), job(id, "")).await;
    system.add_worker().await;
    let (answer, _) = poll.await.unwrap();
    let seen = answer.expect(200).json;
    assert!(seen["version"].as_i64() > first["version"].as_i64());
    system.finish(id).await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_without_a_change_ends_with_the_wait() {
    let system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let id = submit(&dana, "demo_travel").await;
    let tag = dana.get(&job(id, "")).await.header("etag").unwrap().to_owned();
    let asked = dana.with("prefer", "wait=1");
    let before = Instant::now();
    let same = asked.with("if-none-match", &tag);
    let (path, both) = (job(id, ""), asked);
    let (with_tag, without) = tokio::join!(same.get(&path), both.get(&path));
    with_tag.expect(304);
    assert_eq!(without.expect(200).json["state"], "queued");
    let took = before.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(3), "{took:?}");
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_came_before_the_poll_is_answered_at_once() {
    let system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let emil = system.as_user("emil").await;
    let id = submit(&dana, "demo_travel").await;
    let tag = dana.get(&job(id, "")).await.header("etag").unwrap().to_owned();
    submit(&emil, "demo_travel").await;
    emil.post(&job(id, "/cancel")).await.expect(200);
    let before = Instant::now();
    let asked = dana.with("if-none-match", &tag).with("prefer", "wait=25");
    asked.get(&job(id, "")).await.expect(200);
    assert!(before.elapsed() < Duration::from_secs(5));
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_job_is_never_waited_for() {
    let system = System::start().await;
    let dana = system.as_user("dana").await;
    let id = id_of(&fetched(&system, &dana, "demo_travel").await);
    let tag = dana.get(&job(id, "")).await.header("etag").unwrap().to_owned();
    let before = Instant::now();
    let asked = dana.with("prefer", "wait=25");
    asked.with("if-none-match", &tag).get(&job(id, "")).await.expect(304);
    asked.get(&job(id, "")).await.expect(200);
    assert!(before.elapsed() < Duration::from_secs(5));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_waiting_leaves_nothing_behind() {
    let system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let id = submit(&dana, "demo_travel").await;
    let poll = poll(&system, dana.with("prefer", "wait=25"), job(id, "")).await;
    poll.abort();
    tests::eventually("the place is given up", || async {
        (system.jobs.watch().waited_for() == 0).then_some(())
    })
    .await;
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_is_told_of_shows_at_the_end_of_the_wait() {
    let system = System::builder().workers(0).start().await;
    let dana = system.as_user("dana").await;
    let id = submit(&dana, "demo_travel").await;
    let before = dana.get(&job(id, "")).await;
    let tag = before.header("etag").unwrap().to_owned();
    let asked = dana.with("if-none-match", &tag).with("prefer", "wait=3");
    let poll = poll(&system, asked, job(id, "")).await;
    let tx = system.db().begin().await.unwrap();
    let new = NewWorker {
        id: Uuid::now_v7(),
        host: "new:7",
        version: "0.1.0",
        kinds: &["profile_fetch"],
        slots: 2,
        lease_ms: 60_000,
    };
    worker::register(&tx, &new).await.unwrap();
    tx.commit().await.unwrap();
    let answer = poll.await.unwrap().0.expect(200);
    assert_ne!(answer.json["waiting_reason"], before.json["waiting_reason"]);
    assert_ne!(answer.header("etag"), Some(tag.as_str()));
    system.end_with_open_jobs().await;
}
