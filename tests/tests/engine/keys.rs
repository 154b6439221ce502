//! One unfinished job per key: whoever asks again joins.

use std::collections::{HashMap, HashSet};

use entity::enums::{JobState, Priority, Queue};
use entity::job::cancel::Leaver;
use entity::job::end::Settle;
use entity::job::retry::Retried;
use jobs::Options;
use jobs::kinds::noop::{Noop, NoopFail};
use jobs::submit::{enqueue, new_job};
use tests::System;
use uuid::Uuid;

use crate::hand::Hand;

fn keyed(key: &str) -> Noop {
    Noop { key: Some(key.to_owned()), effects: true, ..Noop::default() }
}

fn of_user(user: Uuid) -> Options {
    Options { user_id: Some(user), ..Options::default() }
}

/// Submits a keyed noop from 64 clients at once; the ids they were given, and how many made one.
async fn race(system: &System) -> (HashSet<Uuid>, usize) {
    let clients: Vec<_> = (0..64)
        .map(|_| {
            let jobs = system.jobs.clone();
            tokio::spawn(async move {
                jobs.submit(&keyed("one"), &of_user(Uuid::now_v7())).await.unwrap()
            })
        })
        .collect();
    let (mut ids, mut created) = (HashSet::new(), 0);
    for client in clients {
        let stored = client.await.unwrap();
        ids.insert(stored.id);
        created += usize::from(stored.created);
    }
    (ids, created)
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_clients_of_one_key_share_one_job_and_one_effect() {
    let mut system = System::builder().workers(0).start().await;
    let (ids, created) = race(&system).await;
    assert_eq!((ids.len(), created), (1, 1));
    assert_eq!(system.count("SELECT count(*) AS n FROM job_watchers").await, 64);
    system.add_worker().await;
    system.drain().await;
    assert_eq!(system.count("SELECT count(*) AS n FROM noop_effects").await, 1);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_clients_and_a_running_worker_lose_nobody() {
    let system = System::builder().workers(2).start().await;
    let (ids, created) = race(&system).await;
    assert_eq!(ids.len(), created, "an id is either made or joined");
    for id in ids {
        assert_eq!(system.finish(id).await.state, JobState::Succeeded);
    }
    let effects = system.count("SELECT count(*) AS n FROM noop_effects").await;
    assert_eq!(effects, created as i64);
    assert_eq!(system.count("SELECT count(*) AS n FROM job_watchers").await, 64);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_makes_a_job_more_urgent_never_less() {
    let mut system = System::builder().workers(0).start().await;
    let with = |priority| Options { priority: Some(priority), ..Options::default() };
    let job = system.jobs.submit(&keyed("a"), &with(Priority::Bulk)).await.unwrap();
    let urgent = system.jobs.submit(&keyed("a"), &with(Priority::Interactive)).await.unwrap();
    assert_eq!((urgent.id, urgent.created), (job.id, false));
    assert_eq!(system.job(job.id).await.priority, Priority::Interactive);
    let lane = jobs::Lane { queue: Queue::Upkeep, priority: Priority::Interactive };
    assert_eq!(system.jobs.tickets().len(lane).await, 1, "it waits in the urgent lane now");
    system.jobs.submit(&keyed("a"), &with(Priority::Normal)).await.unwrap();
    let joined = system.job(job.id).await;
    assert_eq!((joined.priority, joined.version), (Priority::Interactive, 3));
    system.add_worker().await;
    system.drain().await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_ended_holds_no_key() {
    let system = System::start().await;
    for fail in [None, Some(NoopFail::Fatal)] {
        let noop = Noop { fail, ..keyed("a") };
        let first = system.jobs.submit(&noop, &Options::default()).await.unwrap();
        system.finish(first.id).await;
        let second = system.jobs.submit(&noop, &Options::default()).await.unwrap();
        assert!(second.created && second.id != first.id);
        system.finish(second.id).await;
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_other_keys_and_of_no_key_stay_apart() {
    let system = System::builder().workers(0).start().await;
    let mut ids = HashSet::new();
    for noop in [keyed("a"), keyed("b"), Noop::default(), Noop::default()] {
        ids.insert(system.jobs.submit(&noop, &Options::default()).await.unwrap().id);
    }
    assert_eq!(ids.len(), 4);
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_a_job_that_was_asked_to_stop_revives_it() {
    let mut system = System::builder().workers(0).start().await;
    let (leaver, joiner) = (Uuid::now_v7(), Uuid::now_v7());
    let job = system.jobs.submit(&keyed("a"), &of_user(leaver)).await.unwrap();
    let hand = Hand::of(system.db()).await;
    let run = hand.take(job.id).await;
    let cancel = system.jobs.cancel(job.id, Leaver::User(leaver)).await.unwrap().unwrap();
    assert_eq!((cancel.shared, cancel.stop), (false, vec![job.id]));
    let joined = system.jobs.submit(&keyed("a"), &of_user(joiner)).await.unwrap();
    assert_eq!((joined.id, joined.created), (job.id, false));
    // The handler had seen the stop sign already.
    let settled = system.settle(run.fence(), &Settle::Cancelled).await.unwrap();
    assert_eq!((settled.job.state, settled.job.attempt), (JobState::Queued, 0));
    hand.sign_off().await;
    system.add_worker().await;
    let done = system.finish(job.id).await;
    assert_eq!((done.state, done.run, done.attempt), (JobState::Succeeded, 2, 1));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_joiner_gets_the_result_although_the_stop_was_on_its_way() {
    let system = System::start().await;
    let noop = Noop { ms: 200, ..keyed("a") };
    let (leaver, joiner) = (Uuid::now_v7(), Uuid::now_v7());
    let job = system.jobs.submit(&noop, &of_user(leaver)).await.unwrap();
    system.job_when(job.id, "it runs", |job| job.state == JobState::Running).await;
    // Both in one transaction: no handler can see the request before it is taken back.
    let tx = system.db().begin().await.unwrap();
    entity::job::cancel::cancel(&tx, job.id, Leaver::User(leaver)).await.unwrap();
    let joined = enqueue(&tx, &noop, &of_user(joiner)).await.unwrap();
    tx.commit().await.unwrap();
    // And the signal, late.
    system.jobs.tickets().publish(jobs::Signal::Stop(vec![job.id]));
    let done = system.finish(joined.id).await;
    assert_eq!(done.state, JobState::Succeeded);
    assert_eq!(system.count("SELECT count(*) AS n FROM noop_effects").await, 1);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_refused_while_another_job_holds_the_key() {
    let mut system = System::builder().workers(0).start().await;
    let first = system.jobs.submit(&keyed("a"), &Options::default()).await.unwrap();
    system.jobs.cancel(first.id, Leaver::Operator).await.unwrap();
    let second = system.jobs.submit(&keyed("a"), &Options::default()).await.unwrap();
    let refused = system.jobs.retry(first.id, None, "a test").await.unwrap();
    assert!(matches!(refused, Retried::KeyTaken));
    assert_eq!(system.job(first.id).await.state, JobState::Cancelled);
    system.add_worker().await;
    system.finish(second.id).await;
    let retried = system.jobs.retry(first.id, None, "a test").await.unwrap();
    assert!(matches!(retried, Retried::Queued(_)));
    assert_eq!(system.finish(first.id).await.state, JobState::Succeeded);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_two_thousand_joins_its_own_duplicates() {
    let mut system = System::builder()
        .workers(0)
        .engine(|engine| {
            engine.concurrency.insert(Queue::Upkeep, 256);
        })
        .start()
        .await;
    let user = Uuid::now_v7();
    let batch: Vec<_> = (0..2_000)
        .map(|n| {
            let noop = Noop { key: Some(format!("k{}", n % 1_500)), ..Noop::default() };
            new_job(&noop, &of_user(user)).unwrap()
        })
        .collect();
    let stored = system.jobs.submit_many(&batch).await.unwrap();
    assert_eq!(stored.len(), 2_000, "one answer per question, in order");
    let mut by_key = HashMap::new();
    for (new, stored) in batch.iter().zip(&stored) {
        let id = by_key.entry(new.key.clone()).or_insert(stored.id);
        assert_eq!(*id, stored.id);
    }
    assert_eq!(stored.iter().filter(|stored| stored.created).count(), 1_500);
    assert_eq!(by_key.values().collect::<HashSet<_>>().len(), 1_500);
    assert_eq!(system.count("SELECT count(*) AS n FROM job_watchers").await, 1_500);
    system.add_worker().await;
    system.drain().await;
    let ran = "SELECT count(*) AS n FROM jobs WHERE state = 'succeeded' AND run = 1";
    assert_eq!(system.count(ran).await, 1_500);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_exists_when_its_transaction_commits_and_not_before() {
    let system = System::start().await;
    let tx = system.db().begin().await.unwrap();
    enqueue(&tx, &keyed("a"), &Options::default()).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(system.count("SELECT count(*) AS n FROM jobs").await, 0);
    let job = system.jobs.submit(&keyed("a"), &Options::default()).await.unwrap();
    assert!(job.created);
    system.finish(job.id).await;
    system.end().await;
}
