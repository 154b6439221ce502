//! Retention: what is kept how long.

use std::time::Duration;

use entity::enums::JobState;
use entity::job::cancel::Leaver;
use entity::job::{query, retention};
use jobs::Options;
use jobs::kinds::noop::{Noop, NoopFail};
use jobs::submit::new_job;
use tests::System;
use uuid::Uuid;

use crate::hand::Hand;

const DAY: Duration = Duration::from_secs(24 * 3_600);

async fn gone(system: &System, id: Uuid) -> bool {
    query::by_id(system.db().read(), id).await.unwrap().is_none()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_week_for_what_went_well_a_month_for_what_failed() {
    let system = System::start().await;
    let options = Options { user_id: Some(Uuid::now_v7()), ..Options::default() };
    let well = system.jobs.submit(&Noop::default(), &options).await.unwrap().id;
    system.finish(well).await;
    let fatal = Noop { fail: Some(NoopFail::Fatal), ..Noop::default() };
    let failed = system.jobs.submit(&fatal, &options).await.unwrap().id;
    system.finish(failed).await;
    let endless = Noop { ms: 600_000, ..Noop::default() };
    let cancelled = system.jobs.submit(&endless, &options).await.unwrap().id;
    system.jobs.cancel(cancelled, Leaver::Operator).await.unwrap();
    system.finish(cancelled).await;
    let far = Options { delay_ms: 40 * DAY.as_millis() as i64, ..options };
    let waiting = system.jobs.submit(&Noop::default(), &far).await.unwrap().id;

    system.advance(DAY * 6).await;
    system.prune().await;
    assert!(!gone(&system, well).await && !gone(&system, cancelled).await);
    system.advance(DAY * 2).await;
    system.prune().await;
    assert!(gone(&system, well).await && gone(&system, cancelled).await);
    assert!(!gone(&system, failed).await && !gone(&system, waiting).await);
    assert_eq!(system.count("SELECT count(*) AS n FROM job_watchers").await, 2);
    let events = "SELECT count(*) AS n FROM job_events WHERE event LIKE 'cancel%'";
    assert_eq!(system.count(events).await, 0, "events go with their job");
    system.advance(DAY * 23).await;
    system.prune().await;
    assert!(gone(&system, failed).await, "a month has passed");
    assert_eq!(system.job(waiting).await.state, JobState::Queued, "what is open stays");
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_kept_for_a_day_and_its_end_is_a_change() {
    let system = System::start().await;
    let job = system.jobs.submit(&Noop::default(), &Options::default()).await.unwrap();
    let done = system.finish(job.id).await;
    assert!(done.result.is_some());
    system.prune().await;
    assert_eq!(system.job(job.id).await, done);
    system.advance(DAY + Duration::from_secs(1)).await;
    system.prune().await;
    let kept = system.job(job.id).await;
    assert_eq!((kept.state, kept.result), (JobState::Succeeded, None));
    assert!(kept.version > done.version, "who asks for changes is told");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_batch_goes_in_one_call() {
    let system = System::start().await;
    let new = vec![new_job(&Noop::default(), &Options::default()).unwrap(); 1_100];
    system.jobs.submit_many(&new).await.unwrap();
    system.drain().await;
    system.advance(DAY * 8).await;
    let stopped = retention::pass(system.db(), || false).await.unwrap();
    assert!((500..1_100).contains(&stopped), "asked to stop, it ends after a batch: {stopped}");
    assert!(system.prune().await >= 600);
    assert_eq!(system.count("SELECT count(*) AS n FROM jobs").await, 0);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_gone_for_an_hour_are_forgotten_and_live_ones_are_not() {
    let system = System::start().await;
    let hand = Hand::of(system.db()).await;
    hand.die().await;
    system.prune().await;
    assert_eq!(system.count("SELECT count(*) AS n FROM workers").await, 2);
    system.advance(Duration::from_secs(3_700)).await;
    system.prune().await;
    assert_eq!(system.count("SELECT count(*) AS n FROM workers").await, 1);
    let job = system.jobs.submit(&Noop::default(), &Options::default()).await.unwrap();
    assert_eq!(system.finish(job.id).await.state, JobState::Succeeded);
    system.end().await;
}
