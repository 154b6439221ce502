//! Work that costs, while everything that could lose count of it dies: who pays, pays for what was
//! done for them, once, and for nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use entity::enums::Queue;
use entity::job::cancel::Leaver;
use entity::ledger::account::{Income, Why};
use entity::ledger::{Action, GrantSource, TransactionType, adjust, audit};
use entity::{args, sql};
use jobs::kinds::noop::{Noop, NoopFail};
use jobs::submit::Cost;
use jobs::{Jobs, JobsError, Options as With};
use sea_orm::FromQueryResult;
use tests::cluster::{Cluster, Options};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::storm::{Storm, lasting, lease_s};

/// What one job costs.
const COST: i64 = 5;
/// What the rich have bought.
const BOUGHT: i64 = 1_000_000;

#[derive(FromQueryResult)]
struct Paid {
    user_id: Uuid,
    spends: i64,
    spent: i64,
    done_for_them: i64,
}

/// Jobs of a user, one after the other: most succeed, some fail, some are joined, some left.
fn orders(
    jobs: &Jobs,
    user: Uuid,
    stop: &Arc<AtomicBool>,
    unpaid: &Arc<AtomicUsize>,
) -> JoinHandle<Vec<Uuid>> {
    let (jobs, stop, unpaid) = (jobs.clone(), stop.clone(), unpaid.clone());
    tokio::spawn(async move {
        let mut acknowledged = vec![];
        let mut n = 0;
        while !stop.load(Ordering::Relaxed) {
            n += 1;
            let fail = match n % 8 {
                3 => Some(NoopFail::Fatal),
                5 => Some(NoopFail::UntilLast),
                _ => None,
            };
            // Every fourth is the same work for whoever asks meanwhile.
            let key = (n % 4 == 0).then(|| format!("shared {}", n / 16));
            let noop = Noop { ms: 100, fail, effects: true, key, ..Noop::default() };
            let options = With {
                queue: Some(Queue::Fetch),
                user_id: Some(user),
                cost: Cost::Of(Action::PostAnalytics),
                ..With::default()
            };
            match jobs.submit(&noop, &options).await {
                Ok(stored) => {
                    acknowledged.push(stored.id);
                    if n % 8 == 7 {
                        // Nobody knows what comes of it while the database is away.
                        let _ = jobs.cancel(stored.id, Leaver::User(user)).await;
                    }
                }
                Err(JobsError::Unpaid(_)) => {
                    unpaid.fetch_add(1, Ordering::Relaxed);
                }
                Err(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        acknowledged
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_dies_work_that_was_done_is_paid_once_and_nothing_else() {
    let options = Options { own_servers: true, lease_s: lease_s(), ..Options::default() };
    let mut storm = Storm::calm("what costs, kills", Cluster::start(options).await);
    let (stop, unpaid) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let mut load = vec![];
    for n in 0..5 {
        let (user, _) = storm.cluster.token(&format!("payer{n}")).await;
        let tx = storm.cluster.db().begin().await.unwrap();
        if n < 4 {
            let (source, kind) = (GrantSource::Topup, TransactionType::Purchase);
            let income = Income { source, kind, amount: BOUGHT, expires_at: None };
            adjust::receive(&tx, user, &income, Why::of("a storm")).await.unwrap();
        } else {
            // One has enough for a dozen jobs.
            adjust::adjust(&tx, user, 12 * COST - 1_000, user, "a storm").await.unwrap();
        }
        tx.commit().await.unwrap();
        load.push(orders(&storm.cluster.jobs, user, &stop, &unpaid));
    }
    let client = redis::Client::open(storm.cluster.redis_url.as_str()).unwrap();
    let (began, mut round) = (Instant::now(), 0);
    while round < lasting(6, 60).as_secs() || began.elapsed() < tests::storm_lasts() {
        round += 1;
        storm.until("credit_holds WHERE state = 'held'", 3).await;
        let at = rand::random_range(0..storm.cluster.workers.len());
        storm.lost_a_worker().await;
        storm.cluster.workers.remove(at).kill();
        storm.cluster.add_worker();
        match round % 6 {
            3 => {
                // Its children must be gone before it may start again.
                let server = &mut storm.cluster.postgres.as_mut().unwrap().server;
                server.signal("-QUIT").unwrap();
                server.stop();
                tokio::time::sleep(Duration::from_millis(300)).await;
                storm.cluster.postgres.as_mut().unwrap().server.start().unwrap();
                println!("resumed {:?} after Postgres listened again", storm.resumes().await);
            }
            5 => {
                let mut connection = client.get_multiplexed_async_connection().await.unwrap();
                let () = redis::cmd("FLUSHALL").query_async(&mut connection).await.unwrap();
            }
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    storm.until("job_events WHERE event = 'rescued'", 1).await;
    stop.store(true, Ordering::Relaxed);
    for load in load {
        let acknowledged = load.await.unwrap();
        storm.acknowledged(acknowledged).await;
    }
    storm.drained().await;
    settled(&storm.cluster, unpaid.load(Ordering::Relaxed)).await;
    storm.end().await;
}

/// Who waited for what was done has paid for it, and nobody for anything else.
async fn settled(cluster: &Cluster, unpaid: usize) {
    let db = cluster.db();
    let audit = audit::audit(db.read()).await.unwrap();
    assert!(audit.is_clean(), "{audit:#?}");
    assert_eq!(audit.held, 0);
    let paid: Vec<Paid> = sql::all(
        db.read(),
        "SELECT w.user_id, \
           (SELECT count(*) FROM credit_transactions t \
             WHERE t.wallet_id = w.id AND t.transaction_type = 'spend') AS spends, \
           (SELECT CAST(COALESCE(-sum(t.amount), 0) AS bigint) FROM credit_transactions t \
             WHERE t.wallet_id = w.id AND t.transaction_type = 'spend') AS spent, \
           (SELECT count(*) FROM job_watchers j JOIN jobs ON jobs.id = j.job_id \
             WHERE j.user_id = w.user_id AND j.left_at IS NULL \
             AND jobs.state = 'succeeded') AS done_for_them \
         FROM credit_wallets w",
        args![],
    )
    .await
    .unwrap();
    let (mut done, mut poor) = (0, 0);
    for paid in &paid {
        assert_eq!(paid.spent, COST * paid.done_for_them, "{}", paid.user_id);
        assert_eq!(paid.spends, paid.done_for_them, "{}", paid.user_id);
        done += paid.done_for_them;
        poor += i64::from(paid.done_for_them <= 12);
    }
    let of = async |state: &str| cluster.count(&format!("jobs WHERE state = '{state}'")).await;
    let (failed, cancelled) = (of("failed").await, of("cancelled").await);
    println!(
        "{} users paid {} credits for {done} pieces of work; {failed} jobs failed, {cancelled} \
         were cancelled, {unpaid} not begun for want of credits",
        paid.len(),
        COST * done
    );
    assert!(done > 100 && failed > 0 && cancelled > 0 && unpaid > 0 && poor > 0);
    let for_nothing = "credit_transactions t JOIN credit_holds h ON h.id = t.hold_id \
         JOIN jobs j ON j.id = h.job_id WHERE j.state <> 'succeeded' AND t.amount <> 0";
    assert_eq!(cluster.count(for_nothing).await, 0);
}
