//! Three schedulers, of which one is killed at every tick.

use entity::{clock, sql};
use tests::cluster::{Cluster, Options};

use crate::storm::{lasting, lease_s};

#[derive(sea_orm::FromQueryResult)]
struct Tick {
    request_id: String,
    n: i64,
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tick_is_taken_once_although_a_scheduler_dies_at_each() {
    let options = Options { workers: 1, schedulers: 3, lease_s: lease_s(), ..Options::default() };
    let mut cluster = Cluster::start(options).await;
    let ticks = lasting(4, 40).as_secs() as i64;
    let db = cluster.db().clone();
    // A first start takes no tick: it notes where it begins.
    tests::eventually("the schedule has begun", || async {
        (cluster.count("schedules WHERE last_tick IS NOT NULL").await > 0).then_some(())
    })
    .await;
    for tick in 1..=ticks {
        // One hour later on the farm's clock: the next tick is due. Whoever starts takes it, and
        // three start, of which one is killed on the spot.
        let tx = db.begin().await.unwrap();
        clock::advance(&tx, 3_600_000).await.unwrap();
        tx.commit().await.unwrap();
        for scheduler in cluster.schedulers.drain(..) {
            scheduler.kill();
        }
        for _ in 0..3 {
            cluster.add_scheduler();
        }
        let at = rand::random_range(0..3);
        cluster.schedulers.remove(at).kill();
        tests::eventually("the tick is taken", || async {
            let taken = cluster
                .count("(SELECT DISTINCT request_id FROM jobs WHERE kind = 'prune') AS t")
                .await;
            (taken >= tick).then_some(())
        })
        .await;
        // Its job ends before the next one, which would join it.
        tests::eventually("its job has ended", || async {
            let open = "jobs WHERE kind = 'prune' AND finished_at IS NULL";
            (cluster.count(open).await == 0).then_some(())
        })
        .await;
    }
    let taken: Vec<Tick> = sql::all(
        db.read(),
        "SELECT request_id, count(*) AS n FROM jobs WHERE kind = 'prune' GROUP BY request_id",
        vec![],
    )
    .await
    .unwrap();
    println!("{ticks} ticks, {} taken, a scheduler killed at each", taken.len());
    assert_eq!(taken.len() as i64, ticks, "none missed");
    assert!(taken.iter().all(|tick| tick.n == 1), "none taken twice");
    assert!(taken.iter().all(|tick| tick.request_id.starts_with("schedule:prune:")));
    cluster.end().await;
}
