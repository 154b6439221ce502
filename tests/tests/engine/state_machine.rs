//! The life cycle against a model: whatever happens to a few jobs, in whatever order, their rows
//! are what a page of plain code says.

use std::collections::BTreeSet;
use std::time::Duration;

use entity::enums::JobState::{self, Cancelled, Failed, Queued, Retrying, Running, Succeeded};
use entity::enums::Priority;
use entity::job::cancel::{self, Leaver};
use entity::job::end::{self, Settle};
use entity::job::enqueue::{self, NewJob};
use entity::job::rescue::{self, POISON_AFTER};
use entity::job::retry::{self, Retried};
use entity::job::{Fence, Model as Row, query};
use entity::{Db, Time, clock, effect, sql};
use migration::{Migrator, MigratorTrait};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

use crate::hand::Hand;

const MAX_ATTEMPTS: i32 = 3;
const USERS: usize = 3;
const KEYS: usize = 2;
/// Pauses and deadlines are longer than any case takes; moving the clock leaps over them.
const PAUSE_MS: i64 = 3_600_000;
const LEAP: Duration = Duration::from_secs(2 * 3_600);

#[derive(Clone, Debug)]
enum Op {
    /// Somebody asks for the work of a key.
    Submit {
        key: usize,
        user: usize,
        deadline: bool,
    },
    /// The worker takes a job, if it may.
    Claim {
        job: usize,
    },
    /// A run ends well; `stale` is the run before the latest.
    Succeed {
        job: usize,
        stale: bool,
        batch: bool,
    },
    /// A run ends otherwise.
    Settle {
        job: usize,
        how: usize,
        stale: bool,
    },
    /// A user leaves, or an operator ends it.
    Cancel {
        job: usize,
        user: Option<usize>,
    },
    /// A person queues it again.
    Retry {
        job: usize,
        user: usize,
    },
    /// The worker dies; another takes its place.
    Die,
    /// The worker takes a job and dies of it.
    Lose {
        job: usize,
    },
    /// A sweep of the housekeeping.
    Rescue,
    FailOverdue,
    /// Hours go by.
    Leap,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let job = || 0..8_usize;
    let op = prop_oneof![
        3 => (0..KEYS, 0..USERS, prop::bool::weighted(0.2))
            .prop_map(|(key, user, deadline)| Op::Submit { key, user, deadline }),
        6 => job().prop_map(|job| Op::Claim { job }),
        2 => (job(), prop::bool::weighted(0.3), any::<bool>())
            .prop_map(|(job, stale, batch)| Op::Succeed { job, stale, batch }),
        5 => (job(), 0..5_usize, prop::bool::weighted(0.15))
            .prop_map(|(job, how, stale)| Op::Settle { job, how, stale }),
        3 => (job(), prop::option::weighted(0.7, 0..USERS))
            .prop_map(|(job, user)| Op::Cancel { job, user }),
        2 => (job(), 0..USERS).prop_map(|(job, user)| Op::Retry { job, user }),
        1 => Just(Op::Die),
        4 => job().prop_map(|job| Op::Lose { job }),
        2 => Just(Op::Rescue),
        1 => Just(Op::FailOverdue),
        2 => Just(Op::Leap),
    ];
    let begin =
        (0..KEYS, 0..USERS).prop_map(|(key, user)| Op::Submit { key, user, deadline: false });
    (begin, prop::collection::vec(op, 24..40)).prop_map(|(begin, mut ops)| {
        ops.insert(0, begin);
        ops
    })
}

/// What a job should look like.
#[derive(Clone, Debug)]
struct Job {
    id: Uuid,
    key: usize,
    state: JobState,
    version: i64,
    run: i32,
    attempt: i32,
    lost: i32,
    /// Which worker runs it, by number.
    worker: Option<usize>,
    due: bool,
    /// `Some(true)` once it is over.
    deadline: Option<bool>,
    asked_to_stop: bool,
    watchers: BTreeSet<usize>,
    errors: usize,
    error: Option<&'static str>,
    effects: i64,
}

impl Job {
    fn new(id: Uuid, key: usize, user: usize, deadline: bool) -> Self {
        Self {
            id,
            key,
            state: Queued,
            version: 1,
            run: 0,
            attempt: 0,
            lost: 0,
            worker: None,
            due: true,
            deadline: deadline.then_some(false),
            asked_to_stop: false,
            watchers: BTreeSet::from([user]),
            errors: 0,
            error: None,
            effects: 0,
        }
    }

    fn waits(&self) -> bool {
        matches!(self.state, Queued | Retrying)
    }

    fn is_overdue(&self) -> bool {
        self.waits() && self.deadline == Some(true)
    }

