//! More workers do more, and keep common limits together.

use std::time::{Duration, Instant};

use jobs::Options as With;
use jobs::kinds::profile_fetch::ProfileFetch;
use jobs::submit::new_job;
use tests::cluster::{Cluster, Options};

use crate::storm::{lasting, lease_s};

const SUCCEEDED: &str = "jobs WHERE state = 'succeeded'";

async fn fetches(cluster: &Cluster, name: &str, count: usize) {
    let new: Vec<_> = (0..count)
        .map(|n| {
            let handle = format!("{name}.{n}").parse().unwrap();
            new_job(&ProfileFetch::of(handle), &With::default()).unwrap()
        })
        .collect();
    cluster.jobs.submit_many(&new).await.unwrap();
}

async fn done(cluster: &Cluster) -> i64 {
    cluster.count(SUCCEEDED).await
}

#[tokio::test(flavor = "multi_thread")]
async fn twice_the_workers_fetch_twice_as_much() {
    let options = Options {
        workers: 1,
        lease_s: lease_s(),
        latency: Duration::from_secs(1),
        ..Options::default()
    };
    let mut cluster = Cluster::start(options).await;
    let window = lasting(5, 30);
    let mut rates = vec![];
    fetches(&cluster, "replica", 40 * window.as_secs() as usize * 3).await;
    for workers in [1, 2, 4] {
        while cluster.workers.len() < workers {
            cluster.add_worker();
        }
        // Until every slot is taken.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let (before, began) = (done(&cluster).await, Instant::now());
        tokio::time::sleep(window).await;
        rates.push((done(&cluster).await - before) as f64 / began.elapsed().as_secs_f64());
    }
    println!(
        "1, 2, 4 workers: {rates:.1?} fetches/s, {:.2} and {:.2} times the first",
        rates[1] / rates[0],
        rates[2] / rates[0]
    );
    // Four to one in the middle of it: nothing is lost, nothing is repeated.
    while cluster.workers.len() > 1 {
        assert!(cluster.workers.remove(0).stop().success());
    }
    assert_eq!(cluster.count("jobs WHERE lost > 0 OR state = 'failed'").await, 0);
    let repeated = "profiles WHERE refresh_count > 1";
    assert_eq!(cluster.count(repeated).await, 0);
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn four_workers_keep_one_rate_together() {
    let options = Options {
        workers: 4,
        lease_s: lease_s(),
        rate: 20,
        latency: Duration::from_millis(50),
        ..Options::default()
    };
    let cluster = Cluster::start(options).await;
    let window = lasting(6, 60);
    fetches(&cluster, "limited", 40 + 22 * window.as_secs() as usize).await;
    tokio::time::sleep(window + Duration::from_secs(1)).await;
    let calls = cluster.demo.calls();
    let first = calls[0].at;
    let within = |from: Duration, to: Duration| {
        calls.iter().filter(|call| (from..to).contains(&(call.at - first))).count()
    };
    let all = within(Duration::ZERO, window);
    let most = 20 * window.as_secs() as usize + 20;
    // After the burst, second by second.
    let steady = within(Duration::from_secs(1), window);
    let share = steady as f64 / (20.0 * (window.as_secs_f64() - 1.0));
    println!("{all} calls in {window:?}, at most {most} allowed; {:.1} % of 20/s", share * 100.0);
    // The first call may have been slow to arrive, by which all others seem early: a second's worth.
    assert!(all <= most + 20, "{all} calls in {window:?}");
    cluster.end().await;
}
