//! Workers that die, or seem to.

use std::time::Duration;

use tests::cluster::{Cluster, Options};

use crate::storm::{Storm, lasting, lease_s};

const RUNNING: &str = "jobs WHERE state = 'running' AND worker IS NOT NULL";

#[tokio::test(flavor = "multi_thread")]
async fn a_random_worker_is_killed_every_second() {
    let options = Options { apis: 2, lease_s: lease_s(), ..Options::default() };
    let mut storm = Storm::begin("kill -9 every second", Cluster::start(options).await).await;
    for _ in 0..lasting(6, 60).as_secs() {
        storm.until(RUNNING, 2).await;
        let at = rand::random_range(0..storm.cluster.workers.len());
        storm.lost_a_worker().await;
        storm.cluster.workers.remove(at).kill();
        storm.cluster.add_worker();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    storm.until("job_events WHERE event = 'rescued'", 1).await;
    storm.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_frozen_until_others_have_its_work_and_then_wakes() {
    let options = Options { lease_s: lease_s(), ..Options::default() };
    let mut storm = Storm::begin("SIGSTOP, later SIGCONT", Cluster::start(options).await).await;
    for _ in 0..lasting(2, 4).as_secs() {
        storm.until(RUNNING, 3).await;
        storm.lost_a_worker().await;
        let frozen = storm.cluster.workers.remove(0);
        frozen.signal("-STOP");
        tokio::time::sleep(lasting(5, 40)).await;
        frozen.signal("-CONT");
        storm.cluster.workers.push(frozen);
    }
    storm.until("job_events WHERE event = 'rescued'", 1).await;
    // It lives on, under another name.
    storm.until("workers WHERE lease_until > farm_now()", 3).await;
    storm.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_come_and_go_in_order() {
    let options = Options { workers: 1, lease_s: lease_s(), ..Options::default() };
    let mut storm = Storm::begin("1, 2, 4, 1 workers", Cluster::start(options).await).await;
    for workers in [2, 4, 1, 3, 1] {
        storm.until(RUNNING, 2).await;
        while storm.cluster.workers.len() < workers {
            storm.cluster.add_worker();
        }
        while storm.cluster.workers.len() > workers {
            let status = storm.cluster.workers.remove(0).stop();
            assert!(status.success(), "{status}");
        }
        tokio::time::sleep(lasting(1, 10)).await;
    }
    let lost = storm.cluster.count("jobs WHERE lost > 0").await;
    assert_eq!(lost, 0, "who is asked to go loses nothing");
    storm.end().await;
}
