//! Many who wait for jobs to change, by long poll and by stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use entity::job::cancel::Leaver;
use futures_util::StreamExt;
use futures_util::future::join_all;
use jobs::Options as With;
use jobs::kinds::noop::Noop;
use jobs::submit::new_job;
use tests::cluster::{Cluster, Options, json};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::storm::{lasting, lease_s};

/// Jobs that are waited for come up a minute later than anybody here waits.
fn later(user: Uuid) -> With {
    With { delay_ms: 3_600_000, user_id: Some(user), ..With::default() }
}

fn resident_kib(pid: u32) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4
}

fn percentile(times: &mut [Duration], part: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() - 1) * part / 100]
}

/// Resolves at the moment the waiter hears that its job has ended.
fn waiter(http: &reqwest::Client, url: String, token: String, stream: bool) -> JoinHandle<Instant> {
    let http = http.clone();
    tokio::spawn(async move {
        if stream {
            let answer = http.get(format!("{url}/events")).bearer_auth(token).send().await.unwrap();
            let mut body = answer.bytes_stream();
            let mut text = String::new();
            while !text.contains("\"cancelled\"") {
                let chunk = body.next().await.expect("the stream goes on").unwrap();
                text.push_str(&String::from_utf8_lossy(&chunk));
            }
            return Instant::now();
        }
        loop {
            let get = http.get(&url).bearer_auth(&token).header("prefer", "wait=25");
            let view = json(get.send().await.unwrap(), 200).await;
            if view["state"] == "cancelled" {
                return Instant::now();
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_reaches_whoever_waits_for_it() {
    let waiters = lasting(150, 1_000).as_secs() as usize;
    let options = Options { workers: 1, lease_s: lease_s(), ..Options::default() };
    let cluster = Cluster::start(options).await;
    let (user, token) = cluster.token("patient").await;
    let new = vec![new_job(&Noop::default(), &later(user)).unwrap(); waiters];
    let jobs = cluster.jobs.submit_many(&new).await.unwrap();
    let http = reqwest::Client::builder().timeout(Duration::from_secs(90)).build().unwrap();
    let api = cluster.apis[0].pid();
    // Connections and caches are there before anything is measured.
    for job in jobs.iter().take(50) {
        let url = cluster.url(0, &format!("/api/v1/jobs/{}", job.id));
        json(http.get(&url).bearer_auth(&token).send().await.unwrap(), 200).await;
    }
    let before = resident_kib(api);
    let waiting: Vec<_> = jobs
        .iter()
        .enumerate()
        .map(|(n, job)| {
            let url = cluster.url(0, &format!("/api/v1/jobs/{}", job.id));
            waiter(&http, url, token.clone(), n % 2 == 0)
        })
        .collect();
    tokio::time::sleep(lasting(3, 8)).await;
    let each = (resident_kib(api).saturating_sub(before)) as f64 / waiters as f64;
    // Somebody polls beside them, all the time.
    let stop = Arc::new(AtomicBool::new(false));
    let polls = tokio::spawn({
        let (http, stop, token) = (http.clone(), stop.clone(), token.clone());
        let url = cluster.url(0, &format!("/api/v1/jobs/{}", jobs[0].id));
        async move {
            let mut times = vec![];
            while !stop.load(Ordering::Relaxed) {
                let began = Instant::now();
                json(http.get(&url).bearer_auth(&token).send().await.unwrap(), 200).await;
                times.push(began.elapsed());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            times
        }
    });
    let mut told = vec![];
    for job in &jobs {
        cluster.jobs.cancel(job.id, Leaver::Operator).await.unwrap();
        told.push(Instant::now());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let heard = join_all(waiting).await;
    stop.store(true, Ordering::Relaxed);
    let mut polls = polls.await.unwrap();
    let mut delays: Vec<Duration> = heard
        .into_iter()
        .zip(&told)
        .map(|(heard, told)| heard.unwrap().saturating_duration_since(*told))
        .collect();
    println!(
        "{waiters} waiters: a change reaches them after p50 {:?}, p99 {:?}; GET job beside them \
         p50 {:?}, p99 {:?}; {each:.1} KiB of the front door's memory each",
        percentile(&mut delays, 50),
        percentile(&mut delays, 99),
        percentile(&mut polls, 50),
        percentile(&mut polls, 99),
    );
    cluster.end().await;
}
