//! What work costs: set aside when it is asked for, spent when it is done, given back when it is not.

use entity::enums::JobState;
use entity::job::cancel::Leaver;
use entity::job::retry::Retried;
use entity::ledger::account::{Income, Why};
use entity::ledger::read::{self, Sources};
use entity::ledger::spend::{self, Charge, Purchase};
use entity::ledger::{Action, GrantSource, Refusal, TransactionType, adjust};
use entity::{args, sql};
use jobs::kinds::consistency_scan::{ConsistencyScan, ConsistencyScanned};
use jobs::kinds::noop::{Noop, NoopFail};
use jobs::submit::Cost;
use jobs::{JobsError, Options};
use tests::System;
use uuid::Uuid;

/// What an export costs, when exports cost.
const EXPORT: i64 = 50;

fn paid_by(user: Uuid) -> Options {
    Options { user_id: Some(user), cost: Cost::Of(Action::PostAnalytics), ..Options::default() }
}

fn work(fail: Option<NoopFail>) -> Noop {
    Noop { fail, ..Noop::default() }
}

/// Available and held.
async fn wallet(system: &System, user: Uuid) -> (i64, i64) {
    let (account, _) = read::account(system.db().read(), user).await.unwrap().unwrap();
    (account.wallet.available, account.wallet.held)
}

