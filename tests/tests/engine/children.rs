//! Children: a parent waits for them without a slot and ends with the last.

use std::cell::RefCell;
use std::time::Duration;

use entity::enums::{JobState, Queue};
use entity::job::cancel::Leaver;
use entity::job::end::{self, Settle};
use entity::job::query::{self, Children, Viewer};
use entity::job::{Fence, Model, enqueue};
use entity::{args, job_watcher, sql};
use farm::demo::Scripted;
use jobs::Options;
use jobs::kinds::bulk_profiles::BulkProfiles;
use jobs::kinds::noop::Noop;
use jobs::kinds::profile_fetch::ProfileFetch;
use jobs::submit::new_job;
use serde_json::json;
use tests::{Builder, System, eventually, on_cluster};
use uuid::Uuid;

use crate::hand::Hand;

fn bulk(names: &[&str]) -> BulkProfiles {
    let usernames = names.iter().map(|name| name.parse().unwrap()).collect();
    BulkProfiles { usernames, force_refresh: false }
}

fn of_user(user: Uuid) -> Options {
    Options { user_id: Some(user), ..Options::default() }
}

fn later(ms: u64) -> Vec<Scripted> {
    vec![Scripted::Delay(Duration::from_millis(ms), Box::new(Scripted::Profile))]
}

/// A system whose provider may be silent as long as a story likes.
fn patient() -> Builder {
    System::builder().call_timeout(Duration::from_secs(50))
}

/// Waits until the parent has handed over to this many open children.
async fn handed_over(system: &System, id: Uuid, open: i32) -> Model {
    let what = format!("{open} children are open");
    system.job_when(id, &what, |job| job.waits_for_children() && job.children_open == open).await
}

async fn child(system: &System, parent: Uuid, name: &str) -> Model {
    for id in job_watcher::children(system.db().read(), parent).await.unwrap() {
        let job = system.job(id).await;
        if job.payload["username"] == name {
            return job;
        }
    }
    panic!("{parent} has no child {name}");
}

