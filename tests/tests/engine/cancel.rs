//! Cancel: the caller leaves, and the job ends when nobody is left.

use std::time::Duration;

use entity::enums::JobState;
use entity::job::cancel::{self, Leaver};
use entity::job::end::{self, Settle};
use entity::job::query::{self, Viewer};
use entity::job_event;
use jobs::Options;
use jobs::kinds::noop::{Noop, NoopFail};
use serde_json::json;
use tests::System;
use uuid::Uuid;

use crate::hand::Hand;

fn of_user(user: Uuid) -> Options {
    Options { user_id: Some(user), ..Options::default() }
}

/// A job that goes on until it is asked to stop.
fn endless() -> Noop {
    Noop { ms: 600_000, key: Some("endless".to_owned()), ..Noop::default() }
}

async fn seen_by(system: &System, user: Uuid, id: Uuid) -> entity::job::Model {
    let seen = query::seen(system.db().read(), Viewer::User(user), &[id]).await.unwrap();
    seen.into_iter().next().expect("one who asked may look").job
}

async fn events(system: &System, id: Uuid) -> Vec<String> {
    let events = job_event::of(system.db().read(), id).await.unwrap();
    events.into_iter().map(|event| event.event).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_job_ends_at_once() {
    let system = System::builder().workers(0).start().await;
    let user = Uuid::now_v7();
    let job = system.jobs.submit(&endless(), &of_user(user)).await.unwrap();
    let cancel = system.jobs.cancel(job.id, Leaver::User(user)).await.unwrap().unwrap();
    assert_eq!(cancel.job.state, JobState::Cancelled);
    assert_eq!((cancel.shared, cancel.stop, cancel.changed), (false, vec![], vec![job.id]));
    assert_eq!(events(&system, job.id).await, ["cancelled"]);
    assert_eq!(system.job(job.id).await.run, 0);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_stops_by_signal() {
    // The lease thread would look only after a minute, longer than the test's patience.
    let system = System::builder()
        .engine(|engine| {
            engine.lease = Duration::from_secs(200);
            engine.renew_every = Duration::from_secs(60);
        })
        .start()
        .await;
    let user = Uuid::now_v7();
    let job = system.jobs.submit(&endless(), &of_user(user)).await.unwrap();
    system.job_when(job.id, "it runs", |job| job.state == JobState::Running).await;
    let cancel = system.jobs.cancel(job.id, Leaver::User(user)).await.unwrap().unwrap();
    assert_eq!(cancel.stop, [job.id]);
    let done = system.finish(job.id).await;
    assert_eq!(done.state, JobState::Cancelled);
    let asked = done.cancel_requested_at.unwrap();
    assert!(done.finished_at.unwrap().millis_since(asked) < 5_000);
    assert_eq!(events(&system, job.id).await, ["cancel_requested", "cancelled"]);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_stops_although_the_signal_was_lost() {
    let system = System::builder()
        .engine(|engine| engine.renew_every = Duration::from_millis(100))
        .start()
        .await;
    let job = system.jobs.submit(&endless(), &Options::default()).await.unwrap();
    system.job_when(job.id, "it runs", |job| job.state == JobState::Running).await;
    let tx = system.db().begin().await.unwrap();
    cancel::cancel(&tx, job.id, Leaver::Operator).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(system.finish(job.id).await.state, JobState::Cancelled);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_asked_to_stop_before_its_run_was_known_stops_too() {
    // The signal goes out while the claim is on its way: only the lease thread can tell.
    let system = System::builder()
        .engine(|engine| engine.renew_every = Duration::from_millis(100))
        .start()
        .await;
    for _ in 0..10 {
        let job = system.jobs.submit(&endless(), &Options::default()).await.unwrap();
        system.jobs.cancel(job.id, Leaver::Operator).await.unwrap();
        assert_eq!(system.finish(job.id).await.state, JobState::Cancelled);
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_a_shared_job_sees_it_cancelled_and_the_others_get_the_result() {
    let mut system = System::builder().workers(0).start().await;
    let (leaver, stayer) = (Uuid::now_v7(), Uuid::now_v7());
    let noop = Noop { key: Some("shared".to_owned()), ..Noop::default() };
    let job = system.jobs.submit(&noop, &of_user(leaver)).await.unwrap();
    system.jobs.submit(&noop, &of_user(stayer)).await.unwrap();
    let cancel = system.jobs.cancel(job.id, Leaver::User(leaver)).await.unwrap().unwrap();
    assert!(cancel.shared && cancel.stop.is_empty());
    assert_eq!(cancel.job.state, JobState::Queued);
    assert_eq!(seen_by(&system, leaver, job.id).await.state, JobState::Cancelled);
    assert_eq!(seen_by(&system, stayer, job.id).await.state, JobState::Queued);
    system.add_worker().await;
    assert_eq!(system.finish(job.id).await.state, JobState::Succeeded);
    assert_eq!(seen_by(&system, stayer, job.id).await.state, JobState::Succeeded);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_leaver_saw_cancelled_stays_cancelled_for_them() {
    let mut system = System::builder().workers(0).start().await;
    let (leaver, stayer) = (Uuid::now_v7(), Uuid::now_v7());
    let noop = Noop { key: Some("shared".to_owned()), ..Noop::default() };
    let job = system.jobs.submit(&noop, &of_user(leaver)).await.unwrap();
    system.jobs.submit(&noop, &of_user(stayer)).await.unwrap();
    system.jobs.cancel(job.id, Leaver::User(leaver)).await.unwrap();
    system.add_worker().await;
    system.finish(job.id).await;
    assert_eq!(seen_by(&system, leaver, job.id).await.state, JobState::Cancelled);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaver_who_asks_again_is_back() {
    let mut system = System::builder().workers(0).start().await;
    let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
    let noop = Noop { key: Some("shared".to_owned()), ..Noop::default() };
    let job = system.jobs.submit(&noop, &of_user(one)).await.unwrap();
    system.jobs.submit(&noop, &of_user(other)).await.unwrap();
    system.jobs.cancel(job.id, Leaver::User(one)).await.unwrap();
    assert_eq!(system.jobs.submit(&noop, &of_user(one)).await.unwrap().id, job.id);
    let cancel = system.jobs.cancel(job.id, Leaver::User(other)).await.unwrap().unwrap();
    assert!(cancel.shared);
    system.add_worker().await;
    system.finish(job.id).await;
    assert_eq!(seen_by(&system, one, job.id).await.state, JobState::Succeeded);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_to_leave_ends_the_job() {
    let system = System::builder().workers(0).start().await;
    let users = [Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7()];
    let mut id = Uuid::nil();
    for user in users {
        id = system.jobs.submit(&endless(), &of_user(user)).await.unwrap().id;
    }
    for (user, shared) in users.into_iter().zip([true, true, false]) {
        let cancel = system.jobs.cancel(id, Leaver::User(user)).await.unwrap().unwrap();
        assert_eq!(cancel.shared, shared);
    }
    assert_eq!(system.job(id).await.state, JobState::Cancelled);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_ends_it_for_everybody() {
    let system = System::start().await;
    let users = [Uuid::now_v7(), Uuid::now_v7()];
    for user in users {
        system.jobs.submit(&endless(), &of_user(user)).await.unwrap();
    }
    let id = system.open_jobs().await[0].id;
    system.job_when(id, "it runs", |job| job.state == JobState::Running).await;
    let cancel = system.jobs.cancel(id, Leaver::Operator).await.unwrap().unwrap();
    assert!(!cancel.shared);
    assert_eq!(system.finish(id).await.state, JobState::Cancelled);
    for user in users {
        assert_eq!(seen_by(&system, user, id).await.state, JobState::Cancelled);
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_between_two_attempts_ends_at_once() {
    let system = System::start().await;
    let noop = Noop { fail: Some(NoopFail::Retry), ..Noop::default() };
    let job = system.jobs.submit(&noop, &Options::default()).await.unwrap();
    // The pause may have been drawn short: then an attempt later.
    let mut cancelled = false;
    while !cancelled {
        let waiting = system.job_when(job.id, "it waits", |job| {
            job.state == JobState::Retrying || job.state.is_done()
        });
        let waiting = waiting.await;
        assert!(!waiting.state.is_done(), "{waiting:?}");
        let cancel = system.jobs.cancel(job.id, Leaver::Operator).await.unwrap().unwrap();
        cancelled = cancel.stop.is_empty();
    }
    let done = system.job(job.id).await;
    assert_eq!(done.state, JobState::Cancelled);
    assert!(!done.attempt_errors().is_empty(), "what failed before is still told");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requested_cancel_decides_how_an_unfinished_run_ends() {
    let retry = || Settle::Retry { code: "c".into(), message: "m".into(), delay_ms: 0 };
    let fail = || Settle::Fail { code: "c".into(), message: "m".into() };
    let system = System::builder().workers(0).start().await;
    let hand = Hand::of(system.db()).await;
    for (outcome, end) in [
        (retry(), JobState::Cancelled),
        (Settle::Snooze { delay_ms: 5 }, JobState::Cancelled),
        (Settle::PutBack, JobState::Cancelled),
        (Settle::Cancelled, JobState::Cancelled),
        (fail(), JobState::Failed),
    ] {
        let job = system.jobs.submit(&endless(), &Options::default()).await.unwrap();
        let run = hand.take(job.id).await;
        system.jobs.cancel(job.id, Leaver::Operator).await.unwrap();
        assert_eq!(system.settle(run.fence(), &outcome).await.unwrap().job.state, end);
    }
    hand.sign_off().await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_was_done_before_the_stop_arrived_counts() {
    let system = System::builder().workers(0).start().await;
    let hand = Hand::of(system.db()).await;
    let job = system.jobs.submit(&endless(), &Options::default()).await.unwrap();
    let run = hand.take(job.id).await;
    system.jobs.cancel(job.id, Leaver::Operator).await.unwrap();
    let tx = system.db().begin().await.unwrap();
    let done = end::succeed(&tx, run.fence(), json!({"n": 1}), 1_000).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    assert_eq!(done.state, JobState::Succeeded);
    hand.sign_off().await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_job_is_left_as_it_is() {
    let system = System::start().await;
    let user = Uuid::now_v7();
    let job = system.jobs.submit(&Noop::default(), &of_user(user)).await.unwrap();
    let done = system.finish(job.id).await;
    for leaver in [Leaver::User(user), Leaver::Operator] {
        let cancel = system.jobs.cancel(job.id, leaver).await.unwrap().unwrap();
        assert_eq!(cancel.job, done);
        assert!(cancel.stop.is_empty() && cancel.changed.is_empty());
    }
    assert_eq!(system.job(job.id).await, done);
    assert!(system.jobs.cancel(Uuid::now_v7(), Leaver::Operator).await.unwrap().is_none());
    system.end().await;
}
