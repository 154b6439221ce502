//! The life of a job, from its row's point of view.

use entity::enums::JobState;
use jobs::Options;
use jobs::kinds::noop::{Noop, NoopFail};
use tests::System;

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_once_and_succeeds() {
    let system = System::start().await;
    let noop = Noop { effects: true, ..Noop::default() };
    let job = system.jobs.submit(&noop, &Options::default()).await.unwrap();
    let done = system.finish(job.id).await;
    assert_eq!(done.state, JobState::Succeeded);
    assert_eq!((done.run, done.attempt, done.progress_done), (1, 1, 1));
    assert_eq!(system.count("SELECT count(*) AS n FROM noop_effects").await, 1);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_job_uses_its_attempts_and_says_why() {
    let system = System::start().await;
    let noop = Noop { fail: Some(NoopFail::Retry), ..Noop::default() };
    let job = system.jobs.submit(&noop, &Options::default()).await.unwrap();
    let done = system.finish(job.id).await;
    assert_eq!(done.state, JobState::Failed);
    assert_eq!((done.attempt, done.error_code.as_deref()), (3, Some("told_to")));
    assert_eq!(done.attempt_errors().len(), 3, "one entry per attempt");
    system.end().await;
}
