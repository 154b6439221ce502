//! Servers that die, forget, or stop answering. Nobody restarts a worker.

use std::time::Duration;

use tests::cluster::{Cluster, Options};

use crate::storm::{Storm, lasting, lease_s};

async fn own_servers(name: &'static str) -> Storm {
    let options = Options { own_servers: true, lease_s: lease_s(), ..Options::default() };
    let storm = Storm::begin(name, Cluster::start(options).await).await;
    storm.until("jobs WHERE state = 'succeeded'", 20).await;
    storm
}

/// Every worker process is still the one that was started.
fn nobody_died(storm: &mut Storm) {
    for process in storm.cluster.workers.iter_mut().chain(&mut storm.cluster.apis) {
        assert!(process.ended().is_none(), "a process ended");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_killed_and_comes_back_empty() {
    let mut storm = own_servers("Redis kill -9").await;
    for _ in 0..lasting(2, 6).as_secs() {
        storm.cluster.redis.as_mut().unwrap().server.kill();
        tokio::time::sleep(lasting(2, 15)).await;
        storm.cluster.redis.as_mut().unwrap().server.start().unwrap();
        println!("resumed {:?} after Redis was back", storm.resumes().await);
    }
    nobody_died(&mut storm);
    storm.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_forgets_everything_again_and_again() {
    let mut storm = own_servers("Redis FLUSHALL").await;
    let client = redis::Client::open(storm.cluster.redis_url.as_str()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    for _ in 0..lasting(10, 120).as_secs() * 2 {
        for command in ["FLUSHALL", "SCRIPT"] {
            let mut forget = redis::cmd(command);
            if command == "SCRIPT" {
                forget.arg("FLUSH");
            }
            let () = forget.query_async(&mut connection).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    nobody_died(&mut storm);
    storm.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_stalls_and_drops_its_clients() {
    let mut storm = own_servers("Redis stall, CLIENT KILL").await;
    let redis = |storm: &Storm, signal: &str| {
        storm.cluster.redis.as_ref().unwrap().server.signal(signal).unwrap();
    };
    for _ in 0..lasting(1, 4).as_secs() {
        redis(&storm, "-STOP");
        tokio::time::sleep(lasting(4, 10)).await;
        redis(&storm, "-CONT");
        println!("resumed {:?} after the stall", storm.resumes().await);
        let client = redis::Client::open(storm.cluster.redis_url.as_str()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        for kind in ["normal", "pubsub"] {
            let mut kill = redis::cmd("CLIENT");
            kill.arg("KILL").arg("TYPE").arg(kind).arg("SKIPME").arg("yes");
            let _: i64 = kill.query_async(&mut connection).await.unwrap();
        }
        println!("resumed {:?} after CLIENT KILL", storm.resumes().await);
    }
    nobody_died(&mut storm);
    storm.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_restarted_under_load() {
    let mut storm = own_servers("Postgres restart").await;
    for crash in [false, true].into_iter().cycle().take(lasting(2, 6).as_secs() as usize) {
        let server = &mut storm.cluster.postgres.as_mut().unwrap().server;
        if crash {
            // Its children must be gone before it may start again.
            server.signal("-QUIT").unwrap();
        }
        server.stop();
        tokio::time::sleep(lasting(1, 8)).await;
        storm.cluster.postgres.as_mut().unwrap().server.start().unwrap();
        println!("resumed {:?} after Postgres listened again", storm.resumes().await);
    }
    nobody_died(&mut storm);
    storm.end().await;
}
