//! Load, and a ledger outside the farm: what it acknowledged, and what became of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use entity::enums::Queue;
use entity::{Db, Time, clock, effect, job, sql};
use jobs::kinds::noop::Noop;
use jobs::submit::new_job;
use jobs::{Jobs, Options};
use sea_orm::FromQueryResult;
use serde_json::Value;
use tests::cluster::{Cluster, refresh};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Users who take turns.
const USERS: usize = 4;

/// The long form: default leases, minutes instead of seconds.
pub fn long() -> bool {
    tests::long_storms()
}

/// Seconds a worker lives without renewing.
pub fn lease_s() -> u64 {
    if long() { 10 } else { 2 }
}

/// So long, or so long in the long form.
pub fn lasting(short_s: u64, long_s: u64) -> Duration {
    Duration::from_secs(if long() { long_s } else { short_s })
}

/// A cluster under load.
pub struct Storm {
    pub cluster: Cluster,
    name: &'static str,
    began: Instant,
    acknowledged: Arc<Mutex<BTreeSet<Uuid>>>,
    refused: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    load: Vec<JoinHandle<()>>,
    /// When a worker was killed or frozen, by the farm's clock.
    losses: Vec<Time>,
}

#[derive(FromQueryResult)]
struct Rescued {
    at: Time,
}

#[derive(FromQueryResult)]
struct Id {
    id: Uuid,
}

impl Storm {
    /// Starts loading: fetches of ever new profiles through the front doors, and noops with an
    /// effect each.
    pub async fn begin(name: &'static str, cluster: Cluster) -> Self {
        let mut storm = Self::calm(name, cluster);
        for user in 0..USERS {
            let (_, token) = storm.cluster.token(&format!("user{user}")).await;
            storm.load.push(storm.fetches(user, token));
        }
        storm.load.push(storm.noops());
        storm
    }

    /// Without any load but what the story adds.
    pub fn calm(name: &'static str, cluster: Cluster) -> Self {
        Self {
            name,
            began: Instant::now(),
            acknowledged: Arc::default(),
            refused: Arc::default(),
            stop: Arc::default(),
            load: vec![],
            losses: vec![],
            cluster,
        }
    }

