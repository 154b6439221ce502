//! The real program, killed and stopped as an operator's machine would: nothing is lost, nothing
//! happens twice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod exports;
mod isolated;
mod metrics;
mod money;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use entity::aggregate::Aggregate;
use entity::enums::Queue;
use entity::post::analysis;
use entity::{Db, effect, schedule, sql};
use jobs::kinds::noop::Noop;
use jobs::kinds::profile_fetch::ProfileFetch;
use jobs::memory::MemoryTickets;
use jobs::submit::new_job;
use jobs::{Jobs, Options};
use tempfile::TempDir;
use tests::program::program;
use tests::{eventually, small_models};

/// `farm up` in a process of its own; killed when dropped.
struct Farm {
    child: Child,
    /// Where its API answers.
    url: String,
    /// Where Prometheus looks.
    metrics: String,
}

impl Farm {
    fn up(program: &Path, data: &Path, workers: u8) -> Self {
        Self::up_with_lease(program, data, workers, 2)
    }

    fn up_with_lease(program: &Path, data: &Path, workers: u8, seconds: u32) -> Self {
        // Whatever models the machine has are no part of a story.
        let lease = seconds.to_string();
        let env = [("FARM_LEASE_SECONDS", lease.as_str()), ("AI_TIER", "rules")];
        Self::up_with(program, data, workers, &env)
    }

    fn up_with(program: &Path, data: &Path, workers: u8, env: &[(&str, &str)]) -> Self {
        let mut child = Command::new(program)
            .args(["up", "--workers", &workers.to_string()])
            .env_remove("DATABASE_URL")
            .env_remove("FARM_RECORDED_DIR")
            .env("FARM_DATA_DIR", data)
            .env("FARM_HTTP_ADDR", "127.0.0.1:0")
            .env("FARM_METRICS_ADDR", "127.0.0.1:0")
            .env("RUST_LOG", "error")
            .envs(env.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the farm starts");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut after = |what: &str| {
            let found = |line: String| line.trim().strip_prefix(what).map(str::to_owned);
            lines.find_map(|line| found(line.unwrap())).expect("it says where it is")
        };
        let docs = after("docs").trim().to_owned();
        let health = after("health");
        // Whatever else it says must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let url = docs.strip_suffix("/docs").unwrap().to_owned();
        let metrics = health.split(' ').next_back().unwrap().to_owned();
        Self { child, url, metrics }
    }

    /// `kill -9`.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// `kill -TERM`; waits for its end.
    fn stop(mut self) -> ExitStatus {
        self.signal("-TERM");
        self.child.wait().unwrap()
    }