    fn fence(&self, stale: bool, workers: &[Hand<'_>]) -> Fence {
        let worker = self.worker.map(|worker| workers[worker].id).unwrap_or_default();
        Fence { id: self.id, run: self.run - i32::from(stale), worker }
    }

    fn become_(&mut self, state: JobState) {
        self.state = state;
        self.version += 1;
        self.worker = None;
    }

    fn fail_attempt(&mut self, error: &'static str) {
        self.errors = (self.errors + 1).min(entity::job::MAX_ATTEMPT_ERRORS);
        self.error = Some(error);
    }

    fn claim(&mut self, worker: usize) -> bool {
        let may = self.waits() && self.due && self.deadline != Some(true);
        if may {
            self.become_(Running);
            self.worker = Some(worker);
            self.run += 1;
            self.attempt += 1;
        }
        may
    }

    fn succeed(&mut self) {
        self.become_(Succeeded);
        self.error = None;
        self.effects += 1;
    }

    fn end_cancelled(&mut self) {
        self.become_(Cancelled);
        self.error = None;
    }

    fn settle(&mut self, how: &Settle) {
        match how {
            Settle::Fail { .. } => {
                self.become_(Failed);
                self.fail_attempt("settled");
            }
            _ if self.asked_to_stop => self.end_cancelled(),
            Settle::Retry { .. } => {
                let last = self.attempt >= MAX_ATTEMPTS;
                self.become_(if last { Failed } else { Retrying });
                self.fail_attempt("settled");
                self.due = last;
            }
            Settle::Snooze { .. } | Settle::PutBack | Settle::Cancelled => {
                self.become_(Queued);
                self.attempt -= 1;
                self.due = !matches!(how, Settle::Snooze { .. });
            }
        }
    }

    /// The user, or `None` for an operator. True when others still wait for it.
    fn cancel(&mut self, user: Option<usize>) -> bool {
        self.watchers.retain(|watcher| user.is_some_and(|user| *watcher != user));
        if user.is_some() && !self.watchers.is_empty() {
            self.version += 1;
            return true;
        }
        if self.waits() {
            self.end_cancelled();
        } else if !self.asked_to_stop {
            self.asked_to_stop = true;
            self.version += 1;
        }
        false
    }

    fn rescue(&mut self) {
        self.lost += 1;
        if self.asked_to_stop {
            self.end_cancelled();
        } else if self.lost >= POISON_AFTER {
            self.become_(Failed);
            self.fail_attempt("poison");
        } else {
            self.become_(if self.attempt >= MAX_ATTEMPTS { Failed } else { Queued });
            self.fail_attempt("worker_lost");
            self.due = true;
        }
    }

    fn retry(&mut self, user: usize) {
        self.become_(Queued);
        (self.attempt, self.lost, self.error) = (0, 0, None);
        (self.due, self.deadline, self.asked_to_stop) = (true, None, false);
        self.watchers.insert(user);
    }
}

/// Rows and model, side by side.
struct World<'a> {
    db: &'a Db,
    jobs: Vec<Job>,
    users: Vec<Uuid>,
    workers: Vec<Hand<'a>>,
    dead: BTreeSet<usize>,
    before: Vec<Row>,
}

impl<'a> World<'a> {
    async fn new(db: &'a Db) -> Self {
        let users = (0..USERS).map(|_| Uuid::now_v7()).collect();
        let workers = vec![Hand::of(db).await];
        Self { db, jobs: vec![], users, workers, dead: BTreeSet::new(), before: vec![] }
    }

    fn open(&self, key: usize) -> Option<usize> {
        self.jobs.iter().position(|job| job.key == key && !job.state.is_done())
    }

    fn new_job(&self, key: usize, user: usize, deadline_at: Option<Time>) -> NewJob {
        NewJob {
            kind: "noop",
            queue: "upkeep",
            priority: Priority::Normal,
            payload: json!({}),
            payload_version: 1,
            key: Some(format!("key {key}")),
            max_attempts: MAX_ATTEMPTS,
            progress_total: Some(1),
            delay_ms: 0,
            deadline_at,
            user_id: Some(self.users[user]),
            team_id: None,
            parent_id: None,
            request_id: None,
            trace_parent: None,
            credit_action: None,
        }
    }

