//! Many at once: racers for one key, a mountain of due rows, one user with ten thousand jobs.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use entity::enums::{Priority, Queue};
use farm::demo::Scripted;
use futures_util::future::join_all;
use jobs::Options as With;
use jobs::kinds::noop::Noop;
use jobs::submit::new_job;
use tests::cluster::{Cluster, Options, json, refresh};

use crate::storm::{Storm, lasting, lease_s, submit_noops};

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_racers_for_one_key_share_one_job() {
    let options = Options { apis: 2, lease_s: lease_s(), ..Options::default() };
    let storm = Storm::calm("64 racers on one key", Cluster::start(options).await);
    let mut tokens = vec![];
    for racer in 0..64 {
        tokens.push(storm.cluster.token(&format!("racer{racer}")).await.1);
    }
    for round in 0..lasting(3, 20).as_secs() {
        let handle = format!("race.{round}");
        // Longer than the last of them takes to come.
        let slow = Scripted::Delay(Duration::from_secs(3), Box::new(Scripted::Profile));
        storm.cluster.demo.script(&handle, vec![slow]);
        let (cluster, path) = (&storm.cluster, refresh(&handle));
        let posts = tokens.iter().enumerate().map(|(turn, token)| {
            let post = cluster.post(turn, &path, token).header("prefer", "wait=20");
            async move { json(post.send().await.unwrap(), 200).await }
        });
        let views = join_all(posts).await;
        let ids: BTreeSet<_> = views.iter().map(|view| view["id"].to_string()).collect();
        let states: BTreeSet<_> = views.iter().map(|view| view["state"].to_string()).collect();
        assert_eq!(ids.len(), 1, "one job for one handle");
        assert_eq!(states, ["\"succeeded\"".to_owned()].into());
        assert_eq!(cluster.demo.calls_for(&handle), 1);
        let id = views[0]["id"].as_str().unwrap().parse().unwrap();
        storm.acknowledged([id]).await;
    }
    storm.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mountain_of_rows_is_due_at_once() {
    let count = lasting(5_000, 100_000).as_secs() as usize;
    let options =
        Options { workers: 2, upkeep_slots: 64, lease_s: lease_s(), ..Options::default() };
    let storm = Storm::calm("rows due at once", Cluster::start(options).await);
    let noop = Noop::default();
    let upkeep = With { queue: Some(Queue::Upkeep), ..With::default() };
    let new = vec![new_job(&noop, &upkeep).unwrap(); 5_000];
    let began = Instant::now();
    for _ in 0..count / 5_000 {
        let stored = storm.cluster.jobs.submit_many(&new).await.unwrap();
        storm.acknowledged(stored.iter().map(|stored| stored.id)).await;
    }
    println!("{count} rows stored in {:?}", began.elapsed());
    let began = Instant::now();
    let left =
        || async { storm.cluster.count("jobs WHERE queue = 'upkeep' AND state = 'queued'").await };
    while left().await > 0 {
        assert!(began.elapsed() < lasting(120, 600), "{} left", left().await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let rate = count as f32 / began.elapsed().as_secs_f32();
    println!("{count} due rows worked off at {rate:.0}/s");
    storm.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_with_ten_thousand_bulk_jobs_does_not_hold_up_another() {
    let options = Options { workers: 1, lease_s: lease_s(), ..Options::default() };
    let storm = Storm::calm("10,000 bulk beside one", Cluster::start(options).await);
    let (many, _) = storm.cluster.token("many").await;
    let noop = Noop { ms: 20, ..Noop::default() };
    let bulk = With {
        queue: Some(Queue::Fetch),
        priority: Some(Priority::Bulk),
        user_id: Some(many),
        ..With::default()
    };
    let new = vec![new_job(&noop, &bulk).unwrap(); 10_000];
    let stored = storm.cluster.jobs.submit_many(&new).await.unwrap();
    let (_, token) = storm.cluster.token("single").await;
    let mut starts = vec![];
    for n in 0..5 {
        let post = storm.cluster.post(0, &refresh(&format!("single.{n}")), &token);
        let view = json(post.header("prefer", "wait=20").send().await.unwrap(), 200).await;
        let at = |field: &str| entity::time::parse_rfc3339(view[field].as_str().unwrap()).unwrap();
        starts.push(at("started_at").millis_since(at("created_at")));
    }
    println!("the one fetch beside 10,000 bulk jobs started after {starts:?} ms");
    let waiting = storm.cluster.count("jobs WHERE priority = 2 AND state = 'queued'").await;
    assert!(waiting > 5_000, "the bulk was still waiting: {waiting}");
    storm.acknowledged(submit_noops(&storm.cluster.jobs, 5, 1).await).await;
    // The rest of the mountain has shown what it can.
    for job in stored.chunks(1_000) {
        let ids: Vec<String> = job.iter().map(|job| format!("'{}'", job.id)).collect();
        let gone = format!("DELETE FROM jobs WHERE state = 'queued' AND id IN ({})", ids.join(","));
        entity::sql::execute(storm.cluster.db().write(), &gone, vec![]).await.unwrap();
    }
    storm.end().await;
}
