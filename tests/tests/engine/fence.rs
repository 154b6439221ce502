//! The fence: a run that is no longer the job's latest writes nothing.
//!
//! To see that these stories hold something: take `AND run = ?` and its argument out of `succeed`
//! in entity/src/job/end.rs, and `an_earlier_run_of_the_same_worker_…` turns red; take
//! `AND worker = ?` out, and `a_claim_that_a_crash_forgot_…` does; take
//! `AND jobs.worker = v.column3::uuid` out of `finish_many`, and the latter does, too.

use std::time::Duration;

use entity::enums::JobState;
use entity::job::end::{self, Settle};
use entity::job::progress::{self, Progress};
use entity::job::{Fence, Model};
use entity::{args, effect, sql};
use jobs::Options;
use jobs::kinds::noop::Noop;
use serde_json::json;
use tests::System;
use uuid::Uuid;

use crate::hand::Hand;

fn noop() -> Noop {
    Noop { effects: true, ..Noop::default() }
}

/// A job claimed twice: by a worker that was lost, and by the one that took it up.
async fn taken_over(system: &System) -> (Hand<'_>, Fence, Model) {
    let job = system.jobs.submit(&noop(), &Options::default()).await.unwrap();
    let lost = Hand::of(system.db()).await;
    let stale = lost.take(job.id).await;
    lost.die().await;
    system.upkeep.rescue().await.unwrap();
    let hand = Hand::of(system.db()).await;
    let current = hand.take(job.id).await;
    assert_eq!((stale.run, current.run), (1, 2));
    (hand, stale.fence(), current)
}

/// Ends a run with its effect, as a handler's commit does.
async fn commit(system: &System, fence: Fence) -> bool {
    let tx = system.db().begin().await.unwrap();
    if end::succeed(&tx, fence, json!({}), 60_000).await.unwrap().is_none() {
        tx.rollback().await.unwrap();
        return false;
    }
    effect::add(&tx, fence.id, fence.run).await.unwrap();
    end::children_ended(&tx, &[fence.id]).await.unwrap();
    tx.commit().await.unwrap();
    true
}