    /// Does it to both; answers whether a job was made to leave an end, which only retry may do.
    async fn apply(&mut self, op: &Op) -> bool {
        let count = self.jobs.len();
        let picked = |job: &usize| job % count;
        match op {
            Op::Submit { key, user, deadline } => self.submit(*key, *user, *deadline).await,
            Op::Claim { job } => self.claim(picked(job)).await,
            Op::Succeed { job, stale, batch } => self.succeed(picked(job), *stale, *batch).await,
            Op::Settle { job, how, stale } => self.settle(picked(job), *how, *stale).await,
            Op::Cancel { job, user } => self.cancel(picked(job), *user).await,
            Op::Retry { job, user } => return self.retry(picked(job), *user).await,
            Op::Die => self.die().await,
            Op::Lose { job } => {
                self.claim(picked(job)).await;
                self.die().await;
                self.rescue().await;
            }
            Op::Rescue => self.rescue().await,
            Op::FailOverdue => self.fail_overdue().await,
            Op::Leap => {
                clock::advance(self.db.write(), LEAP.as_millis() as i64).await.unwrap();
                for job in &mut self.jobs {
                    job.due = true;
                    job.deadline = job.deadline.map(|_| true);
                }
            }
        }
        false
    }

    async fn claim(&mut self, job: usize) {
        let worker = self.workers.len() - 1;
        let claimed = self.workers[worker].claim(&[self.jobs[job].id]).await;
        assert_eq!(!claimed.is_empty(), self.jobs[job].claim(worker), "claimed or not");
    }

    async fn die(&mut self) {
        let worker = self.workers.len() - 1;
        self.workers[worker].die().await;
        self.dead.insert(worker);
        self.workers.push(Hand::of(self.db).await);
    }

    async fn submit(&mut self, key: usize, user: usize, deadline: bool) {
        let now = clock::now(self.db.read()).await.unwrap();
        let deadline_at = deadline.then_some(Time(now.0 + PAUSE_MS));
        let new = self.new_job(key, user, deadline_at);
        let tx = self.db.begin().await.unwrap();
        let stored = enqueue::enqueue_many(&tx, &[new]).await.unwrap().remove(0);
        tx.commit().await.unwrap();
        if let Some(open) = self.open(key) {
            let job = &mut self.jobs[open];
            assert_eq!((stored.id, stored.created), (job.id, false), "joins the open job");
            job.version += 1;
            job.asked_to_stop = false;
            job.watchers.insert(user);
        } else {
            assert!(stored.created);
            self.jobs.push(Job::new(stored.id, key, user, deadline));
        }
    }

    async fn succeed(&mut self, job: usize, stale: bool, batch: bool) {
        let fence = self.jobs[job].fence(stale, &self.workers);
        let tx = self.db.begin().await.unwrap();
        let ended = if batch {
            let (ended, _) = end::finish_many(&tx, &[(fence, json!({}))], PAUSE_MS).await.unwrap();
            !ended.is_empty()
        } else {
            end::succeed(&tx, fence, json!({}), PAUSE_MS).await.unwrap().is_some()
        };
        assert_eq!(ended, !stale && self.jobs[job].state == Running, "only its own run ends it");
        if ended {
            effect::add(&tx, fence.id, fence.run).await.unwrap();
            tx.commit().await.unwrap();
            self.jobs[job].succeed();
        }
    }

    async fn settle(&mut self, job: usize, how: usize, stale: bool) {
        let (code, message) = ("settled".to_owned(), "as told".to_owned());
        let how = match how {
            0 => Settle::Retry { code, message, delay_ms: PAUSE_MS },
            1 => Settle::Fail { code, message },
            2 => Settle::Cancelled,
            3 => Settle::Snooze { delay_ms: PAUSE_MS },
            _ => Settle::PutBack,
        };
        let fence = self.jobs[job].fence(stale, &self.workers);
        let tx = self.db.begin().await.unwrap();
        let settled = end::settle(&tx, fence, &how).await.unwrap();
        tx.commit().await.unwrap();
        let own = !stale && self.jobs[job].state == Running;
        assert_eq!(settled.is_some(), own, "only its own run settles it");
        if own {
            self.jobs[job].settle(&how);
        }
    }

    async fn cancel(&mut self, job: usize, user: Option<usize>) {
        let leaver = user.map_or(Leaver::Operator, |user| Leaver::User(self.users[user]));
        let tx = self.db.begin().await.unwrap();
        let done = cancel::cancel(&tx, self.jobs[job].id, leaver).await.unwrap().unwrap();
        tx.commit().await.unwrap();
        if !self.jobs[job].state.is_done() {
            assert_eq!(done.shared, self.jobs[job].cancel(user), "others wait or not");
        }
    }

