//! The schedule as it really runs: woken by the cron stream, which goes by the host's clock, while
//! only the farm's clock decides.

use std::collections::BTreeSet;
use std::time::Duration;

use entity::time::wall_now;
use entity::{Time, clock, sql};
use scheduler::{Entry, Schedule};
use tests::{System, eventually};
use tokio_util::sync::CancellationToken;

use crate::schedule::{noop, row};

const SUCCEEDED: &str = "SELECT count(*) AS n FROM jobs WHERE state = 'succeeded'";

#[tokio::test(flavor = "multi_thread")]
async fn two_schedulers_on_the_stream_take_every_second_once() {
    let system = System::start().await;
    let entry = Entry { name: "second", cron: "* * * * * *", job: noop };
    let stop = CancellationToken::new();
    let mut running = vec![];
    for _ in 0..2 {
        let ours = Schedule::new(system.jobs.clone(), &[entry]).unwrap();
        running.push(tokio::spawn(ours.run_until(stop.clone())));
    }
    eventually("three ticks have run", || async {
        (system.count(SUCCEEDED).await >= 3).then_some(())
    })
    .await;
    stop.cancel();
    for scheduler in running {
        scheduler.await.unwrap();
    }
    system.drain().await;
    let all = sql::rows(system.db().read(), "SELECT request_id FROM jobs", vec![]).await.unwrap();
    let ticks: BTreeSet<String> =
        all.iter().map(|row| row.try_get("", "request_id").unwrap()).collect();
    assert_eq!(ticks.len(), all.len(), "each once");
    assert!(row(&system, "second").await.last_tick.unwrap() <= system.now().await);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_clock_is_ahead_waits_for_the_farms_and_misses_nothing() {
    let system = System::builder().workers(0).without_upkeep().start().await;
    // The farm's clock is two seconds behind this host's.
    let tx = system.db().begin().await.unwrap();
    clock::advance(&tx, -2_000).await.unwrap();
    tx.commit().await.unwrap();
    // One tick a day, in a second or two; the sweep would come to it only in a minute.
    let tick = Time((wall_now().0 / 1_000 + 2) * 1_000);
    let cron = tick.utc().format("%-S %-M %-H * * *").to_string();
    let entry = Entry { name: "daily", cron: cron.leak(), job: noop };
    let ours = Schedule::new(system.jobs.clone(), &[entry]).unwrap();
    ours.pass().await.unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(ours.run_until(stop.clone()));
    let taken_at =
        eventually("the tick is taken", || async { row(&system, "daily").await.taken_at }).await;
    assert!(taken_at >= tick, "not before the farm's clock came to it");
    assert!(wall_now().0 - tick.0 >= Duration::from_secs(2).as_millis() as i64);
    assert_eq!(row(&system, "daily").await.last_tick, Some(tick));
    assert_eq!(system.open_jobs().await.len(), 1);
    stop.cancel();
    running.await.unwrap();
    system.end_with_open_jobs().await;
}
