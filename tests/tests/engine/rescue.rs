//! Rescue: what a dead worker ran is taken up by another, or fails when it has cost too many.

use entity::enums::JobState;
use entity::job::cancel::Leaver;
use entity::job::end::Settle;
use entity::job_event;
use jobs::Options;
use jobs::kinds::bulk_profiles::BulkProfiles;
use jobs::kinds::noop::Noop;
use tests::System;

use crate::hand::Hand;

fn noop() -> Noop {
    Noop { effects: true, ..Noop::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_run_goes_back_to_the_queue_with_its_attempt_spent() {
    let mut system = System::builder().workers(0).without_upkeep().start().await;
    let job = system.jobs.submit(&noop(), &Options::default()).await.unwrap();
    let hand = Hand::of(system.db()).await;
    let run = hand.take(job.id).await;
    assert_eq!(system.upkeep.rescue().await.unwrap(), 0, "its worker lives");
    assert_eq!(system.job(job.id).await, run);
    hand.die().await;
    assert_eq!(system.upkeep.rescue().await.unwrap(), 1);
    let back = system.job(job.id).await;
    assert_eq!((back.state, back.attempt, back.run, back.lost), (JobState::Queued, 1, 1, 1));
    assert_eq!((back.worker, back.version), (None, run.version + 1));
    let errors = back.attempt_errors();
    assert_eq!((errors.len(), errors[0].code.as_str()), (1, "worker_lost"));
    assert_eq!(job_event::of(system.db().read(), job.id).await.unwrap()[0].event, "rescued");
    assert_eq!(system.upkeep.rescue().await.unwrap(), 0);
    // Its ticket is out: a worker takes it up without further help.
    system.add_worker().await;
    let done = system.finish(job.id).await;
    assert_eq!((done.state, done.attempt, done.run), (JobState::Succeeded, 2, 2));
    assert_eq!(done.error_code, None);
    assert_eq!(system.count("SELECT count(*) AS n FROM noop_effects").await, 1);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_signed_off_without_its_runs_is_lost_too() {
    let system = System::builder().workers(0).without_upkeep().start().await;
    let job = system.jobs.submit(&noop(), &Options::default()).await.unwrap();
    let hand = Hand::of(system.db()).await;
    hand.take(job.id).await;
    hand.sign_off().await;
    assert_eq!(system.upkeep.rescue().await.unwrap(), 1);
    assert_eq!(system.job(job.id).await.state, JobState::Queued);
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_third_lost_worker_makes_it_poison_and_a_person_may_retry_it() {
    let mut system = System::builder().workers(0).without_upkeep().start().await;
    let job = system.jobs.submit(&noop(), &Options::default()).await.unwrap();
    for lost in 1..=3 {
        let hand = Hand::of(system.db()).await;
        assert_eq!(hand.take(job.id).await.run, lost);
        hand.die().await;
        system.upkeep.rescue().await.unwrap();
        assert_eq!(system.job(job.id).await.lost, lost);
    }
    let poison = system.job(job.id).await;
    assert_eq!(poison.state, JobState::Failed);
    assert_eq!(poison.error_code.as_deref(), Some("poison"));
    let events = job_event::of(system.db().read(), job.id).await.unwrap();
    let events: Vec<&str> = events.iter().map(|event| event.event.as_str()).collect();
    assert_eq!(events, ["rescued", "rescued", "poison"]);
    system.jobs.retry(job.id, None, "a test").await.unwrap();
    let again = system.job(job.id).await;
    assert_eq!((again.attempt, again.lost, again.run), (0, 0, 3), "run never falls");
    system.add_worker().await;
    let done = system.finish(job.id).await;
    assert_eq!((done.state, done.run), (JobState::Succeeded, 4));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_run_without_attempts_left_fails_as_worker_lost() {
    let system = System::builder().workers(0).without_upkeep().start().await;
    let names = vec!["demo_travel".parse().unwrap()];
    let bulk = BulkProfiles { usernames: names, force_refresh: false };
    let job = system.jobs.submit(&bulk, &Options::default()).await.unwrap();
    let hand = Hand::of(system.db()).await;
    assert_eq!(hand.take(job.id).await.max_attempts, 1);
    hand.die().await;
    system.upkeep.rescue().await.unwrap();
    let failed = system.job(job.id).await;
    assert_eq!((failed.state, failed.lost), (JobState::Failed, 1));
    assert_eq!(failed.error_code.as_deref(), Some("worker_lost"));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_run_that_was_asked_to_stop_is_cancelled() {
    let system = System::builder().workers(0).without_upkeep().start().await;
    let job = system.jobs.submit(&noop(), &Options::default()).await.unwrap();
    let hand = Hand::of(system.db()).await;
    hand.take(job.id).await;
    system.jobs.cancel(job.id, Leaver::Operator).await.unwrap();
    hand.die().await;
    system.upkeep.rescue().await.unwrap();
    assert_eq!(system.job(job.id).await.state, JobState::Cancelled);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn put_backs_and_snoozes_never_make_poison() {
    let mut system = System::builder().workers(0).without_upkeep().start().await;
    let job = system.jobs.submit(&noop(), &Options::default()).await.unwrap();
    let hand = Hand::of(system.db()).await;
    for n in 1..=6 {
        let run = hand.take(job.id).await;
        assert_eq!((run.run, run.attempt), (n, 1));
        let outcome = if n % 2 == 0 { Settle::PutBack } else { Settle::Snooze { delay_ms: 0 } };
        let back = system.settle(run.fence(), &outcome).await.unwrap().job;
        assert_eq!((back.state, back.attempt, back.lost), (JobState::Queued, 0, 0));
    }
    hand.sign_off().await;
    system.add_worker().await;
    system.upkeep.refill().await.unwrap();
    let done = system.finish(job.id).await;
    assert_eq!((done.state, done.run, done.attempt), (JobState::Succeeded, 7, 1));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_lost_runs_come_back_in_one_pass() {
    let system = System::builder().workers(0).without_upkeep().start().await;
    let new = vec![jobs::submit::new_job(&noop(), &Options::default()).unwrap(); 1_100];
    let stored = system.jobs.submit_many(&new).await.unwrap();
    let ids: Vec<_> = stored.iter().map(|stored| stored.id).collect();
    let hand = Hand::of(system.db()).await;
    assert_eq!(hand.claim(&ids).await.len(), 1_100);
    hand.die().await;
    assert_eq!(system.upkeep.rescue().await.unwrap(), 1_100);
    let back = "SELECT count(*) AS n FROM jobs WHERE state = 'queued' AND lost = 1 AND attempt = 1";
    assert_eq!(system.count(back).await, 1_100);
    system.end_with_open_jobs().await;
}