    async fn retry(&mut self, job: usize, user: usize) -> bool {
        let ended = matches!(self.jobs[job].state, Failed | Cancelled);
        let taken = self.open(self.jobs[job].key).is_some();
        let user_id = self.users[user];
        let tx = self.db.begin().await.unwrap();
        let id = self.jobs[job].id;
        let retried = retry::retry(&tx, id, Some(user_id), "a test").await.unwrap();
        match retried {
            Retried::Queued(_) => {
                assert!(ended && !taken);
                tx.commit().await.unwrap();
                self.jobs[job].retry(user);
                return true;
            }
            Retried::KeyTaken => assert!(ended && taken),
            Retried::NotEnded(_) => assert!(!ended),
            Retried::Missing => panic!("the job is there"),
            Retried::Unpaid(refusal) => panic!("it costs nothing: {refusal}"),
        }
        tx.rollback().await.unwrap();
        false
    }

    async fn rescue(&mut self) {
        let tx = self.db.begin().await.unwrap();
        let rescued = rescue::rescue(&tx, 100).await.unwrap();
        tx.commit().await.unwrap();
        let mut lost = 0;
        for job in &mut self.jobs {
            if job.worker.is_some_and(|worker| self.dead.contains(&worker)) {
                job.rescue();
                lost += 1;
            }
        }
        assert_eq!(rescued.requeued.len() + rescued.ended.len(), lost);
    }

    async fn fail_overdue(&mut self) {
        let tx = self.db.begin().await.unwrap();
        cancel::fail_overdue(&tx, 100).await.unwrap();
        tx.commit().await.unwrap();
        for job in self.jobs.iter_mut().filter(|job| job.is_overdue()) {
            job.become_(Failed);
            job.fail_attempt("deadline");
        }
    }

    /// Every row against its model and against itself a step before.
    async fn check(&mut self, retried: bool) {
        let mut rows = vec![];
        for job in &self.jobs {
            let row = query::by_id(self.db.read(), job.id).await.unwrap().unwrap();
            assert_eq!(
                (row.state, row.version, row.run, row.attempt, row.lost),
                (job.state, job.version, job.run, job.attempt, job.lost),
                "state, version, run, attempt, lost"
            );
            assert_eq!(row.worker, job.worker.map(|worker| self.workers[worker].id));
            assert_eq!(row.error_code.as_deref(), job.error);
            assert_eq!(row.attempt_errors().len(), job.errors);
            assert_eq!(row.result.is_some(), job.state == Succeeded);
            assert_eq!(row.finished_at.is_some(), job.state.is_done());
            if !job.state.is_done() {
                assert_eq!(row.cancel_requested_at.is_some(), job.asked_to_stop);
            }
            rows.push(row);
        }
        for (old, new) in self.before.iter().zip(&rows) {
            assert!(new.run >= old.run && new.version >= old.version, "they never fall");
            assert!(new == old || new.version > old.version, "every change is a new version");
            let left_its_end = old.state.is_done() && new.state != old.state;
            assert!(!left_its_end || retried, "only a retry leaves an end");
        }
        for key in 0..KEYS {
            let open = self.jobs.iter().filter(|job| job.key == key && !job.state.is_done());
            assert!(open.count() <= 1, "one open job per key");
        }
        self.before = rows;
    }

    /// Counts the effects, and leaves an empty database to the next case.
    async fn end(self) {
        for job in &self.jobs {
            let counted = effect::counts(self.db.read(), 0).await.unwrap();
            let counted = counted.iter().find(|effect| effect.job_id == job.id);
            assert_eq!(counted.map_or(0, |effect| effect.n), job.effects);
            assert!(job.effects <= 1);
        }
        for table in ["jobs", "workers"] {
            let delete = format!("DELETE FROM {table}");
            sql::execute(self.db.write(), &delete, vec![]).await.unwrap();
        }
    }
}

#[test]
fn rows_are_what_the_model_says_whatever_happens() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let dir = TempDir::new().unwrap();
    let cluster = tests::on_cluster();
    let (db, database) = runtime.block_on(async {
        if cluster {
            return tests::servers::database().await;
        }
        let url = format!("sqlite://{}?mode=rwc", dir.path().join("farm.db").display());
        let db = Db::connect(&url, 1).await.unwrap();
        // Nobody cuts the power here, and ten thousand commits are many.
        sql::execute(db.write(), "PRAGMA synchronous = OFF", vec![]).await.unwrap();
        Migrator::up(&db.for_migrations().await.unwrap(), None).await.unwrap();
        (db, String::new())
    });
    let config = Config { cases: 250, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let result = runner.run(&ops(), |ops| {
        runtime.block_on(async {
            // What a failed case left behind, while it is being shrunk.
            for table in ["jobs", "workers"] {
                let delete = format!("DELETE FROM {table}");
                sql::execute(db.write(), &delete, vec![]).await.unwrap();
            }
            let mut world = World::new(&db).await;
            for op in &ops {
                let retried = world.apply(op).await;
                world.check(retried).await;
            }
            world.end().await;
        });
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    if cluster {
        runtime.block_on(tests::servers::drop_database(&database));
    }
}