    /// `kill -STOP` in the middle of runs, and not while it holds the database's write lock:
    /// nobody could take over then.
    async fn freeze(&self, beside: &Beside) {
        loop {
            beside.until(RUNNING, 5).await;
            self.signal("-STOP");
            let lock = tokio::time::timeout(Duration::from_millis(300), beside.jobs.db().begin());
            let free = match lock.await {
                Ok(Ok(tx)) => tx.rollback().await.is_ok(),
                _ => false,
            };
            if free && beside.count(RUNNING).await >= 5 {
                return;
            }
            self.signal("-CONT");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Farm {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The farm's own database, opened beside it.
struct Beside {
    jobs: Jobs,
}

impl Beside {
    async fn open(data: &Path) -> Self {
        let url = format!("sqlite://{}?mode=rw", data.join("farm.db").display());
        let db = Db::connect(&url, 2).await.unwrap();
        // The farm's own work would be counted among the story's.
        for entry in scheduler::names() {
            let now = entity::clock::now(db.read()).await.unwrap();
            schedule::register(db.write(), entry, now).await.unwrap();
            schedule::pause(db.write(), entry, "the story").await.unwrap();
        }
        Self { jobs: Jobs::new(db, Arc::new(MemoryTickets::default())) }
    }

    /// Stores jobs without a word to the farm: its upkeep finds them.
    async fn submit(&self, count: usize, ms: u64) {
        let noop = Noop { ms, effects: true, ..Noop::default() };
        let fetch = Options { queue: Some(Queue::Fetch), ..Options::default() };
        let new = vec![new_job(&noop, &fetch).unwrap(); count];
        self.jobs.submit_many(&new).await.unwrap();
    }

    async fn count(&self, of: &str) -> i64 {
        let select = format!("SELECT count(*) AS n FROM {of}");
        let rows = sql::rows(self.jobs.db().read(), &select, vec![]).await.unwrap();
        rows[0].try_get("", "n").unwrap()
    }

    async fn until(&self, of: &str, at_least: i64) {
        eventually(&format!("{at_least} {of}"), || async {
            (self.count(of).await >= at_least).then_some(())
        })
        .await;
    }

    /// Every job ended well, with one effect each, and the tables agree with themselves.
    async fn all_well(&self, count: i64) {
        assert_eq!(self.count("jobs WHERE state = 'succeeded'").await, count);
        assert_eq!(self.count("jobs WHERE state <> 'succeeded'").await, 0);
        assert_eq!(self.count("noop_effects").await, count);
        let twice = effect::counts(self.jobs.db().read(), 1).await.unwrap();
        assert!(twice.is_empty(), "effects that took place twice: {twice:?}");
        let latest = "noop_effects e JOIN jobs j ON j.id = e.job_id AND j.run = e.run";
        assert_eq!(self.count(latest).await, count, "an effect is the latest run's");
        let findings = entity::job::integrity::inspect(self.jobs.db().read()).await.unwrap();
        assert!(findings.is_clean(), "{findings:?}");
    }
}

const SUCCEEDED: &str = "jobs WHERE state = 'succeeded'";
const RUNNING: &str = "jobs WHERE state = 'running'";

#[tokio::test(flavor = "multi_thread")]
async fn a_farm_that_is_killed_again_and_again_does_everything_once() {
    const JOBS: i64 = 500;
    let (program, data) = (program(), TempDir::new().unwrap());
    let began = Instant::now();
    let mut farm = Farm::up(&program, data.path(), 4);
    let beside = Beside::open(data.path()).await;
    beside.submit(JOBS as usize, 300).await;
    for (done, lease) in [(20, 2), (150, 2), (300, 20)] {
        beside.until(SUCCEEDED, done).await;
        beside.until(RUNNING, 5).await;
        farm.kill();
        farm = Farm::up_with_lease(&program, data.path(), 4, lease);
    }
    // Frozen and taken for dead while another takes its jobs over, then woken: its runs end before
    // it notices (it renews every six seconds), and those jobs are somebody else's by now. Here
    // the fence is all that stands between the two.
    farm.freeze(&beside).await;
    let mine = beside.count(RUNNING).await;
    let forget = "DELETE FROM workers";
    sql::execute(beside.jobs.db().write(), forget, vec![]).await.unwrap();
    let heir = Farm::up(&program, data.path(), 4);
    beside.until(SUCCEEDED, JOBS).await;
    farm.signal("-CONT");
    beside.until("workers WHERE lease_until > (SELECT ms FROM farm_now)", 8).await;
    assert!(mine >= 5, "it was frozen in the middle of something");
    beside.all_well(JOBS).await;
    let lost = beside.count("jobs WHERE lost > 0").await;
    assert!(lost > 0, "a kill in the middle of it costs somebody a run");
    for farm in [farm, heir] {
        let status = farm.stop();
        assert!(status.success(), "{status}");
    }
    println!(
        "{JOBS} jobs, 3 kills and a freeze, {lost} of them in mid-run, {JOBS} effects, {:.1} s",
        began.elapsed().as_secs_f32()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_farm_that_is_asked_to_stop_finishes_what_it_runs() {
    let (program, data) = (program(), TempDir::new().unwrap());
    let farm = Farm::up(&program, data.path(), 1);
    let beside = Beside::open(data.path()).await;
    beside.submit(20, 1_000).await;
    beside.until(RUNNING, 5).await;
    let asked = Instant::now();
    let status = farm.stop();
    assert!(status.success(), "{status}");
    assert!(asked.elapsed() < Duration::from_secs(25), "within its grace");
    let ended = beside.count(SUCCEEDED).await;
    assert!(ended >= 5, "what ran has ended");
    assert_eq!(beside.count("jobs WHERE state = 'queued' AND run = 0").await, 20 - ended);
    assert_eq!(beside.count("workers").await, 0, "it signed off");
    // The next one goes on where it stopped.
    let farm = Farm::up(&program, data.path(), 1);
    beside.until(SUCCEEDED, 20).await;
    beside.all_well(20).await;
    assert_eq!(beside.count("jobs WHERE lost > 0 OR run > 1").await, 0);
    assert!(farm.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_farm_answers_where_it_says_it_does() {
    let (program, data) = (program(), TempDir::new().unwrap());
    let farm = Farm::up(&program, data.path(), 1);
    let live = reqwest::Url::parse(&format!("{}/livez", farm.url)).unwrap();
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
    let answer = client.get(live).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
    assert!(farm.stop().success());
}

const ANALYSED: &str = "posts WHERE ai_analyzed_at IS NOT NULL";

#[tokio::test(flavor = "multi_thread")]
async fn an_analysis_that_is_killed_goes_on_where_its_last_chunk_was_stored() {
    let (program, data, models) = (program(), TempDir::new().unwrap(), TempDir::new().unwrap());
    small_models::write(models.path());
    let cache = models.path().to_str().unwrap();
    // One caption at a time on one thread: slow enough to be killed in the middle.
    let env = [
        ("FARM_LEASE_SECONDS", "2"),
        ("AI_TIER", "full"),
        ("AI_MODELS_CACHE_DIR", cache),
        ("AI_BATCH_SIZE", "1"),
        ("AI_MAX_WORKERS", "1"),
    ];
    let up = || Farm::up_with(&program, data.path(), 1, &env);
    let mut farm = up();
    let beside = Beside::open(data.path()).await;
    let fetch = ProfileFetch::of("demo_polyglot".parse().unwrap());
    beside.jobs.submit(&fetch, &Options::default()).await.unwrap();
    let stamps = async || {
        let of = "SELECT shortcode || ' ' || ai_analyzed_at AS stamp FROM posts \
                  WHERE ai_analyzed_at IS NOT NULL ORDER BY 1";
        let rows = sql::rows(beside.jobs.db().read(), of, vec![]).await.unwrap();
        rows.iter().map(|row| row.try_get("", "stamp").unwrap()).collect::<Vec<String>>()
    };
    let mut kills = vec![];
    // Once more, and the job would count as one that kills its workers.
    for at_least in [1, 97] {
        beside.until(ANALYSED, at_least).await;
        farm.kill();
        kills.push(stamps().await);
        farm = up();
    }
    beside.until(SUCCEEDED, 2).await;
    let done = stamps().await;
    assert_eq!(done.len(), 200, "every post");
    for killed in &kills {
        assert!(killed.len() < 200, "killed in the middle: {}", killed.len());
        assert!(killed.iter().all(|stamp| done.contains(stamp)), "what was stored is not redone");
    }
    let db = beside.jobs.db().read();
    assert_eq!(beside.count("jobs WHERE kind = 'profile_analysis'").await, 1);
    assert!(beside.count("jobs WHERE kind = 'profile_analysis' AND lost > 0").await == 1);
    assert_eq!(beside.count("posts WHERE ai_tier = 'full'").await, 200);
    let profile = entity::profile::by_username(db, "demo_polyglot").await.unwrap().unwrap();
    let facts = analysis::facts(db, profile.id).await.unwrap();
    let derived = Aggregate::of(&facts, 200);
    assert_eq!(derived.differences(&Aggregate::stored(&profile)), []);
    assert!(farm.stop().success());
}
