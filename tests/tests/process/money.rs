//! A farm that is killed while it is paid: by whoever orders work, and by whoever reads.

use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use api::Issuer;
use entity::Db;
use entity::enums::{Queue, Role, Tier};
use entity::ledger::account::{Income, Why};
use entity::ledger::{Action, GrantSource, TransactionType, adjust, audit};
use entity::user::{self, NewUser};
use jobs::Options;
use jobs::kinds::noop::{Noop, NoopFail};
use jobs::submit::{Cost, new_job};
use tempfile::TempDir;
use tests::buyers::Buyers;
use tests::program::program;
use uuid::Uuid;

use crate::{Beside, Farm, RUNNING};

const SECRET: &str = "a secret for tests, thirty-two bytes";

fn up(program: &Path, data: &Path) -> Farm {
    let env = [
        ("FARM_LEASE_SECONDS", "2"),
        ("AI_TIER", "rules"),
        ("FARM_JWT_SECRET", SECRET),
        // A few users ask as often as many would.
        ("FARM_RATE_LIMITS", "off"),
    ];
    Farm::up_with(program, data, 4, &env)
}

/// Users, each with a token.
async fn buyers(db: &Db) -> Vec<(Uuid, String)> {
    let issuer = Issuer::new(SECRET.as_bytes());
    let mut users = vec![];
    for n in 0..4 {
        let new = NewUser {
            email: &format!("buyer{n}@example.test"),
            hashed_password: None,
            full_name: None,
            role: Role::User,
            tier: Tier::Standard,
        };
        let user = user::upsert(db, &new).await.unwrap();
        users.push((user.id, issuer.sign(&user, 3_600).unwrap()));
    }
    users
}

const WORK_DONE: &str = "jobs WHERE kind = 'noop' AND state = 'succeeded'";
const OPEN: &str = "jobs WHERE kind = 'noop' AND state NOT IN ('succeeded', 'failed')";

#[tokio::test(flavor = "multi_thread")]
async fn what_costs_is_paid_once_although_the_farm_is_killed_in_the_middle_of_it() {
    let (program, data) = (program(), TempDir::new().unwrap());
    let mut farm = up(&program, data.path());
    let beside = Beside::open(data.path()).await;
    let db = beside.jobs.db();
    let demo = user::by_email(db.read(), "demo@example.test").await.unwrap().unwrap().id;
    let tx = db.begin().await.unwrap();
    let (source, kind) = (GrantSource::Topup, TransactionType::Purchase);
    let income = Income { source, kind, amount: 1_000_000, expires_at: None };
    adjust::receive(&tx, demo, &income, Why::of("a story")).await.unwrap();
    tx.commit().await.unwrap();
    let costs = Options {
        queue: Some(Queue::Fetch),
        user_id: Some(demo),
        cost: Cost::Of(Action::PostAnalytics),
        ..Options::default()
    };
    let submit = async |jobs: Range<i64>| {
        let new = jobs.map(|n| {
            let fail = (n % 5 == 0).then_some(NoopFail::Fatal);
            // Some still run when others have ended.
            let ms = 100 + 40 * (n % 40) as u64;
            new_job(&Noop { ms, effects: true, fail, ..Noop::default() }, &costs).unwrap()
        });
        beside.jobs.submit_many(&new.collect::<Vec<_>>()).await.unwrap();
    };
    let mut buyers = Buyers::start(db, buyers(db).await, vec![farm.url.clone()]).await;
    let (began, mut kills, mut ordered) = (Instant::now(), 0, 0);
    while kills < 3 || began.elapsed() < tests::storm_lasts() {
        buyers.buy(db, 30).await;
        let done = beside.count(WORK_DONE).await;
        // A long storm orders no more than can be done at its end.
        let (at_work, at_rest) = if beside.count(OPEN).await < 100 { (40, 20) } else { (0, 0) };
        submit(ordered..ordered + at_work).await;
        ordered += at_work;
        beside.until(WORK_DONE, done + 10).await;
        beside.until(RUNNING, 3).await;
        farm.kill();
        kills += 1;
        buyers.robbed(db).await;
        let open = "credit_holds WHERE state = 'held'";
        assert!(beside.count(open).await > 0, "killed in the middle of it");
        // Holds that are made while nobody is there.
        submit(ordered..ordered + at_rest).await;
        ordered += at_rest;
        let dead = audit::audit(db.read()).await.unwrap();
        assert!(dead.drifts.is_empty() && dead.unearned_holds == 0, "{dead:#?}");
        farm = up(&program, data.path());
        buyers.doors(vec![farm.url.clone()]);
    }
    let bought = buyers.end(db).await;
    beside.until("jobs WHERE kind = 'noop' AND state IN ('succeeded', 'failed')", ordered).await;
    let audit = audit::audit(db.read()).await.unwrap();
    assert!(audit.is_clean() && audit.held == 0, "{audit:#?}");
    // Killed too often, a job is given up.
    let unlucky = "jobs WHERE error_code IN ('poison', 'worker_lost') AND state = 'failed'";
    let (done, unlucky) = (beside.count(WORK_DONE).await, beside.count(unlucky).await);
    assert!((ordered * 4 / 5 - unlucky..=ordered * 4 / 5).contains(&done), "{done} of {ordered}");
    let spends = "credit_transactions t JOIN credit_holds h ON h.id = t.hold_id \
         WHERE t.transaction_type = 'spend'";
    let jobs = "JOIN jobs j ON j.id = h.job_id AND j.kind = 'noop'";
    let paid = spends.replace("WHERE", &format!("{jobs} WHERE t.amount = -5 AND"));
    assert_eq!(beside.count(&paid).await, done, "what was done, and nothing else");
    assert_eq!(beside.count(spends).await, done + bought.things);
    assert!(beside.count("jobs WHERE lost > 0").await > 0, "somebody lost a run");
    assert!(bought.cut > 0, "killed in the middle of it: {bought:?}");
    let status = Command::new(&program)
        .args(["credits", "audit"])
        .env_remove("DATABASE_URL")
        .env("FARM_DATA_DIR", data.path())
        .status();
    assert!(status.unwrap().success());
    assert!(farm.stop().success());
    println!(
        "killed {kills} times: {done} pieces of work paid for, {unlucky} given up; {bought}, \
         {:.1} s",
        began.elapsed().as_secs_f32()
    );
}