async fn booked(system: &System, user: Uuid) -> Vec<(TransactionType, i64)> {
    let all = read::Filter::default();
    let rows = read::transactions(system.db().read(), user, &all, 100).await.unwrap();
    rows.into_iter().rev().map(|row| (row.transaction_type, row.amount)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_is_done_is_paid_and_work_that_is_not_costs_nothing() {
    let mut system = System::builder().workers(0).start().await;
    let dana = system.user("dana").await.id;
    assert_eq!(wallet(&system, dana).await, (1_000, 0), "as it will be; nothing is stored yet");
    assert_eq!(booked(&system, dana).await, []);
    let good = system.jobs.submit(&work(None), &paid_by(dana)).await.unwrap().id;
    let bad = system.jobs.submit(&work(Some(NoopFail::Fatal)), &paid_by(dana)).await.unwrap().id;
    let left = system.jobs.submit(&work(None), &paid_by(dana)).await.unwrap().id;
    assert_eq!(wallet(&system, dana).await, (985, 15));
    system.jobs.cancel(left, Leaver::User(dana)).await.unwrap();
    assert_eq!(wallet(&system, dana).await, (990, 10), "given back at once");
    system.add_worker().await;
    system.drain().await;
    assert_eq!(system.job(good).await.state, JobState::Succeeded);
    assert_eq!(system.job(bad).await.state, JobState::Failed);
    assert_eq!(wallet(&system, dana).await, (995, 0));
    let (earn, spend) = (TransactionType::Earn, TransactionType::Spend);
    assert_eq!(booked(&system, dana).await, [(earn, 1_000), (spend, -5)]);
    let usage = read::usage_since(system.db().read(), dana, "2000-01").await.unwrap();
    assert_eq!((usage[0].paid_used, usage[0].credits_spent, usage[0].free_used), (1, 5, 0));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_who_joins_pays_for_themselves_and_once() {
    let mut system = System::builder().workers(0).start().await;
    let (dana, emil) = (system.user("dana").await.id, system.user("emil").await.id);
    let same = Noop { key: Some("the same".to_owned()), ..Noop::default() };
    let first = system.jobs.submit(&same, &paid_by(dana)).await.unwrap();
    for _ in 0..3 {
        let joined = system.jobs.submit(&same, &paid_by(dana)).await.unwrap();
        assert_eq!((joined.id, joined.created), (first.id, false));
    }
    system.jobs.submit(&same, &paid_by(emil)).await.unwrap();
    assert_eq!((wallet(&system, dana).await, wallet(&system, emil).await), ((995, 5), (995, 5)));
    system.jobs.cancel(first.id, Leaver::User(emil)).await.unwrap();
    assert_eq!(wallet(&system, emil).await, (1_000, 0), "he left");
    system.add_worker().await;
    system.finish(first.id).await;
    assert_eq!((wallet(&system, dana).await, wallet(&system, emil).await), ((995, 0), (1_000, 0)));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_pay_starts_nothing_and_leaves_nothing_behind() {
    let mut system = System::builder().workers(0).start().await;
    let dana = system.user("dana").await.id;
    let admin = system.user("admin").await.id;
    let tx = system.db().begin().await.unwrap();
    adjust::adjust(&tx, dana, -993, admin, "a test").await.unwrap();
    tx.commit().await.unwrap();
    let failing = work(Some(NoopFail::Fatal));
    let one = system.jobs.submit(&failing, &paid_by(dana)).await.unwrap().id;
    let two = system.jobs.submit(&failing, &paid_by(dana)).await;
    let Err(JobsError::Unpaid(refusal)) = two else { panic!("{two:?}") };
    assert_eq!(refusal, Refusal::Insufficient { required: 5, available: 2 });
    assert_eq!(system.open_jobs().await.len(), 1, "the job went back with it");
    system.add_worker().await;
    system.finish(one).await;
    assert_eq!(wallet(&system, dana).await, (7, 0));
    // A retry pays again, or is refused.
    let retried = system.jobs.retry(one, Some(dana), "dana").await.unwrap();
    assert!(matches!(retried, Retried::Queued(_)));
    system.finish(one).await;
    let tx = system.db().begin().await.unwrap();
    adjust::adjust(&tx, dana, -4, admin, "a test").await.unwrap();
    tx.commit().await.unwrap();
    let refused = system.jobs.retry(one, Some(dana), "dana").await.unwrap();
    assert!(matches!(refused, Retried::Unpaid(Refusal::Insufficient { .. })));
    assert_eq!(system.job(one).await.state, JobState::Failed, "it stayed as it was");
    let nobody = system.jobs.submit(&work(None), &paid_by(Uuid::now_v7())).await;
    assert!(matches!(nobody, Err(JobsError::Unpaid(Refusal::NoWallet))), "{nobody:?}");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_free_turn_is_taken_first_and_given_back_with_the_work() {
    let mut system = System::builder().workers(0).start().await;
    let dana = system.user("dana").await.id;
    let options = || Options { cost: Cost::Of(Action::BulkExport), ..paid_by(dana) };
    let free = system.jobs.submit(&work(Some(NoopFail::Fatal)), &options()).await.unwrap().id;
    assert_eq!(wallet(&system, dana).await, (1_000, 0));
    let paid = system.jobs.submit(&work(None), &options()).await.unwrap().id;
    assert_eq!(wallet(&system, dana).await, (1_000 - EXPORT, EXPORT));
    system.add_worker().await;
    system.finish(free).await;
    system.finish(paid).await;
    // The turn is there again.
    let third = system.jobs.submit(&work(None), &options()).await.unwrap().id;
    system.finish(third).await;
    assert_eq!(wallet(&system, dana).await, (1_000 - EXPORT, 0));
    let usage = read::usage_since(system.db().read(), dana, "2000-01").await.unwrap();
    assert_eq!((usage[0].free_used, usage[0].paid_used), (1, 1));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_first_is_spent_first_and_what_was_bought_last() {
    let system = System::builder().workers(0).start().await;
    let dana = system.user("dana").await.id;
    for (source, amount) in
        [(GrantSource::Topup, 100), (GrantSource::Promo, 30), (GrantSource::Admin, 20)]
    {
        let kind = TransactionType::Earn;
        let income = Income { source, kind, amount, expires_at: None };
        let tx = system.db().begin().await.unwrap();
        adjust::receive(&tx, dana, &income, Why::of("a test")).await.unwrap();
        tx.commit().await.unwrap();
    }
    let admin = system.user("admin").await.id;
    let sources = |plan, topup, bonus| Sources { plan, topup, bonus };
    for (take, left) in [
        (990, sources(10, 100, 50)),
        (30, sources(0, 100, 30)),
        (40, sources(0, 90, 0)),
        (90, sources(0, 0, 0)),
    ] {
        let tx = system.db().begin().await.unwrap();
        adjust::adjust(&tx, dana, -take, admin, "a test").await.unwrap();
        tx.commit().await.unwrap();
        let (account, _) = read::account(system.db().read(), dana).await.unwrap().unwrap();
        assert_eq!(Sources::of(&account), left);
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_is_the_same_charge_and_never_another() {
    let system = System::builder().workers(0).start().await;
    let dana = system.user("dana").await.id;
    let charge = |print: &str| Charge {
        user: dana,
        action: Action::PostAnalytics,
        key: Some(("k".to_owned(), print.to_owned())),
        job: None,
    };
    let mut tasks = vec![];
    for _ in 0..50 {
        let (db, charge) = (system.db().clone(), charge("a body"));
        tasks.push(tokio::spawn(async move {
            let tx = db.begin().await.unwrap();
            let held = spend::hold(&tx, &[charge]).await.unwrap().remove(0).unwrap();
            tx.commit().await.unwrap();
            held.id
        }));
    }
    let mut ids = vec![];
    for task in tasks {
        ids.push(task.await.unwrap());
    }
    ids.dedup();
    assert_eq!((ids.len(), wallet(&system, dana).await), (1, (995, 5)));
    let tx = system.db().begin().await.unwrap();
    let other = spend::hold(&tx, &[charge("another body")]).await.unwrap().remove(0);
    assert_eq!(other.unwrap_err(), Refusal::KeyReused);
    drop(tx);
    // The hold has no job: the reconciler gives it back.
    system.advance(std::time::Duration::from_secs(60)).await;
    assert_eq!(system.upkeep.reconcile().await.unwrap().stray_holds, 1);
    assert_eq!(wallet(&system, dana).await, (1_000, 0));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_at_once_spend_no_more_than_there_is() {
    let system = System::builder().workers(0).start().await;
    let (dana, admin) = (system.user("dana").await.id, system.user("admin").await.id);
    let tx = system.db().begin().await.unwrap();
    adjust::adjust(&tx, dana, -500, admin, "a test").await.unwrap();
    tx.commit().await.unwrap();
    let mut tasks = vec![];
    for _ in 0..1_000 {
        let db = system.db().clone();
        let profile = Uuid::now_v7();
        let purchase = Purchase::Posts { user: dana, profile, fetched_at: None };
        tasks.push(tokio::spawn(async move {
            let tx = loop {
                // More callers than connections: whoever finds none free asks again.
                if let Ok(tx) = db.begin().await {
                    break tx;
                }
            };
            let spent = spend::spend(&tx, &[purchase]).await.unwrap().remove(0);
            tx.commit().await.unwrap();
            spent
        }));
    }
    let (mut paid, mut refused) = (0, 0);
    for task in tasks {
        match task.await.unwrap() {
            Ok(spent) => paid += spent.credits,
            Err(Refusal::Insufficient { required: 5, available: 0 }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((paid, refused, wallet(&system, dana).await), (500, 900, (0, 0)));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nightly_scan_says_by_how_much_the_ledger_is_off() {
    let system = System::start().await;
    let (dana, emil) = (system.user("dana").await.id, system.user("emil").await.id);
    for user in [dana, emil] {
        let tx = system.db().begin().await.unwrap();
        adjust::open(&tx, user).await.unwrap();
        tx.commit().await.unwrap();
    }
    let scan = async || {
        let scan = system.jobs.submit(&ConsistencyScan {}, &Options::default()).await.unwrap();
        let result = system.finish(scan.id).await.result.unwrap();
        serde_json::from_value::<ConsistencyScanned>(result).unwrap().ledger_drift_credits
    };
    assert_eq!(scan().await, 0);
    let by = "UPDATE credit_wallets SET available = available + ? WHERE user_id = ?";
    for (user, by_how_much) in [(dana, 7_i64), (emil, -3)] {
        sql::execute(system.db().write(), by, args![by_how_much, user]).await.unwrap();
    }
    assert_eq!(scan().await, 10);
    for (user, by_how_much) in [(dana, -7_i64), (emil, 3)] {
        sql::execute(system.db().write(), by, args![by_how_much, user]).await.unwrap();
    }
    assert_eq!(scan().await, 0);
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_booked_can_be_altered() {
    let system = System::builder().workers(0).start().await;
    let dana = system.user("dana").await.id;
    let tx = system.db().begin().await.unwrap();
    adjust::open(&tx, dana).await.unwrap();
    tx.commit().await.unwrap();
    for text in [
        "UPDATE credit_transactions SET amount = 1, balance_after = balance_before + 1",
        "DELETE FROM credit_transactions",
    ] {
        // Not by the farm, which has no right to, nor by whoever owns the tables.
        sql::execute(system.db().write(), text, args![]).await.unwrap_err();
        let refused = sql::execute(&system.owner().await, text, args![]).await.unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{refused}");
    }
    assert_eq!(booked(&system, dana).await, [(TransactionType::Earn, 1_000)]);
    system.end().await;
}