    fn fetches(&self, user: usize, token: String) -> JoinHandle<()> {
        let fronts: Vec<String> = self.cluster.apis.iter().map(|api| api.said.clone()).collect();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(15)).build().unwrap();
        let (acknowledged, refused) = (self.acknowledged.clone(), self.refused.clone());
        let stop = self.stop.clone();
        tokio::spawn(async move {
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                n += 1;
                let path = refresh(&format!("storm.{user}.{n}"));
                let url = format!("{}{path}", fronts[n % fronts.len()]);
                let sent = http.post(url).bearer_auth(&token).send().await;
                let id = match sent {
                    Ok(answer) if answer.status().as_u16() == 202 => {
                        let view = answer.json::<Value>().await.ok();
                        view.and_then(|view| view["id"].as_str()?.parse().ok())
                    }
                    _ => None,
                };
                match id {
                    Some(id) => {
                        acknowledged.lock().await.insert(id);
                    }
                    None => {
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
    }

    fn noops(&self) -> JoinHandle<()> {
        let (jobs, acknowledged) = (self.cluster.jobs.clone(), self.acknowledged.clone());
        let stop = self.stop.clone();
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let ids = submit_noops(&jobs, 5, 150).await;
                acknowledged.lock().await.extend(ids);
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        })
    }

    /// Adds jobs that were acknowledged elsewhere to the ledger.
    pub async fn acknowledged(&self, ids: impl IntoIterator<Item = Uuid>) {
        self.acknowledged.lock().await.extend(ids);
    }

    /// Notes that a worker is lost from now on.
    pub async fn lost_a_worker(&mut self) {
        self.losses.push(clock::now(self.cluster.db().read()).await.unwrap());
    }

    /// Waits for something about the rows.
    pub async fn until(&self, of: &str, at_least: i64) {
        tests::eventually(&format!("{at_least} {of}"), || async {
            // While the database is away nothing can be said.
            let count = self.cluster.try_count(of).await.ok()?;
            (count >= at_least).then_some(())
        })
        .await;
    }

    /// How long it takes from now until a worker claims something: the farm is at work again. (How
    /// long what piled up meanwhile takes is another question.)
    pub async fn resumes(&self) -> Duration {
        let began = Instant::now();
        loop {
            // By the farm's clock, once it can be read.
            let since = clock::now(self.cluster.db().read()).await;
            let noop = Noop { effects: true, ..Noop::default() };
            let fetch = Options { queue: Some(Queue::Fetch), ..Options::default() };
            if let Ok(since) = since
                && let Ok(enqueued) = self.cluster.jobs.submit(&noop, &fetch).await
            {
                self.acknowledged([enqueued.id]).await;
                let claimed = format!("jobs WHERE claimed_at >= to_timestamp({} / 1e3)", since.0);
                self.until(&claimed, 1).await;
                return began.elapsed();
            }
            assert!(began.elapsed() < tests::PATIENCE, "the database does not come back");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends the load and lets the farm finish.
    pub async fn drained(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for load in self.load.drain(..) {
            load.await.unwrap();
        }
        let open = "jobs WHERE state IN ('queued', 'running', 'retrying')";
        let deadline = Instant::now() + Duration::from_secs(if long() { 400 } else { 150 });
        while self.cluster.count(open).await > 0 {
            assert!(Instant::now() < deadline, "{}: {}", self.name, self.open_jobs().await);
            self.cluster.revive();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Ends the load, lets the farm finish, compares its rows with the ledger, prints the row of
    /// the table, and stops everything.
    pub async fn end(mut self) {
        self.drained().await;
        let db = self.cluster.db().clone();
        let acknowledged = self.acknowledged.lock().await.clone();
        let ended: Vec<Id> = sql::all(
            db.read(),
            "SELECT id FROM jobs WHERE state IN ('succeeded', 'failed', 'cancelled')",
            vec![],
        )
        .await
        .unwrap();
        let ended: BTreeSet<Uuid> = ended.into_iter().map(|row| row.id).collect();
        let lost = acknowledged.difference(&ended).count();
        let duplicated = duplicated(&db).await;
        let (p50, p99) = self.rescue_times(&db).await;
        println!(
            "{:28} acknowledged {:6}  finished {:6}  lost {lost}  duplicated {duplicated}  \
             rescue p50 {p50} p99 {p99}  refused {}  {:.1} s",
            self.name,
            acknowledged.len(),
            ended.len(),
            self.refused.load(Ordering::Relaxed),
            self.began.elapsed().as_secs_f32()
        );
        assert_eq!((lost, duplicated), (0, 0), "{}", self.name);
        assert!(!acknowledged.is_empty(), "a storm without load shows nothing");
        let missing = "jobs WHERE kind = 'noop' AND state = 'succeeded' AND \
             payload->>'effects' = 'true' \
             AND NOT EXISTS (SELECT 1 FROM noop_effects e WHERE e.job_id = jobs.id)";
        assert_eq!(self.cluster.count(missing).await, 0, "a job that succeeded has its effect");
        let findings = job::integrity::inspect(db.read()).await.unwrap();
        assert!(findings.is_clean(), "{findings:?}");
        let ledger = entity::ledger::audit::audit(db.read()).await.unwrap();
        assert!(ledger.is_clean() && ledger.held == 0, "{ledger:#?}");
        self.no_key_stays().await;
        self.cluster.end().await;
    }

    /// Redis keeps nothing per finished job: lanes are empty, and empty lanes are no keys.
    async fn no_key_stays(&self) {
        tests::eventually("Redis is as empty as it was", || async {
            let keys = self.cluster.keys().await;
            let left = keys.iter().filter(|key| !key.contains(":limit:")).count();
            (left == 0).then_some(())
        })
        .await;
    }

    async fn open_jobs(&self) -> String {
        let open = "SELECT * FROM jobs WHERE state IN ('queued', 'running', 'retrying') LIMIT 5";
        let open: Vec<job::Model> = sql::all(self.cluster.db().read(), open, vec![]).await.unwrap();
        format!("jobs left open: {open:#?}")
    }

    /// From the loss of a worker to the rescue of what it ran.
    async fn rescue_times(&self, db: &Db) -> (String, String) {
        let rescued = "SELECT at FROM job_events WHERE event = 'rescued'";
        let rescued: Vec<Rescued> = sql::all(db.read(), rescued, vec![]).await.unwrap();
        let mut times: Vec<i64> = rescued
            .iter()
            .filter_map(|rescue| {
                // Of several losses the latest that can have caused it.
                let since = self.losses.iter().map(|loss| rescue.at.millis_since(*loss));
                since.filter(|ms| *ms >= 1_000 * lease_s() as i64 / 2).min()
            })
            .collect();
        times.sort_unstable();
        let at = |part: usize| {
            let last = times.len().checked_sub(1);
            last.map_or("-".to_owned(), |last| format!("{} ms", times[last * part / 100]))
        };
        (at(50), at(99))
    }
}

/// Noops that count, in the queue of the fetches.
pub async fn submit_noops(jobs: &Jobs, count: usize, ms: u64) -> Vec<Uuid> {
    let noop = Noop { ms, effects: true, ..Noop::default() };
    let fetch = Options { queue: Some(Queue::Fetch), ..Options::default() };
    let new = vec![new_job(&noop, &fetch).unwrap(); count];
    // While the database is away nothing is acknowledged.
    let stored = jobs.submit_many(&new).await.unwrap_or_default();
    stored.iter().map(|stored| stored.id).collect()
}

/// Effects beyond one per job: of noops by the append-only table; of fetches by how often their
/// profile was written, against how many jobs say that they wrote it.
async fn duplicated(db: &Db) -> i64 {
    let twice = effect::counts(db.read(), 1).await.unwrap();
    let rows = sql::rows(
        db.read(),
        "SELECT CAST(COALESCE(sum(p.refresh_count - COALESCE(f.n, 0)), 0) AS bigint) AS n \
         FROM profiles p LEFT JOIN (SELECT result->>'profile_id' AS id, count(*) AS n FROM jobs \
           WHERE kind = 'profile_fetch' AND state = 'succeeded' \
           AND result->>'source' = 'fetched' GROUP BY 1) f ON f.id = CAST(p.id AS text) \
         WHERE p.refresh_count > COALESCE(f.n, 0)",
        vec![],
    )
    .await
    .unwrap();
    let written: i64 = rows[0].try_get("", "n").unwrap();
    written + twice.iter().map(|job| job.n - 1).sum::<i64>()
}
