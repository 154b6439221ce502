//! Shutdown: what runs may finish for a while; the rest goes back as if it had never begun.

use std::time::Duration;

use entity::enums::JobState;
use jobs::Options;
use jobs::kinds::noop::Noop;
use jobs::submit::new_job;
use tests::{System, eventually};
use uuid::Uuid;

const RUNNING: &str = "SELECT count(*) AS n FROM jobs WHERE state = 'running'";

async fn submit_many(system: &System, ms: u64, count: usize) -> Vec<Uuid> {
    let noop = Noop { ms, effects: true, ..Noop::default() };
    let new = vec![new_job(&noop, &Options::default()).unwrap(); count];
    system.jobs.submit_many(&new).await.unwrap().iter().map(|stored| stored.id).collect()
}

async fn until_running(system: &System, count: i64) {
    eventually("they run", || async { (system.count(RUNNING).await == count).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_finish_in_time_goes_back_with_its_attempt() {
    let mut system =
        System::builder().engine(|engine| engine.grace = Duration::from_millis(100)).start().await;
    let ids = submit_many(&system, 1_000, 6).await;
    until_running(&system, 6).await;
    system.stop_worker().await;
    for id in &ids {
        let job = system.job(*id).await;
        assert_eq!((job.state, job.run, job.attempt), (JobState::Queued, 1, 0));
        assert_eq!((job.lost, job.worker), (0, None));
        assert!(job.attempt_errors().is_empty(), "nothing went wrong with it");
    }
    let none = entity::worker::live(system.db().read()).await.unwrap();
    assert!(none.is_empty(), "it signed off");
    system.add_worker().await;
    system.drain().await;
    for id in &ids {
        let job = system.job(*id).await;
        assert_eq!((job.state, job.run, job.attempt), (JobState::Succeeded, 2, 1));
    }
    assert_eq!(system.count("SELECT count(*) AS n FROM noop_effects").await, 6);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_finishes_in_time_finishes_and_nothing_new_begins() {
    let mut system = System::start().await;
    let ids = submit_many(&system, 400, 10).await;
    until_running(&system, 6).await;
    // A row says so as soon as it is claimed; what has not begun by then need not be finished.
    tokio::time::sleep(Duration::from_millis(150)).await;
    system.stop_worker().await;
    let (mut ended, mut waiting) = (0, 0);
    for id in &ids {
        let job = system.job(*id).await;
        match job.state {
            JobState::Succeeded => ended += 1,
            JobState::Queued if job.attempt == 0 => waiting += 1,
            _ => panic!("{job:?}"),
        }
    }
    // How many had begun depends on the machine: one that was claimed in the moment of the stop
    // goes back, and where some ended before it, others had taken their place.
    assert!(ended >= 1 && ended + waiting == ids.len(), "{ended} ended, {waiting} wait");
    let effects = system.count("SELECT count(*) AS n FROM noop_effects").await;
    assert_eq!(effects, ended as i64, "and what went back left nothing");
    let late = system.jobs.submit(&Noop::default(), &Options::default()).await.unwrap();
    assert_eq!(system.job(late.id).await.state, JobState::Queued);
    system.add_worker().await;
    system.drain().await;
    assert_eq!(system.count("SELECT count(*) AS n FROM noop_effects").await, 10);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_may_come_and_go_in_the_middle_of_it() {
    let mut system =
        System::builder().engine(|engine| engine.grace = Duration::from_millis(20)).start().await;
    submit_many(&system, 50, 120).await;
    for step in [1, 2, 3] {
        eventually("some have ended", || async {
            let ended = "SELECT count(*) AS n FROM jobs WHERE state = 'succeeded'";
            (system.count(ended).await >= step * 12).then_some(())
        })
        .await;
        system.add_worker().await;
        system.add_worker().await;
        system.stop_worker().await;
    }
    for _ in 0..3 {
        system.stop_worker().await;
    }
    system.drain().await;
    assert_eq!(system.count("SELECT count(*) AS n FROM noop_effects").await, 120);
    assert_eq!(system.count("SELECT sum(lost) AS n FROM jobs").await, 0, "nobody was lost");
    let ended = "SELECT count(*) AS n FROM jobs WHERE state = 'succeeded' AND attempt = 1";
    assert_eq!(system.count(ended).await, 120);
    system.end().await;
}
