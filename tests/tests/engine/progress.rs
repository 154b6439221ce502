//! Progress: stages in their order, and done steps that never fall.

use std::time::Duration;

use entity::enums::JobState;
use entity::job::end::Settle;
use entity::job::progress::{self, Progress};
use farm::demo::Scripted;
use jobs::kinds::noop::Noop;
use jobs::kinds::profile_fetch::ProfileFetch;
use jobs::{Job, Options};
use tests::{System, eventually};

use crate::hand::Hand;

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_goes_through_its_stages_and_never_back() {
    let system = System::start().await;
    // Longer than the second between two writes of progress.
    let slow = Scripted::Delay(Duration::from_millis(1_300), Box::new(Scripted::Profile));
    system.demo.script("demo_travel", vec![slow]);
    let fetch = ProfileFetch::of("demo_travel".parse().unwrap());
    let id = system.jobs.submit(&fetch, &Options::default()).await.unwrap().id;
    let mut seen = vec![system.job(id).await];
    while !seen.last().unwrap().state.is_done() {
        let version = seen.last().unwrap().version;
        let next = eventually("it changed", || async {
            let job = system.job(id).await;
            (job.version > version).then_some(job)
        });
        seen.push(next.await);
    }
    let done = seen.last().unwrap();
    assert_eq!((done.state, done.progress_total), (JobState::Succeeded, Some(3)));
    assert_eq!((done.progress_done, done.stage.as_deref()), (3, None));
    assert!(seen.iter().map(|job| job.progress_done).is_sorted());
    let declared = ProfileFetch::POLICY.stages;
    let stages: Vec<usize> = seen
        .iter()
        .filter_map(|job| job.stage.as_deref())
        .map(|stage| declared.iter().position(|declared| *declared == stage).unwrap())
        .collect();
    assert!(stages.is_sorted() && stages.contains(&0), "{stages:?}");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_attempt_does_not_take_progress_back() {
    let system = System::builder().workers(0).without_upkeep().start().await;
    let hand = Hand::of(system.db()).await;
    let mut new = jobs::submit::new_job(&Noop::default(), &Options::default()).unwrap();
    new.progress_total = Some(5);
    let id = system.jobs.submit_many(&[new]).await.unwrap()[0].id;
    let db = system.db().write();
    let run = hand.take(id).await;
    for (done, shown) in [(1, 1), (3, 3), (2, 3)] {
        let changed = progress::write(db, &[(run.fence(), Progress { stage: "work", done })]).await;
        assert_eq!(changed.unwrap(), [id]);
        assert_eq!(system.job(id).await.progress_done, shown);
    }
    let retry = Settle::Retry { code: "c".into(), message: "m".into(), delay_ms: 0 };
    system.settle(run.fence(), &retry).await.unwrap();
    let again = hand.take(id).await;
    assert_eq!(again.progress_done, 3);
    progress::write(db, &[(again.fence(), Progress { stage: "work", done: 0 })]).await.unwrap();
    assert_eq!(system.job(id).await.progress_done, 3);
    // Between two attempts nothing is written, whoever says so.
    system.settle(again.fence(), &retry).await.unwrap();
    let waiting = system.job(id).await;
    let far = Progress { stage: "work", done: 5 };
    let changed = progress::write(db, &[(again.fence(), far), (run.fence(), far)]).await.unwrap();
    assert!(changed.is_empty());
    assert_eq!(system.job(id).await, waiting);
    hand.sign_off().await;
    system.end_with_open_jobs().await;
}
