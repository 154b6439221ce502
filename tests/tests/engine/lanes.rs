//! Who goes first: lanes, slots, tickets, pauses, and what is not due.

use std::time::Duration;

use entity::enums::{JobState, Priority, Queue};
use entity::job::cancel::Leaver;
use entity::job::due;
use entity::{args, queue_control, sql};
use jobs::kinds::noop::Noop;
use jobs::submit::new_job;
use jobs::{Lane, Options};
use tests::{System, eventually};
use uuid::Uuid;

use crate::hand::Hand;

const RUNNING: &str = "SELECT count(*) AS n FROM jobs WHERE state = 'running'";

fn lane(priority: Priority) -> Lane {
    Lane { queue: Queue::Upkeep, priority }
}

fn of_user(user: Uuid) -> Options {
    Options { user_id: Some(user), ..Options::default() }
}

/// A job that goes on until it is cancelled.
fn endless() -> Noop {
    Noop { ms: 600_000, ..Noop::default() }
}

async fn submit_many(system: &System, job: &Noop, count: usize, options: &Options) -> Vec<Uuid> {
    let new = vec![new_job(job, options).unwrap(); count];
    system.jobs.submit_many(&new).await.unwrap().iter().map(|stored| stored.id).collect()
}

async fn cancel_open_jobs(system: &System) {
    for job in system.open_jobs().await {
        system.jobs.cancel(job.id, Leaver::Operator).await.unwrap();
    }
    system.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_more_jobs_than_slots_all_end() {
    let system = System::builder().without_upkeep().start().await;
    let ids = submit_many(&system, &Noop::default(), 100, &Options::default()).await;
    system.drain().await;
    for id in ids {
        let job = system.job(id).await;
        assert_eq!((job.state, job.run), (JobState::Succeeded, 1));
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_idle_worker_takes_its_share_of_a_batch() {
    let system = System::builder().workers(2).without_upkeep().start().await;
    submit_many(&system, &endless(), 12, &Options::default()).await;
    // Two workers of eight slots, two of them reserved.
    eventually("all twelve run", || async { (system.count(RUNNING).await == 12).then_some(()) })
        .await;
    cancel_open_jobs(&system).await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_work_never_takes_the_slots_of_people_who_wait() {
    let system = System::builder().start().await;
    submit_many(&system, &endless(), 20, &Options::default()).await;
    eventually("all slots but the reserved ones are taken", || async {
        (system.count(RUNNING).await == 6).then_some(())
    })
    .await;
    let urgent = Options { priority: Some(Priority::Interactive), ..Options::default() };
    let job = system.jobs.submit(&Noop::default(), &urgent).await.unwrap();
    assert_eq!(system.finish(job.id).await.state, JobState::Succeeded);
    assert_eq!(system.count(RUNNING).await, 6);
    cancel_open_jobs(&system).await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_holds_a_thousand_tickets_and_the_rest_waits_in_the_database() {
    let mut system = System::builder().workers(0).start().await;
    let ids = submit_many(&system, &Noop::default(), 1_200, &Options::default()).await;
    assert_eq!(system.jobs.tickets().len(lane(Priority::Normal)).await, 1_000);
    assert_eq!(system.open_jobs().await.len(), ids.len());
    system.add_worker().await;
    system.drain().await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wiped_tickets_come_back() {
    let mut system = System::builder().workers(0).without_upkeep().start().await;
    let ids = submit_many(&system, &Noop::default(), 50, &Options::default()).await;
    system.jobs.tickets().wipe().await;
    system.add_worker().await;
    assert_eq!(system.open_jobs().await.len(), ids.len(), "nothing starts without a ticket");
    system.upkeep.refill().await.unwrap();
    system.drain().await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_delivered_again_is_harmless() {
    let system = System::start().await;
    let noop = Noop { effects: true, ..Noop::default() };
    let job = system.jobs.submit(&noop, &Options::default()).await.unwrap();
    let done = system.finish(job.id).await;
    for _ in 0..3 {
        system.jobs.push(std::iter::once((job.id, "upkeep", Priority::Normal))).await;
        eventually("the ticket is taken", || async {
            (system.jobs.tickets().len(lane(Priority::Normal)).await == 0).then_some(())
        })
        .await;
    }
    // A later job has gone through the same lane: the tickets before it have been looked at.
    let later = system.jobs.submit(&Noop::default(), &Options::default()).await.unwrap();
    system.finish(later.id).await;
    assert_eq!(system.job(job.id).await, done);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_queue_starts_nothing_until_it_is_resumed() {
    let system = System::start().await;
    let db = system.db().write();
    queue_control::pause(db, "upkeep", "ops@example.test", "maintenance").await.unwrap();
    let job = system.jobs.submit(&Noop::default(), &Options::default()).await.unwrap();
    eventually("the ticket is dropped", || async {
        (system.jobs.tickets().len(lane(Priority::Normal)).await == 0).then_some(())
    })
    .await;
    system.upkeep.refill().await.unwrap();
    assert_eq!(system.jobs.tickets().len(lane(Priority::Normal)).await, 0);
    // Other queues go on.
    let fetch = Options { queue: Some(Queue::Fetch), ..Options::default() };
    let other = system.jobs.submit(&Noop::default(), &fetch).await.unwrap();
    assert_eq!(system.finish(other.id).await.state, JobState::Succeeded);
    let waiting = system.job(job.id).await;
    assert_eq!((waiting.state, waiting.run), (JobState::Queued, 0));
    let paused = queue_control::paused(system.db().read()).await.unwrap();
    assert_eq!(paused[0].paused_by.as_deref(), Some("ops@example.test"));
    assert!(queue_control::resume(db, "upkeep").await.unwrap());
    assert_eq!(system.finish(job.id).await.state, JobState::Succeeded);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_take_turns_within_a_lane() {
    let system = System::builder().workers(0).without_upkeep().start().await;
    let hand = Hand::of(system.db()).await;
    let (many, few) = (Uuid::now_v7(), Uuid::now_v7());
    let first = submit_many(&system, &Noop::default(), 30, &of_user(many)).await;
    let second = submit_many(&system, &Noop::default(), 2, &of_user(few)).await;
    let due = due::due(system.db().read(), &all_lanes(), 10).await.unwrap();
    let order: Vec<Uuid> = due.iter().map(|due| due.id).collect();
    assert_eq!(order.len(), 10, "no more than asked for");
    assert_eq!(order[..4], [first[0], second[0], first[1], second[1]]);
    assert_eq!(order[4..], first[2..8]);
    // Lanes do not stand in each other's way.
    let bulk = Options { priority: Some(Priority::Bulk), ..of_user(few) };
    let bulk = submit_many(&system, &Noop::default(), 1, &bulk).await;
    let due = due::due(system.db().read(), &all_lanes(), 10).await.unwrap();
    assert_eq!(due.len(), 11);
    assert_eq!((due[10].id, due[10].priority), (bulk[0], Priority::Bulk));
    hand.sign_off().await;
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_from_the_future_is_left_alone_and_reported() {
    let system = System::start().await;
    let id = Uuid::now_v7();
    let insert = "INSERT INTO jobs (id, kind, queue, payload, max_attempts, run_at, created_at) \
         VALUES (?, 'from_the_future', 'upkeep', ?, 3, {now}, {now})";
    let payload = serde_json::json!({ "what": "ever" });
    sql::execute(system.db().write(), insert, args![id, payload]).await.unwrap();
    let before = system.job(id).await;
    system.upkeep.sweep().await.unwrap();
    assert_eq!(system.jobs.tickets().len(lane(Priority::Normal)).await, 0);
    // Not even by a ticket that should not be there.
    system.jobs.push(std::iter::once((id, "upkeep", Priority::Normal))).await;
    let known = system.jobs.submit(&Noop::default(), &Options::default()).await.unwrap();
    assert_eq!(system.finish(known.id).await.state, JobState::Succeeded);
    let findings = system.upkeep.reconcile().await.unwrap();
    assert_eq!(findings.kinds_without_worker, 1);
    assert!(findings.is_clean());
    assert_eq!(system.job(id).await, before);
    system.end_with_open_jobs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delayed_job_gets_no_ticket_before_its_time() {
    let system = System::start().await;
    let later = Options { delay_ms: 60_000, ..Options::default() };
    let job = system.jobs.submit(&Noop::default(), &later).await.unwrap();
    assert!(!job.due);
    system.upkeep.refill().await.unwrap();
    assert_eq!(system.jobs.tickets().len(lane(Priority::Normal)).await, 0);
    system.jobs.push(std::iter::once((job.id, "upkeep", Priority::Normal))).await;
    let now = system.jobs.submit(&Noop::default(), &Options::default()).await.unwrap();
    system.finish(now.id).await;
    assert_eq!(system.job(job.id).await.run, 0, "a ticket too early starts nothing");
    system.advance(Duration::from_secs(60)).await;
    let done = system.job_when(job.id, "it ended", |job| job.state.is_done()).await;
    assert_eq!(done.state, JobState::Succeeded);
    assert!(done.started_at.unwrap() >= done.run_at);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_misses_its_deadline_fails_and_says_so() {
    let system = System::builder().workers(0).without_upkeep().start().await;
    let hand = Hand::of(system.db()).await;
    let deadline = entity::Time(system.now().await.0 + 60_000);
    let options = Options { deadline_at: Some(deadline), ..Options::default() };
    let late = system.jobs.submit(&Noop::default(), &options).await.unwrap();
    let on_time = system.jobs.submit(&Noop::default(), &options).await.unwrap();
    let run = hand.take(on_time.id).await;
    system.advance(Duration::from_secs(61)).await;
    assert!(hand.claim(&[late.id]).await.is_empty(), "too late to start");
    assert!(due::due(system.db().read(), &all_lanes(), 10).await.unwrap().is_empty());
    system.upkeep.fail_overdue().await.unwrap();
    let late = system.job(late.id).await;
    assert_eq!(late.state, JobState::Failed);
    assert_eq!(late.error_code.as_deref(), Some("deadline"));
    assert_eq!((late.run, late.attempt), (0, 0));
    assert_eq!(system.job(on_time.id).await, run, "what has started goes on");
    hand.die().await;
    system.jobs.cancel(on_time.id, Leaver::Operator).await.unwrap();
    system.upkeep.rescue().await.unwrap();
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_worker_jobs_only_wait() {
    let mut system = System::builder().workers(0).start().await;
    let job = system.jobs.submit(&Noop::default(), &Options::default()).await.unwrap();
    system.upkeep.sweep().await.unwrap();
    let waiting = system.job(job.id).await;
    assert_eq!((waiting.state, waiting.run, waiting.version), (JobState::Queued, 0, 1));
    system.add_worker().await;
    assert_eq!(system.finish(job.id).await.state, JobState::Succeeded);
    system.end().await;
}

/// Every lane there is.
fn all_lanes() -> Vec<(&'static str, entity::enums::Priority)> {
    let queues = entity::enums::Queue::ALL.iter();
    queues
        .flat_map(|queue| entity::enums::Priority::ALL.map(|priority| (queue.as_str(), priority)))
        .collect()
}
