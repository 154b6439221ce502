//! The ledger's rows against the model: whatever is done to a wallet through the operations that
//! the farm has, in whatever order, its rows are what the model says. (The account behind them is
//! compared in many more sequences where it is.)

use entity::ledger::account::{Income, Why};
use entity::ledger::orders::{self, Quote};
use entity::ledger::spend::{self, Charge};
use entity::ledger::{
    Action, GrantSource, LedgerError, Refusal, TransactionType, adjust, audit, settle,
};
use entity::{Db, Time, args, clock, sql};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use sea_orm::FromQueryResult;
use tests::System;
use uuid::Uuid;

#[path = "../../../entity/src/ledger/model.rs"]
mod model;

use model::{Model, Said, Stand, Step};

const SEQUENCES: u32 = 48;
const STEPS: std::ops::Range<usize> = 20..90;
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

#[derive(Clone, Debug)]
struct Sequence {
    /// Signed up so many days ago, or on the last such day of a month before.
    days_ago: i64,
    day: &'static str,
    tier: &'static str,
    allowed: i32,
    steps: Vec<Step>,
}

fn sequences() -> impl Strategy<Value = Sequence> {
    (
        1..500_i64,
        prop::sample::select(&["31", "30", "29", "15"][..]),
        prop::sample::select(&["free", "standard", "premium"][..]),
        0..3_i32,
        prop::collection::vec(model::step(true), STEPS),
    )
        .prop_map(|(days_ago, day, tier, allowed, steps)| Sequence {
            days_ago,
            day,
            tier,
            allowed,
            steps,
        })
}

/// What a month's package is worth here: so little that it is used up.
fn monthly(tier: &str) -> i64 {
    match tier {
        "standard" => 40,
        "premium" => 100,
        _ => 0,
    }
}

#[derive(Debug, PartialEq, FromQueryResult)]
struct WalletRow {
    available: i64,
    held: i64,
    spent_this_cycle: i64,
    entries: i64,
    is_locked: bool,
}

#[derive(Debug, PartialEq, FromQueryResult)]
struct GrantRow {
    source: GrantSource,
    remaining: i64,
    held: i64,
    expires_at: Option<Time>,
}

#[derive(FromQueryResult)]
struct EntryRow {
    transaction_type: TransactionType,
    amount: i64,
    balance_before: i64,
    balance_after: i64,
}

#[derive(FromQueryResult)]
struct UsageRow {
    action_type: Action,
    month_year: String,
    free_used: i64,
    paid_used: i64,
    credits_spent: i64,
}

#[derive(FromQueryResult)]
struct Id {
    id: Uuid,
}

struct World<'a> {
    db: &'a Db,
    user: Uuid,
    admin: Uuid,
    /// Holds and their jobs.
    holds: Vec<(Uuid, Uuid)>,
    orders: Vec<String>,
}

