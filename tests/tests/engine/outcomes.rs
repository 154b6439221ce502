//! How attempts end, and what is kept of them.

use entity::enums::JobState;
use entity::job::end::Settle;
use entity::job::retry::Retried;
use entity::job_event;
use jobs::Options;
use jobs::kinds::noop::{Noop, NoopFail};
use serde_json::json;
use tests::System;

use crate::hand::Hand;

fn failing(fail: NoopFail) -> Noop {
    Noop { fail: Some(fail), effects: true, ..Noop::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_helped_fails_at_once() {
    let system = System::start().await;
    let job = system.jobs.submit(&failing(NoopFail::Fatal), &Options::default()).await.unwrap();
    let done = system.finish(job.id).await;
    assert_eq!((done.state, done.attempt), (JobState::Failed, 1));
    assert_eq!(done.error_code.as_deref(), Some("told_to"));
    assert_eq!(done.error_message.as_deref(), Some("told to fail for good"));
    assert_eq!(done.attempt_errors().len(), 1);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_succeeds_at_its_last_attempt_succeeds() {
    let system = System::start().await;
    let noop = failing(NoopFail::UntilLast);
    let job = system.jobs.submit(&noop, &Options::default()).await.unwrap();
    let done = system.finish(job.id).await;
    assert_eq!((done.state, done.attempt, done.run), (JobState::Succeeded, 3, 3));
    assert_eq!((done.error_code.as_deref(), done.error_message.as_deref()), (None, None));
    let errors = done.attempt_errors();
    let told: Vec<_> = errors.iter().map(|e| (e.attempt, e.run, e.code.as_str())).collect();
    assert_eq!(told, [(1, 1, "told_to"), (2, 2, "told_to")]);
    assert!(errors[0].at <= errors[1].at);
    let events = job_event::of(system.db().read(), job.id).await.unwrap();
    assert_eq!(events.iter().filter(|event| event.event == "retry").count(), 2);
    assert_eq!(system.count("SELECT count(*) AS n FROM noop_effects").await, 1);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_costs_an_attempt_and_nothing_else() {
    let system = System::start().await;
    let panics = system.jobs.submit(&failing(NoopFail::Panic), &Options::default()).await.unwrap();
    let beside = system.jobs.submit(&Noop::default(), &Options::default()).await.unwrap();
    let done = system.finish(panics.id).await;
    assert_eq!((done.state, done.attempt, done.lost), (JobState::Failed, 3, 0));
    assert_eq!(done.error_code.as_deref(), Some("panic"));
    assert!(done.error_message.unwrap().contains("told to panic"), "it says what it said");
    assert_eq!(system.finish(beside.id).await.state, JobState::Succeeded);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_cannot_be_read_fails_for_good() {
    let system = System::start().await;
    let mut new = jobs::submit::new_job(&Noop::default(), &Options::default()).unwrap();
    new.payload = json!({ "ms": "soon" });
    let job = system.jobs.submit_many(&[new]).await.unwrap().remove(0);
    let done = system.finish(job.id).await;
    assert_eq!((done.state, done.attempt), (JobState::Failed, 1));
    assert_eq!(done.error_code.as_deref(), Some("bad_payload"));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pause_between_attempts_is_in_the_row() {
    let system = System::builder().workers(0).without_upkeep().start().await;
    let job = system.jobs.submit(&Noop::default(), &Options::default()).await.unwrap();
    let hand = Hand::of(system.db()).await;
    let run = hand.take(job.id).await;
    let before = system.now().await;
    let retry = Settle::Retry { code: "busy".into(), message: "later".into(), delay_ms: 90_000 };
    let waiting = system.settle(run.fence(), &retry).await.unwrap().job;
    assert_eq!((waiting.state, waiting.attempt), (JobState::Retrying, 1));
    assert_eq!(waiting.error_code.as_deref(), Some("busy"));
    assert!(waiting.run_at.millis_since(before) >= 90_000);
    assert!(hand.claim(&[job.id]).await.is_empty(), "not before its time");
    system.advance(std::time::Duration::from_secs(91)).await;
    assert_eq!(hand.take(job.id).await.attempt, 2);
    hand.die().await;
    system.upkeep.rescue().await.unwrap();
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snooze_gives_the_attempt_back() {
    let mut system = System::builder().workers(0).start().await;
    let noop = failing(NoopFail::UntilLast);
    let job = system.jobs.submit(&noop, &Options::default()).await.unwrap();
    let hand = Hand::of(system.db()).await;
    let run = hand.take(job.id).await;
    let snooze = Settle::Snooze { delay_ms: 30_000 };
    let asleep = system.settle(run.fence(), &snooze).await.unwrap().job;
    assert_eq!((asleep.state, asleep.attempt, asleep.run), (JobState::Queued, 0, 1));
    assert!(asleep.attempt_errors().is_empty() && asleep.error_code.is_none());
    hand.sign_off().await;
    system.add_worker().await;
    let done = system.finish(job.id).await;
    assert_eq!((done.state, done.attempt, done.run), (JobState::Succeeded, 3, 4));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_by_a_person_starts_over_under_the_same_id() {
    let system = System::start().await;
    let user = uuid::Uuid::now_v7();
    let options = Options { user_id: Some(user), ..Options::default() };
    let job = system.jobs.submit(&failing(NoopFail::Retry), &options).await.unwrap();
    let failed = system.finish(job.id).await;
    let again = system.jobs.retry(job.id, Some(user), "ann@example.test").await.unwrap();
    let Retried::Queued(queued) = again else { panic!("{again:?}") };
    assert_eq!((queued.id, queued.attempt, queued.run), (job.id, 0, failed.run));
    assert_eq!((queued.error_code.as_deref(), queued.finished_at), (None, None));
    assert!(queued.version > failed.version);
    let failed = system.finish(job.id).await;
    assert_eq!((failed.state, failed.attempt, failed.run), (JobState::Failed, 3, 6));
    let events = job_event::of(system.db().read(), job.id).await.unwrap();
    let retried: Vec<_> = events.iter().filter(|event| event.event == "retried").collect();
    assert_eq!(retried.len(), 1);
    assert!(retried[0].detail.contains("ann@example.test"), "who");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_failed_or_was_cancelled_can_be_retried() {
    let mut system = System::builder().workers(0).start().await;
    let job = system.jobs.submit(&Noop::default(), &Options::default()).await.unwrap();
    let waiting = system.jobs.retry(job.id, None, "a test").await.unwrap();
    assert!(matches!(waiting, Retried::NotEnded(_)));
    system.add_worker().await;
    let done = system.finish(job.id).await;
    let succeeded = system.jobs.retry(job.id, None, "a test").await.unwrap();
    assert!(matches!(succeeded, Retried::NotEnded(_)));
    assert_eq!(system.job(job.id).await, done);
    let missing = system.jobs.retry(uuid::Uuid::now_v7(), None, "a test").await.unwrap();
    assert!(matches!(missing, Retried::Missing));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_newest_twenty_errors_are_kept() {
    let system = System::builder().workers(0).without_upkeep().start().await;
    let mut new = jobs::submit::new_job(&Noop::default(), &Options::default()).unwrap();
    new.max_attempts = 25;
    let job = system.jobs.submit_many(&[new]).await.unwrap().remove(0);
    let hand = Hand::of(system.db()).await;
    for n in 1..=25 {
        let run = hand.take(job.id).await;
        let retry = Settle::Retry { code: "c".into(), message: format!("{n}"), delay_ms: 0 };
        system.settle(run.fence(), &retry).await.unwrap();
    }
    let failed = system.job(job.id).await;
    assert_eq!((failed.state, failed.attempt), (JobState::Failed, 25));
    let kept: Vec<i32> = failed.attempt_errors().iter().map(|error| error.attempt).collect();
    assert_eq!(kept, (6..=25).collect::<Vec<i32>>());
    hand.sign_off().await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_ignores_its_timeout_is_ended_and_its_slot_is_free_again() {
    let quick = std::time::Duration::from_millis(100);
    let system = System::builder()
        .engine(|config| {
            config.longest = quick;
            config.overrun = quick;
            config.concurrency = [(entity::enums::Queue::Upkeep, 1)].into();
        })
        .start()
        .await;
    let hang = Noop { fail: Some(NoopFail::Hang), ..Noop::default() };
    let hung = system.jobs.submit(&hang, &Options::default()).await.unwrap();
    let hung = system.finish(hung.id).await;
    assert_eq!((hung.state, hung.attempt), (JobState::Failed, 3));
    assert_eq!(hung.error_code.as_deref(), Some("timeout"));
    let next = system.jobs.submit(&Noop::default(), &Options::default()).await.unwrap();
    assert_eq!(system.finish(next.id).await.state, JobState::Succeeded, "the only slot is free");
    system.end().await;
}