async fn children(system: &System, id: Uuid) -> Children {
    query::seen(system.db().read(), Viewer::Admin, &[id]).await.unwrap()[0].children
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_waits_without_a_slot_and_ends_with_its_last_child() {
    // One slot: a parent that kept it would wait for ever.
    let system = System::builder()
        .engine(|engine| {
            engine.concurrency.insert(Queue::Fetch, 1);
        })
        .start()
        .await;
    let names = ["demo_travel", "demo_food", "demo_fitness"];
    let parent = system.jobs.submit(&bulk(&names), &Options::default()).await.unwrap();
    let done = system.finish(parent.id).await;
    assert_eq!((done.state, done.children_open, done.stage), (JobState::Succeeded, 0, None));
    let ids = job_watcher::children(system.db().read(), parent.id).await.unwrap();
    assert_eq!(ids.len(), 3);
    let mut last = done.created_at;
    for id in &ids {
        let job = system.job(*id).await;
        assert_eq!((job.state, job.parent_id), (JobState::Succeeded, Some(parent.id)));
        last = last.max(job.finished_at.unwrap());
    }
    assert!(done.finished_at.unwrap() >= last);
    let told: Vec<Uuid> = serde_json::from_value(done.result.unwrap()["jobs"].clone()).unwrap();
    assert!(told.len() == 3 && told.iter().all(|id| ids.contains(id)));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_shows_the_progress_of_its_children_and_it_never_falls() {
    let system = System::start().await;
    let names = ["demo_travel", "demo_food", "demo_fitness", "demo_missing"];
    for (name, ms) in names.iter().zip([100, 200, 300]) {
        system.demo.script(name, later(ms));
    }
    let client = system.as_user("ann").await;
    let options = of_user(system.user("ann").await.id);
    let parent = system.jobs.submit(&bulk(&names), &options).await.unwrap();
    let path = format!("/api/v1/jobs/{}", parent.id);
    let percents = RefCell::new(vec![0]);
    eventually("the parent ended", || async {
        let view = client.get(&path).await.expect(200).json;
        percents.borrow_mut().extend(view["progress"]["percent"].as_i64());
        view["done"].as_bool().unwrap().then_some(())
    })
    .await;
    let percents = percents.into_inner();
    assert!(percents.is_sorted(), "{percents:?}");
    assert_eq!(percents.last(), Some(&100));
    let sums = children(&system, parent.id).await;
    let want =
        Children { total: 4, succeeded: 3, failed: 1, done_steps: 12, total_steps: 12, share: 1.0 };
    assert_eq!(sums, want);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_fails_is_counted_and_does_not_fail_the_parent() {
    let system = System::start().await;
    let names = ["demo_travel", "demo_missing"];
    let parent = system.jobs.submit(&bulk(&names), &Options::default()).await.unwrap();
    assert_eq!(system.finish(parent.id).await.state, JobState::Succeeded);
    let missing = child(&system, parent.id, "demo_missing").await;
    assert_eq!(missing.state, JobState::Failed);
    assert_eq!(missing.error_code.as_deref(), Some("not_found"));
    let sums = children(&system, parent.id).await;
    assert_eq!((sums.total, sums.succeeded, sums.failed), (2, 1, 1));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_may_belong_to_two_parents_and_runs_once() {
    let system = patient().start().await;
    system.demo.script("demo_travel", later(700));
    let one = system.jobs.submit(&bulk(&["demo_travel"]), &Options::default()).await.unwrap();
    handed_over(&system, one.id, 1).await;
    let names = ["demo_travel", "demo_food"];
    let two = system.jobs.submit(&bulk(&names), &Options::default()).await.unwrap();
    system.drain().await;
    let shared = child(&system, one.id, "demo_travel").await;
    assert_eq!(child(&system, two.id, "demo_travel").await, shared);
    assert_eq!(system.demo.calls_for("demo_travel"), 1);
    for parent in [one.id, two.id] {
        let parent = system.job(parent).await;
        assert_eq!((parent.state, parent.children_open), (JobState::Succeeded, 0));
        assert!(parent.finished_at >= shared.finished_at);
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_given_twice_is_one_child() {
    let system = System::start().await;
    let names = ["demo_travel", "demo_travel"];
    let parent = system.jobs.submit(&bulk(&names), &Options::default()).await.unwrap();
    assert_eq!(system.finish(parent.id).await.state, JobState::Succeeded);
    assert_eq!(children(&system, parent.id).await.total, 1);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_a_parent_cancels_the_children_nobody_else_waits_for() {
    let system = patient().start().await;
    system.demo.script("demo_travel", later(700));
    system.demo.script("demo_food", vec![Scripted::Hang]);
    let (ann, bob) = (system.user("ann").await.id, system.user("bob").await.id);
    let names = ["demo_travel", "demo_food"];
    let parent = system.jobs.submit(&bulk(&names), &of_user(ann)).await.unwrap();
    handed_over(&system, parent.id, 2).await;
    let travel = child(&system, parent.id, "demo_travel").await;
    let food = child(&system, parent.id, "demo_food").await;
    let fetch = ProfileFetch::of("demo_travel".parse().unwrap());
    assert_eq!(system.jobs.submit(&fetch, &of_user(bob)).await.unwrap().id, travel.id);
    system.job_when(food.id, "it runs", |job| job.worker.is_some()).await;
    let cancel = system.jobs.cancel(parent.id, Leaver::User(ann)).await.unwrap().unwrap();
    assert_eq!((cancel.job.state, cancel.stop), (JobState::Cancelled, vec![food.id]));
    assert_eq!(system.finish(food.id).await.state, JobState::Cancelled);
    assert_eq!(system.finish(travel.id).await.state, JobState::Succeeded);
    assert_eq!(system.job(parent.id).await.state, JobState::Cancelled, "an end is an end");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_asked_to_stop_while_it_prepares_starts_no_children() {
    let system = System::builder().without_upkeep().start().await;
    let tx = system.db().begin().await.unwrap();
    let new = [new_job(&bulk(&["demo_travel"]), &Options::default()).unwrap()];
    let parent = enqueue::enqueue_many(&tx, &new).await.unwrap().remove(0);
    tx.commit().await.unwrap();
    // While the one writer is held, the claim waits for it, and the cancel behind the claim: the
    // handler is asked to stop before it can write anything.
    let held = system.db().begin().await.unwrap();
    if on_cluster() {
        // What a claim reads: there the cancel comes first.
        let lock = "LOCK TABLE queue_controls IN ACCESS EXCLUSIVE MODE";
        entity::sql::execute(&held, lock, vec![]).await.unwrap();
    }
    system.jobs.announce(std::slice::from_ref(&parent)).await;
    let lane = jobs::Lane { queue: Queue::Fetch, priority: parent.priority };
    eventually("the ticket is taken", || async {
        (system.jobs.tickets().len(lane).await == 0).then_some(())
    })
    .await;
    let cancel = system.jobs.cancel(parent.id, Leaver::Operator);
    if on_cluster() {
        cancel.await.unwrap();
        held.rollback().await.unwrap();
    } else {
        let (cancelled, released) = tokio::join!(cancel, held.rollback());
        released.unwrap();
        cancelled.unwrap();
    }
    assert_eq!(system.finish(parent.id).await.state, JobState::Cancelled);
    assert_eq!(system.count("SELECT count(*) AS n FROM jobs").await, 1);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_ends_although_an_operator_cancelled_its_child() {
    let system = patient().start().await;
    system.demo.script("demo_travel", vec![Scripted::Hang]);
    let parent = system.jobs.submit(&bulk(&["demo_travel"]), &Options::default()).await.unwrap();
    handed_over(&system, parent.id, 1).await;
    let travel = child(&system, parent.id, "demo_travel").await;
    system.jobs.cancel(travel.id, Leaver::Operator).await.unwrap();
    assert_eq!(system.finish(travel.id).await.state, JobState::Cancelled);
    assert_eq!(system.finish(parent.id).await.state, JobState::Succeeded);
    assert_eq!(children(&system, parent.id).await.failed, 1);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_waits_again_for_a_child_that_is_retried() {
    let system = patient().start().await;
    system.demo.script("demo_food", vec![Scripted::Hang]);
    let names = ["demo_missing", "demo_food"];
    let parent = system.jobs.submit(&bulk(&names), &Options::default()).await.unwrap();
    handed_over(&system, parent.id, 1).await;
    let missing = child(&system, parent.id, "demo_missing").await;
    assert_eq!(missing.state, JobState::Failed);
    system.jobs.retry(missing.id, None, "a test").await.unwrap();
    assert_eq!(system.finish(missing.id).await.state, JobState::Failed);
    let waiting = system.job(parent.id).await;
    assert_eq!((waiting.state, waiting.children_open), (JobState::Running, 1));
    assert!(system.upkeep.reconcile().await.unwrap().is_clean());
    let food = child(&system, parent.id, "demo_food").await;
    system.jobs.cancel(food.id, Leaver::Operator).await.unwrap();
    assert_eq!(system.finish(parent.id).await.state, JobState::Succeeded);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retried_parent_counts_its_new_children_only() {
    let system = patient().start().await;
    system.demo.script("demo_travel", vec![Scripted::Hang, Scripted::Profile]);
    let parent = system.jobs.submit(&bulk(&["demo_travel"]), &Options::default()).await.unwrap();
    handed_over(&system, parent.id, 1).await;
    let travel = child(&system, parent.id, "demo_travel").await;
    system.job_when(travel.id, "it is asked for", |job| job.calls_made > 0).await;
    eventually("the provider is asked", || async {
        (system.demo.calls_for("demo_travel") == 1).then_some(())
    })
    .await;
    system.jobs.cancel(parent.id, Leaver::Operator).await.unwrap();
    assert_eq!(system.finish(travel.id).await.state, JobState::Cancelled);
    system.jobs.retry(parent.id, None, "a test").await.unwrap();
    assert_eq!(system.finish(parent.id).await.state, JobState::Succeeded);
    let sums = children(&system, parent.id).await;
    assert_eq!((sums.total, sums.succeeded, sums.failed), (1, 1, 0));
    system.end().await;
}

/// A noop claimed by hand that hands over to one noop child; both fences.
async fn family(system: &System, hand: &Hand<'_>, must_succeed: bool) -> (Uuid, Fence) {
    let parent = system.jobs.submit(&Noop::default(), &Options::default()).await.unwrap();
    let run = hand.take(parent.id).await;
    let child = hand_over(system, run.fence(), must_succeed).await;
    (parent.id, hand.take(child).await.fence())
}

async fn hand_over(system: &System, fence: Fence, must_succeed: bool) -> Uuid {
    let options = Options { parent_id: Some(fence.id), ..Options::default() };
    let tx = system.db().begin().await.unwrap();
    end::hand_to_children(&tx, fence, json!({}), must_succeed).await.unwrap().unwrap();
    let new = [new_job(&Noop::default(), &options).unwrap()];
    let child = enqueue::enqueue_many(&tx, &new).await.unwrap().remove(0);
    end::set_children_open(&tx, fence.id, 1).await.unwrap();
    tx.commit().await.unwrap();
    child.id
}

fn fail() -> Settle {
    Settle::Fail { code: "c".into(), message: "m".into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_insists_fails_with_its_child() {
    let system = System::builder().workers(0).without_upkeep().start().await;
    let hand = Hand::of(system.db()).await;
    for (must_succeed, end) in [(true, JobState::Failed), (false, JobState::Succeeded)] {
        let (parent, child) = family(&system, &hand, must_succeed).await;
        let settled = system.settle(child, &fail()).await.unwrap();
        assert_eq!(settled.changed, [child.id, parent]);
        let parent = system.job(parent).await;
        assert_eq!(parent.state, end);
        assert_eq!(parent.error_code.is_some(), must_succeed);
    }
    hand.sign_off().await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_goes_up_through_every_generation() {
    let system = System::builder().workers(0).without_upkeep().start().await;
    let hand = Hand::of(system.db()).await;
    let (grandparent, parent) = family(&system, &hand, true).await;
    let child = hand_over(&system, parent, true).await;
    let child = hand.take(child).await.fence();
    let tx = system.db().begin().await.unwrap();
    let (ended, parents) = end::finish_many(&tx, &[(child, json!({}))], 1_000).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!((ended, parents), (vec![child.id], vec![parent.id, grandparent]));
    for id in [grandparent, parent.id] {
        let job = system.job(id).await;
        assert_eq!((job.state, job.children_open), (JobState::Succeeded, 0));
    }
    hand.sign_off().await;
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reconciler_mends_a_wrong_count_of_children() {
    let system = System::builder().workers(0).without_upkeep().start().await;
    let hand = Hand::of(system.db()).await;
    let (parent, child) = family(&system, &hand, false).await;
    let set = "UPDATE jobs SET children_open = ? WHERE id = ?";
    for wrong in [0, 7] {
        sql::execute(system.db().write(), set, args![wrong, parent]).await.unwrap();
        assert_eq!(system.upkeep.reconcile().await.unwrap().parents_off, 1);
        let mended = system.job(parent).await;
        assert_eq!((mended.state, mended.children_open), (JobState::Running, 1));
        assert!(system.upkeep.reconcile().await.unwrap().is_clean());
    }
    // A parent that would wait for nobody is ended.
    sql::execute(system.db().write(), set, args![7, parent]).await.unwrap();
    system.settle(child, &fail()).await.unwrap();
    assert_eq!(system.job(parent).await.state, JobState::Running);
    assert_eq!(system.upkeep.reconcile().await.unwrap().parents_off, 1);
    assert_eq!(system.job(parent).await.state, JobState::Succeeded);
    hand.sign_off().await;
    system.end().await;
}