impl World<'_> {
    /// A job that waits, for a hold must have one.
    async fn job(&self) -> Uuid {
        let insert = "INSERT INTO jobs (id, kind, queue, payload, max_attempts, run_at, created_at) \
             VALUES (?, 'noop', 'upkeep', ?, 3, {now}, {now})";
        let (id, payload) = (Uuid::now_v7(), serde_json::json!({}));
        sql::execute(self.db.write(), insert, args![id, payload]).await.unwrap();
        id
    }

    async fn hold(&mut self, action: Action, key: Option<(u8, u8)>) -> Said {
        let key = key.map(|(name, used_for)| (format!("key {name}"), format!("for {used_for}")));
        let job = self.job().await;
        let charge = Charge { user: self.user, action, key, job: Some(job) };
        let tx = self.db.begin().await.unwrap();
        let held = spend::hold(&tx, &[charge]).await.unwrap().remove(0);
        tx.commit().await.unwrap();
        match held {
            Ok(hold) => match self.holds.iter().position(|(id, _)| *id == hold.id) {
                Some(at) => Said::Again(at),
                None => {
                    self.holds.push((hold.id, job));
                    Said::Done
                }
            },
            Err(Refusal::Locked(_)) => Said::Locked,
            Err(Refusal::Insufficient { .. }) => Said::Insufficient,
            Err(Refusal::KeyReused) => Said::KeyReused,
            Err(other) => panic!("{other}"),
        }
    }

    async fn end_job(&self, job: Uuid, state: &str) {
        let end =
            "UPDATE jobs SET state = ?, finished_at = {now} WHERE id = ? AND state = 'queued'";
        sql::execute(self.db.write(), end, args![state, job]).await.unwrap();
        let tx = self.db.begin().await.unwrap();
        settle::ended(&tx, &[job]).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn leave_job(&self, job: Uuid) {
        let tx = self.db.begin().await.unwrap();
        settle::left(&tx, job, Some(self.user)).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn receive(&self, income: &Income) {
        let tx = self.db.begin().await.unwrap();
        adjust::receive(&tx, self.user, income, Why::of("a case")).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn adjust(&self, amount: i64) -> Said {
        let tx = self.db.begin().await.unwrap();
        match adjust::adjust(&tx, self.user, amount, self.admin, "a case").await {
            Ok(()) => tx.commit().await.map(|()| Said::Done).unwrap(),
            Err(LedgerError::Refused(Refusal::Insufficient { .. })) => Said::Insufficient,
            Err(other) => panic!("{other}"),
        }
    }

    async fn order(&mut self, credits: i64) {
        let quote = Quote {
            credits,
            unit_usd_cents: 20,
            discount_percent: 0,
            price_usd_cents: credits * 20,
        };
        let tx = self.db.begin().await.unwrap();
        let order = orders::place(&tx, self.user, &quote).await.unwrap();
        tx.commit().await.unwrap();
        self.orders.push(order.order_reference);
    }

    async fn deliver(&self, at: usize) -> Said {
        let tx = self.db.begin().await.unwrap();
        let delivered = orders::deliver(&tx, &self.orders[at]).await.unwrap();
        tx.commit().await.unwrap();
        delivered.map_or(Said::Twice, |_| Said::Done)
    }

    async fn refund(&self, at: usize) -> Said {
        let spend = "SELECT id FROM credit_transactions WHERE hold_id = ?";
        let spend: Option<Id> =
            sql::one(self.db.read(), spend, args![self.holds[at].0]).await.unwrap();
        let Some(spend) = spend else { return Said::Nothing };
        let tx = self.db.begin().await.unwrap();
        match adjust::refund(&tx, spend.id, self.admin, "a case").await {
            Ok(None) => Said::Nothing,
            Ok(Some(_)) => tx.commit().await.map(|()| Said::Done).unwrap(),
            Err(LedgerError::Db(error)) if error.to_string().to_lowercase().contains("unique") => {
                Said::Twice
            }
            Err(other) => panic!("{other}"),
        }
    }

    /// Does what the model did.
    async fn take(&mut self, step: &Step, model: &Model) -> Option<Said> {
        match *step {
            Step::Wait(hours) => {
                let tx = self.db.begin().await.unwrap();
                clock::advance(&tx, hours * HOUR).await.unwrap();
                tx.commit().await.unwrap();
            }
            Step::Earn { source, amount, days } => {
                let expires_at = days.map(|days| Time(model.now + days * DAY + HOUR / 2));
                let kind = TransactionType::Earn;
                self.receive(&Income { source, kind, amount, expires_at }).await;
            }
            Step::Hold { action, key } => return Some(self.hold(action, key).await),
            Step::Capture(n) => {
                let job = model.hold_of(n).map(|at| self.holds[at].1);
                self.end_job(job?, "succeeded").await;
                return None;
            }
            Step::Release(n) => {
                let at = model.hold_of(n)?;
                let job = self.holds[at].1;
                match at % 3 {
                    // A job that was paid for has not failed.
                    _ if model.holds[at].stand == Stand::Paid => self.leave_job(job).await,
                    0 => self.end_job(job, "failed").await,
                    1 => self.end_job(job, "cancelled").await,
                    _ => self.leave_job(job).await,
                }
                return None;
            }
            Step::Lock(locked) => {
                let tx = self.db.begin().await.unwrap();
                let by = Some(self.admin);
                adjust::lock(&tx, self.user, locked, by, "a case").await.unwrap();
                tx.commit().await.unwrap();
            }
            Step::Adjust(amount) => return Some(self.adjust(amount).await),
            Step::Order(credits) => self.order(credits).await,
            Step::Deliver(n) => {
                let at = model.order_of(n)?;
                return Some(self.deliver(at).await);
            }
            Step::Refund(n) => {
                let at = model.hold_of(n)?;
                return Some(self.refund(at).await);
            }
        }
        Some(Said::Done)
    }

    async fn all<T: FromQueryResult>(&self, select: &str) -> Vec<T> {
        sql::all(self.db.read(), select, args![self.user]).await.unwrap()
    }

    async fn check(&self, model: &Model) {
        let wallet: Vec<WalletRow> = self
            .all(
                "SELECT available, held, spent_this_cycle, entries, is_locked \
                 FROM credit_wallets WHERE user_id = ?",
            )
            .await;
        let expected = WalletRow {
            available: model.available(),
            held: model.held(),
            spent_this_cycle: model.spent_this_month,
            entries: model.booked.len() as i64,
            is_locked: model.locked,
        };
        assert_eq!(wallet, [expected]);
        let grants: Vec<GrantRow> = self
            .all(
                "SELECT source, remaining, held, expires_at FROM credit_grants \
                 WHERE remaining > 0 AND wallet_id = \
                   (SELECT id FROM credit_wallets WHERE user_id = ?) ORDER BY id",
            )
            .await;
        let piles = model.left().into_iter().map(|pile| GrantRow {
            source: pile.source,
            remaining: pile.free + pile.held,
            held: pile.held,
            expires_at: pile.ends.map(Time),
        });
        assert_eq!(grants, piles.collect::<Vec<_>>());
    }

    async fn check_all(&self, model: &Model) {
        let entries: Vec<EntryRow> = self
            .all(
                "SELECT transaction_type, amount, balance_before, balance_after \
                 FROM credit_transactions WHERE user_id = ? ORDER BY entry",
            )
            .await;
        let mut balance = 0;
        for entry in &entries {
            assert_eq!(entry.balance_before, balance);
            balance += entry.amount;
            assert_eq!(entry.balance_after, balance);
        }
        let booked = entries.iter().map(|entry| (entry.transaction_type, entry.amount));
        assert_eq!(booked.collect::<Vec<_>>(), model.booked);
        let usage: Vec<UsageRow> = self
            .all(
                "SELECT action_type, month_year, free_used, paid_used, credits_spent \
                 FROM credit_usage WHERE user_id = ?",
            )
            .await;
        let usage = usage
            .into_iter()
            .map(|u| ((u.action_type, u.month_year), (u.free_used, u.paid_used, u.credits_spent)))
            .filter(|(_, turns)| *turns != (0, 0, 0));
        let turns = model.turns.iter().filter(|(_, turns)| **turns != (0, 0, 0));
        let mut usage: Vec<_> = usage.collect();
        usage.sort();
        let turns: Vec<_> = turns.map(|(key, turns)| (key.clone(), *turns)).collect();
        assert_eq!(usage, turns);
        let audit = audit::audit(self.db.read()).await.unwrap();
        assert!(audit.is_clean(), "{audit:#?}");
    }
}

/// The farm's clock moves to a quarter past the next hour, so that none of the times of a case,
/// which are a quarter before, on, or a quarter past an hour's quarters, is near.
async fn quarter_past(db: &Db) -> Time {
    let now = clock::now(db.read()).await.unwrap().0;
    let to = (now.div_euclid(HOUR) + 1) * HOUR + HOUR / 4;
    let tx = db.begin().await.unwrap();
    clock::advance(&tx, to - now).await.unwrap();
    tx.commit().await.unwrap();
    Time(to)
}

async fn play(system: &System, admin: Uuid, case: &Sequence) {
    let db = system.db();
    let now = quarter_past(db).await;
    let mut signed_up = now.0 - case.days_ago * DAY - HOUR / 2;
    while Time(signed_up).rfc3339().get(8..10) != Some(case.day) {
        signed_up -= DAY;
    }
    let user = Uuid::now_v7();
    let insert = "INSERT INTO users (id, email, role, status, subscription_tier, created_at, \
         updated_at) VALUES (?, ?, 'user', 'active', ?, ?, {now})";
    let (email, at) = (format!("{user}@example.test"), sql::at(Time(signed_up)));
    let values = vec![user.into(), email.into(), case.tier.into(), at];
    sql::execute(db.write(), insert, values).await.unwrap();
    let mut world = World { db, user, admin, holds: vec![], orders: vec![] };
    let mut model = Model::new(signed_up, now.0, monthly(case.tier), case.allowed);
    let tx = db.begin().await.unwrap();
    adjust::open(&tx, user).await.unwrap();
    tx.commit().await.unwrap();
    let allow = "UPDATE credit_wallets SET rollover_months_allowed = ? WHERE user_id = ?";
    sql::execute(db.write(), allow, args![case.allowed, user]).await.unwrap();
    model.take(&Step::Lock(false));
    for step in &case.steps {
        let done = world.take(step, &model).await;
        let said = model.take(step);
        // What ends a job says nothing of what was held for it.
        assert!(done.is_none_or(|done| done == said), "{step:?}: {done:?}, and not {said:?}");
        world.check(&model).await;
    }
    world.check_all(&model).await;
    // Whatever is still held goes back, so that the next case finds no hold that is too old.
    for at in 0..world.holds.len() {
        world.take(&Step::Release(at), &model).await;
    }
}

#[test]
fn rows_of_the_ledger_are_what_the_model_says_whatever_happens() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (system, admin) = runtime.block_on(async {
        let system = System::builder().workers(0).without_upkeep().start().await;
        let admin = system.user("admin").await.id;
        for (tier, name) in [("standard", "package_a"), ("premium", "package_b")] {
            let set = "UPDATE credit_packages SET monthly_credits = ? WHERE name = ?";
            sql::execute(system.db().write(), set, args![monthly(tier), name]).await.unwrap();
        }
        (system, admin)
    });
    let config = Config { cases: SEQUENCES, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let result = runner.run(&sequences(), |case| {
        runtime.block_on(play(&system, admin, &case));
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    runtime.block_on(system.end_with_open_jobs());
}
