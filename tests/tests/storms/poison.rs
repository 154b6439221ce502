//! Jobs that kill, block or break whoever runs them.

use entity::enums::{JobState, Queue};
use jobs::kinds::noop::{Noop, NoopFail};
use jobs::submit::new_job;
use jobs::{Jobs, Options as With};
use tests::cluster::{Cluster, Options};
use uuid::Uuid;

use crate::storm::{Storm, lasting, lease_s};

async fn poison(jobs: &Jobs, fail: NoopFail) -> Uuid {
    let noop = Noop { fail: Some(fail), effects: true, ..Noop::default() };
    let fetch = With { queue: Some(Queue::Fetch), ..With::default() };
    let new = [new_job(&noop, &fetch).unwrap()];
    jobs.submit_many(&new).await.unwrap()[0].id
}

async fn end_of(storm: &mut Storm, id: Uuid) -> (JobState, String) {
    let began = std::time::Instant::now();
    loop {
        let job = entity::job::query::by_id(storm.cluster.db().read(), id).await.unwrap().unwrap();
        if job.state.is_done() {
            return (job.state, job.error_code.unwrap_or_default());
        }
        assert!(began.elapsed() < lasting(150, 300), "a poison job never ends: {job:?}");
        // What an orchestrator does with a process that died.
        storm.cluster.revive();
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_ends_and_takes_nobody_along() {
    let options = Options { workers: 2, lease_s: lease_s(), timeout_s: 2, ..Options::default() };
    let mut storm = Storm::calm("poison", Cluster::start(options).await);
    // A run that cannot be stopped costs its process a while; it is replaced by a fresh one.
    for (fail, code) in [
        (NoopFail::Panic, "panic"),
        (NoopFail::Abort, "poison"),
        (NoopFail::Overflow, "poison"),
        (NoopFail::Hang, "timeout"),
        (NoopFail::Spin, "timeout"),
    ] {
        let id = poison(&storm.cluster.jobs, fail).await;
        storm.acknowledged([id]).await;
        let ended = end_of(&mut storm, id).await;
        println!("{fail:?} ends as {ended:?}");
        assert_eq!(ended, (JobState::Failed, code.to_owned()), "{fail:?}");
    }
    // The worker that spun last has been replaced by a fresh one.
    let fresh = "workers WHERE lease_until > farm_now() AND NOT draining AND started_at > \
         (SELECT max(finished_at) FROM jobs)";
    storm.until(fresh, 1).await;
    storm.end().await;
}