async fn runs_with_effect(system: &System, id: Uuid) -> Vec<i32> {
    let select = "SELECT run FROM noop_effects WHERE job_id = ? ORDER BY id";
    let rows = sql::rows(system.db().read(), select, args![id]).await.unwrap();
    rows.iter().map(|row| row.try_get("", "run").unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_run_of_the_same_worker_writes_nothing() {
    let system = System::builder().workers(0).without_upkeep().start().await;
    let job = system.jobs.submit(&noop(), &Options::default()).await.unwrap();
    let hand = Hand::of(system.db()).await;
    let stale = hand.take(job.id).await.fence();
    system.settle(stale, &Settle::PutBack).await.unwrap();
    let current = hand.take(job.id).await;
    assert_eq!((stale.run, current.run, current.worker), (1, 2, Some(stale.worker)));
    assert!(!commit(&system, stale).await);
    assert!(commit(&system, current.fence()).await);
    assert_eq!(runs_with_effect(&system, job.id).await, [2]);
    hand.sign_off().await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_a_crash_forgot_ends_nothing() {
    let system = System::builder().workers(0).without_upkeep().start().await;
    let job = system.jobs.submit(&noop(), &Options::default()).await.unwrap();
    let before = Hand::of(system.db()).await;
    let stale = before.take(job.id).await.fence();
    let forget = "UPDATE jobs SET state = 'queued', run = 0, attempt = 0, version = 1, \
         worker = NULL, claimed_at = NULL, started_at = NULL WHERE id = ?";
    sql::execute(system.db().write(), forget, args![job.id]).await.unwrap();
    let after = Hand::of(system.db()).await;
    let current = after.take(job.id).await;
    assert_eq!((stale.run, current.run), (1, 1), "two runs of one number");
    assert!(!commit(&system, stale).await);
    let tx = system.db().begin().await.unwrap();
    let (ended, _) = end::finish_many(&tx, &[(stale, json!("stale"))], 60_000).await.unwrap();
    assert!(ended.is_empty() && !progress::hold(&tx, stale).await.unwrap());
    tx.rollback().await.unwrap();
    assert!(system.settle(stale, &Settle::PutBack).await.is_none());
    assert_eq!(system.job(job.id).await, current, "nothing was written");
    assert!(commit(&system, current.fence()).await);
    assert_eq!(runs_with_effect(&system, job.id).await, [1]);
    before.sign_off().await;
    after.sign_off().await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_commit_is_refused_and_the_effect_takes_place_once() {
    let system = System::builder().workers(0).without_upkeep().start().await;
    let (hand, stale, current) = taken_over(&system).await;
    assert!(!commit(&system, stale).await, "the work is somebody else's");
    assert_eq!(system.job(current.id).await, current, "nothing was written");
    assert!(commit(&system, current.fence()).await);
    assert!(!commit(&system, current.fence()).await, "an end is an end");
    assert!(!commit(&system, stale).await);
    assert_eq!(runs_with_effect(&system, current.id).await, [2]);
    hand.sign_off().await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_end_in_a_batch_is_left_out_and_the_others_are_written() {
    let system = System::builder().workers(0).without_upkeep().start().await;
    let (hand, stale, current) = taken_over(&system).await;
    let other = system.jobs.submit(&Noop::default(), &Options::default()).await.unwrap();
    let other = hand.take(other.id).await;
    let tx = system.db().begin().await.unwrap();
    let batch = [(stale, json!("stale")), (other.fence(), json!("fresh"))];
    let (ended, _) = end::finish_many(&tx, &batch, 60_000).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(ended, [other.id]);
    assert_eq!(system.job(current.id).await, current);
    assert_eq!(system.job(other.id).await.result, Some(json!("fresh")));
    assert!(commit(&system, current.fence()).await);
    hand.sign_off().await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_of_a_stale_run_is_written_either() {
    let system = System::builder().workers(0).without_upkeep().start().await;
    let (hand, stale, current) = taken_over(&system).await;
    for outcome in [
        Settle::Retry { code: "c".into(), message: "m".into(), delay_ms: 0 },
        Settle::Fail { code: "c".into(), message: "m".into() },
        Settle::Cancelled,
        Settle::Snooze { delay_ms: 0 },
        Settle::PutBack,
    ] {
        assert!(system.settle(stale, &outcome).await.is_none(), "{outcome:?}");
    }
    let tx = system.db().begin().await.unwrap();
    assert!(end::hand_to_children(&tx, stale, json!({}), true).await.unwrap().is_none());
    let far = Progress { stage: "work", done: 9 };
    assert!(progress::write(&tx, &[(stale, far)]).await.unwrap().is_empty());
    assert!(!progress::hold(&tx, stale).await.unwrap());
    assert!(!progress::record_calls(&tx, stale, 1, &[json!({})]).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(system.job(current.id).await, current);
    assert!(commit(&system, current.fence()).await);
    hand.sign_off().await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_slept_through_its_lease_writes_nothing_when_it_wakes() {
    // It never looks at its lease, like a process that was stopped and continued.
    let mut system = System::builder()
        .engine(|engine| engine.renew_every = Duration::from_secs(100))
        .start()
        .await;
    let noop = Noop { ms: 600, ..noop() };
    let job = system.jobs.submit(&noop, &Options::default()).await.unwrap();
    let first = system.job_when(job.id, "it runs", |job| job.run == 1).await;
    let over = "UPDATE workers SET lease_until = {now-?} WHERE id = ?";
    sql::execute(system.db().write(), over, args![1_i64, first.worker]).await.unwrap();
    system.job_when(job.id, "it is rescued", |job| job.lost == 1).await;
    system.add_worker().await;
    // The sleeper began earlier and works as long: it comes to its commit in the middle of run 2.
    system.job_when(job.id, "it runs again", |job| job.run == 2).await;
    let done = system.finish(job.id).await;
    assert_eq!((done.state, done.run), (JobState::Succeeded, 2));
    assert_eq!(runs_with_effect(&system, job.id).await, [2], "the effect is the latest run's");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_row_is_gone_registers_anew_and_goes_on() {
    let system = System::builder()
        .engine(|engine| engine.renew_every = Duration::from_millis(100))
        .start()
        .await;
    let noop = Noop { ms: 300, ..noop() };
    let mut ids = vec![];
    for _ in 0..6 {
        ids.push(system.jobs.submit(&noop, &Options::default()).await.unwrap().id);
    }
    for id in &ids {
        system.job_when(*id, "it runs", |job| job.state == JobState::Running).await;
    }
    let before = entity::worker::live(system.db().read()).await.unwrap();
    sql::execute(system.db().write(), "DELETE FROM workers", vec![]).await.unwrap();
    system.drain().await;
    for id in &ids {
        let done = system.job(*id).await;
        assert_eq!(done.state, JobState::Succeeded);
        assert_eq!(runs_with_effect(&system, *id).await, [done.run]);
    }
    let later = system.jobs.submit(&noop, &Options::default()).await.unwrap();
    assert_eq!(system.finish(later.id).await.state, JobState::Succeeded);
    let after = entity::worker::live(system.db().read()).await.unwrap();
    assert_eq!((before.len(), after.len()), (1, 1));
    assert_ne!(before[0].id, after[0].id, "a new life has a new id");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_handed_over_to_its_children_is_past_its_fence() {
    let system = System::start().await;
    system.demo.script("demo_food", vec![farm::demo::Scripted::Hang]);
    let bulk = jobs::kinds::bulk_profiles::BulkProfiles {
        usernames: vec!["demo_food".parse().unwrap()],
        force_refresh: false,
    };
    let parent = system.jobs.submit(&bulk, &Options::default()).await.unwrap();
    let waiting =
        system.job_when(parent.id, "it waits", entity::job::Model::waits_for_children).await;
    for outcome in [Settle::PutBack, Settle::Fail { code: "x".into(), message: "y".into() }] {
        assert!(system.settle(waiting.fence(), &outcome).await.is_none(), "{outcome:?}");
    }
    let tx = system.db().begin().await.unwrap();
    let late = end::succeed(&tx, waiting.fence(), json!({}), 1_000).await.unwrap();
    assert!(late.is_none(), "its run has ended");
    tx.rollback().await.unwrap();
    system.jobs.cancel(parent.id, entity::job::cancel::Leaver::Operator).await.unwrap();
    system.drain().await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_nobody_runs_goes_back_although_its_worker_lives() {
    let system = System::builder()
        .engine(|config| {
            config.concurrency = [(entity::enums::Queue::Fetch, 1)].into();
            config.renew_every = Duration::from_millis(50);
        })
        .start()
        .await;
    // As when the answer of a claim is lost on its way: the row says that the worker runs it.
    let job = system.jobs.submit(&Noop::default(), &Options::default()).await.unwrap();
    let worker = entity::worker::live(system.db().read()).await.unwrap()[0].id;
    let db = system.db().write();
    let claimed = entity::job::claim::claim(db, worker, &[job.id], &["noop"]).await.unwrap();
    assert_eq!(claimed.len(), 1);
    let back = system.job_when(job.id, "it is put back", |job| job.worker.is_none()).await;
    assert_eq!((back.state, back.run, back.attempt), (JobState::Queued, 1, 0));
    system.end_with_open_jobs().await;
}
