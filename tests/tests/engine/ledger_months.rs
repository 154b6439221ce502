//! Months of wallets: they begin once, on the right day, and take with them what was good for them
//! alone. All of it happens in years to come, because the farm's clock only moves forward.

use std::time::Duration;

use entity::enums::{JobState, Role, Tier};
use entity::ledger::account::{Income, Why};
use entity::ledger::read::{self, Sources};
use entity::ledger::{Action, GrantSource, TransactionType, adjust, reset};
use entity::time::parse_rfc3339;
use entity::user::{self, NewUser};
use entity::{Time, args, sql};
use jobs::kinds::credit_reset::{CreditReset, CreditsReset};
use jobs::kinds::noop::{Noop, NoopFail};
use jobs::submit::Cost;
use jobs::{Jobs, Options};
use scheduler::{ENTRIES, Entry, Schedule};
use sea_orm::FromQueryResult;
use tests::System;
use uuid::Uuid;

use TransactionType::{Earn, Expire, Reset, Rollover, Spend};

fn instant(text: &str) -> Time {
    parse_rfc3339(text).unwrap()
}

async fn still() -> System {
    System::builder().workers(0).without_upkeep().start().await
}

/// Moves the farm's clock there.
async fn travel(system: &System, to: &str) {
    let by = instant(to).millis_since(system.now().await);
    system.advance(Duration::from_millis(by.try_into().expect("a time to come"))).await;
}

/// Somebody who signed up then.
async fn who_signed_up(system: &System, name: &str, at: &str) -> Uuid {
    // Without a password: many of them would take their time.
    let new = NewUser {
        email: &format!("{name}@example.test"),
        hashed_password: None,
        full_name: None,
        role: Role::User,
        tier: Tier::Standard,
    };
    let id = user::upsert(system.db(), &new).await.unwrap().id;
    let update = "UPDATE users SET created_at = ? WHERE id = ?";
    sql::execute(system.db().write(), update, vec![sql::at(instant(at)), id.into()]).await.unwrap();
    id
}

/// Makes the wallet, which may keep its package's credits for so many months more.
async fn open(system: &System, user: Uuid, rollovers: i32) {
    let tx = system.db().begin().await.unwrap();
    adjust::open(&tx, user).await.unwrap();
    tx.commit().await.unwrap();
    let update = "UPDATE credit_wallets SET rollover_months_allowed = ? WHERE user_id = ?";
    sql::execute(system.db().write(), update, args![rollovers, user]).await.unwrap();
}

async fn give(system: &System, user: Uuid, source: GrantSource, amount: i64, until: Option<&str>) {
    let expires_at = until.map(instant);
    let kind = if source == GrantSource::Topup { TransactionType::Purchase } else { Earn };
    let income = Income { source, kind, amount, expires_at };
    let tx = system.db().begin().await.unwrap();
    adjust::receive(&tx, user, &income, Why::of("a story")).await.unwrap();
    tx.commit().await.unwrap();
}

async fn take(system: &System, user: Uuid, amount: i64) {
    let admin = system.user("admin").await.id;
    let tx = system.db().begin().await.unwrap();
    adjust::adjust(&tx, user, -amount, admin, "a story").await.unwrap();
    tx.commit().await.unwrap();
}

/// What the scheduled job does, by a worker.
async fn reset_job(system: &System) -> CreditsReset {
    let id = system.jobs.submit(&CreditReset {}, &Options::default()).await.unwrap().id;
    let job = system.finish(id).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?}");
    serde_json::from_value(job.result.unwrap()).unwrap()
}

/// What is stored, without bringing anything up to now: available, held.
async fn stored(system: &System, user: Uuid) -> (i64, i64) {
    let select = "SELECT available, held FROM credit_wallets WHERE user_id = ?";
    let rows = sql::rows(system.db().read(), select, args![user]).await.unwrap();
    (rows[0].try_get("", "available").unwrap(), rows[0].try_get("", "held").unwrap())
}

async fn sources(system: &System, user: Uuid) -> Sources {
    let (account, _) = read::account(system.db().read(), user).await.unwrap().unwrap();
    Sources::of(&account)
}

async fn booked(system: &System, user: Uuid) -> Vec<(TransactionType, i64)> {
    let all = read::Filter::default();
    let rows = read::transactions(system.db().read(), user, &all, 100).await.unwrap();
    rows.into_iter().rev().map(|row| (row.transaction_type, row.amount)).collect()
}

#[derive(Clone, Debug, PartialEq, FromQueryResult)]
struct Month {
    cycle_start: Time,
    cycle_end: Time,
    granted: i64,
    expired: i64,
    rolled_over: i64,
}

async fn months(system: &System, user: Uuid) -> Vec<Month> {
    let select = "SELECT c.cycle_start, c.cycle_end, c.granted, c.expired, c.rolled_over \
         FROM credit_cycles c JOIN credit_wallets w ON w.id = c.wallet_id \
         WHERE w.user_id = ? ORDER BY c.cycle_start";
    sql::all(system.db().read(), select, args![user]).await.unwrap()
}

fn month(start: &str, end: &str, granted: i64, expired: i64, rolled_over: i64) -> Month {
    let (cycle_start, cycle_end) = (instant(start), instant(end));
    Month { cycle_start, cycle_end, granted, expired, rolled_over }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_begins_once_however_many_look_and_however_late() {
    const WALLETS: usize = 120;
    let mut system = still().await;
    let mut users = vec![];
    for n in 0..WALLETS {
        users.push(who_signed_up(&system, &format!("user{n}"), "2045-01-31T10:00:00Z").await);
    }
    travel(&system, "2045-02-20T12:30:00Z").await;
    for user in &users {
        open(&system, *user, 0).await;
    }
    take(&system, users[7], 400).await;
    let hourly: Vec<Entry> =
        ENTRIES.iter().filter(|entry| entry.name == "credit_reset").copied().collect();
    let mut schedulers = vec![];
    for _ in 0..3 {
        let db = system.db().apart().await.unwrap();
        let jobs = Jobs::new(db, system.jobs.tickets().clone());
        schedulers.push(Schedule::new(jobs, &hourly).unwrap());
    }
    schedulers[0].pass().await.unwrap();
    assert!(reset::due(system.db().read(), None, 10).await.unwrap().is_empty(), "nobody yet");
    // Nobody ran at the month's end, nor for the whole day after it.
    travel(&system, "2045-03-01T10:30:00Z").await;
    assert_eq!(stored(&system, users[7]).await, (600, 0), "nobody has looked");
    let passes = schedulers.iter().map(|scheduler| async { scheduler.pass().await.unwrap() });
    let taken = futures_util::future::join_all(passes).await.concat();
    assert_eq!(taken.len(), 1, "one of three takes the tick");
    // Beside the job three more do its work at the same time.
    let due = reset::due(system.db().read(), None, 1_000).await.unwrap();
    assert_eq!(due.len(), WALLETS);
    system.add_worker().await;
    let mut rivals = vec![];
    for _ in 0..3 {
        let (db, due) = (system.db().apart().await.unwrap(), due.clone());
        rivals.push(tokio::spawn(async move {
            let mut months = 0;
            for some in due.chunks(7) {
                let tx = db.begin().await.unwrap();
                months += reset::reset(&tx, some).await.unwrap().months;
                tx.commit().await.unwrap();
            }
            months
        }));
    }
    let mut begun = 0;
    for rival in rivals {
        begun += rival.await.unwrap();
    }
    let job = system.finish(taken[0].job).await;
    let came: CreditsReset = serde_json::from_value(job.result.unwrap()).unwrap();
    assert_eq!(begun + came.months, WALLETS as u64, "each once, whoever did it");
    for user in &users {
        let kept = if *user == users[7] { 600 } else { 1_000 };
        let begun = month("2045-02-28T10:00:00Z", "2045-03-31T10:00:00Z", 1_000, kept, 0);
        assert_eq!(months(&system, *user).await, [begun]);
        assert_eq!(stored(&system, *user).await, (1_000, 0));
    }
    assert_eq!(reset_job(&system).await, CreditsReset::default(), "nothing is due twice");
    // Should somebody forget to lock, the database still refuses.
    let again = "INSERT INTO credit_cycles SELECT * FROM credit_cycles";
    let refused = sql::execute(system.db().write(), again, vec![]).await.unwrap_err();
    assert!(refused.to_string().to_lowercase().contains("unique"), "{refused}");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signed_up_on_the_31st_begins_a_month_on_the_last_day_of_each() {
    let mut system = still().await;
    system.add_worker().await;
    let leap = who_signed_up(&system, "leap", "2044-01-31T22:00:00Z").await;
    travel(&system, "2044-01-31T22:00:01Z").await;
    open(&system, leap, 0).await;
    let ends =
        ["2044-02-29", "2044-03-31", "2044-04-30", "2044-05-31"].map(|d| format!("{d}T22:00:00Z"));
    for (begun, pair) in ends.windows(2).enumerate() {
        travel(&system, &pair[0].replace("T22:00:00", "T21:59:50")).await;
        assert_eq!(reset_job(&system).await.months, 0, "ten seconds before");
        travel(&system, &pair[0].replace("T22:00:00", "T22:00:01")).await;
        assert_eq!(reset_job(&system).await.months, 1);
        let all = months(&system, leap).await;
        assert_eq!(all.len(), begun + 1);
        assert_eq!(all[begun], month(&pair[0], &pair[1], 1_000, 1_000, 0));
    }
    let common = who_signed_up(&system, "common", "2045-01-31T22:00:00Z").await;
    travel(&system, "2045-01-31T23:00:00Z").await;
    open(&system, common, 0).await;
    travel(&system, "2045-03-01T00:00:00Z").await;
    reset_job(&system).await;
    let begun = month("2045-02-28T22:00:00Z", "2045-03-31T22:00:00Z", 1_000, 1_000, 0);
    assert_eq!(months(&system, common).await, [begun], "not a leap year");
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packages_credits_are_kept_as_long_as_the_wallet_may_and_bought_ones_for_ever() {
    let mut system = still().await;
    system.add_worker().await;
    let mut users = vec![];
    travel(&system, "2045-05-10T12:00:00Z").await;
    for rollovers in 0..3 {
        let name = format!("keeps{rollovers}");
        let user = who_signed_up(&system, &name, "2045-05-10T10:00:00Z").await;
        open(&system, user, rollovers).await;
        give(&system, user, GrantSource::Topup, 50, None).await;
        give(&system, user, GrantSource::Promo, 30, Some("2045-06-20T00:00:00Z")).await;
        take(&system, user, 300).await;
        users.push(user);
    }
    let given = |plan: i64, bonus: i64| Sources { plan, topup: 50, bonus };
    let mut expired = vec![];
    for (at, left) in [
        ("2045-06-10T11:00:00Z", [given(1_000, 30), given(1_700, 30), given(1_700, 30)]),
        ("2045-06-20T00:00:01Z", [given(1_000, 0), given(1_700, 0), given(1_700, 0)]),
        ("2045-07-10T11:00:00Z", [given(1_000, 0), given(2_000, 0), given(2_700, 0)]),
        ("2045-08-10T11:00:00Z", [given(1_000, 0), given(2_000, 0), given(3_000, 0)]),
    ] {
        travel(&system, at).await;
        expired.push(reset_job(&system).await.expired);
        for (user, left) in users.iter().zip(left) {
            assert_eq!(sources(&system, *user).await, left, "{at}");
            let sum = left.plan + left.topup + left.bonus;
            assert_eq!(stored(&system, *user).await, (sum, 0), "{at}, as the job left it");
        }
    }
    assert_eq!(expired, [700, 90, 1_000 + 700, 1_000 + 1_000 + 700]);
    // What was kept is spent after what is new, and before what was given or bought.
    give(&system, users[2], GrantSource::Promo, 10, Some("2045-08-11T00:00:00Z")).await;
    take(&system, users[2], 2_999).await;
    assert_eq!(sources(&system, users[2]).await, Sources { plan: 1, topup: 50, bonus: 10 });
    let all = booked(&system, users[1]).await;
    let kept = all.iter().filter(|(kind, amount)| (*kind, *amount) == (Rollover, 0)).count();
    assert_eq!(kept, 3, "each time something was kept it is said: {all:?}");
    // Years later: of the package one month's, and what was bought.
    travel(&system, "2055-01-01T00:00:00Z").await;
    reset_job(&system).await;
    for user in users {
        assert_eq!(sources(&system, user).await, given(1_000, 0));
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credits_held_over_a_months_end_are_spent_with_the_work_or_expire_without_it() {
    let mut system = still().await;
    let dana = who_signed_up(&system, "dana", "2045-01-10T10:00:00Z").await;
    travel(&system, "2045-01-10T12:00:00Z").await;
    open(&system, dana, 0).await;
    let paid =
        |action| Options { user_id: Some(dana), cost: Cost::Of(action), ..Options::default() };
    let failing = Noop { fail: Some(NoopFail::Fatal), ..Noop::default() };
    let posts = paid(Action::PostAnalytics);
    system.jobs.submit(&Noop::default(), &posts).await.unwrap();
    system.jobs.submit(&failing, &posts).await.unwrap();
    // A free turn of January, and one that is paid for.
    system.jobs.submit(&failing, &paid(Action::BulkExport)).await.unwrap();
    system.jobs.submit(&failing, &paid(Action::BulkExport)).await.unwrap();
    assert_eq!(stored(&system, dana).await, (940, 60));
    travel(&system, "2045-02-10T10:00:01Z").await;
    let due = reset::due(system.db().read(), None, 10).await.unwrap();
    let tx = system.db().begin().await.unwrap();
    let came = reset::reset(&tx, &due).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!((came.months, came.granted, came.expired), (1, 1_000, 940));
    assert_eq!(stored(&system, dana).await, (1_000, 60), "what is held stays held");
    assert!(reset::due(system.db().read(), None, 10).await.unwrap().is_empty(), "nor due");
    system.add_worker().await;
    system.drain().await;
    assert_eq!(stored(&system, dana).await, (1_000, 0));
    let mut all = booked(&system, dana).await;
    assert_eq!(all[..3], [(Earn, 1_000), (Expire, -940), (Reset, 1_000)]);
    all[3..].sort_by_key(|(kind, amount)| (*amount, *kind));
    assert_eq!(all[3..], [(Expire, -50), (Spend, -5), (Expire, -5)]);
    let usage = read::usage_since(system.db().read(), dana, "2045-01").await.unwrap();
    for turns in &usage {
        let paid = i64::from(turns.action_type == Action::PostAnalytics);
        assert_eq!((turns.month_year.as_str(), turns.free_used), ("2045-01", 0), "{turns:?}");
        assert_eq!((turns.paid_used, turns.credits_spent), (paid, 5 * paid));
    }
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn months_that_nobody_saw_are_jumped_over() {
    let mut system = still().await;
    system.add_worker().await;
    let [keeps, forgets] = ["keeps", "forgets"];
    let keeps = who_signed_up(&system, keeps, "2045-01-31T10:00:00Z").await;
    let forgets = who_signed_up(&system, forgets, "2045-01-31T10:00:00Z").await;
    travel(&system, "2045-01-31T11:00:00Z").await;
    open(&system, keeps, 2).await;
    open(&system, forgets, 1).await;
    travel(&system, "2045-04-01T00:00:00Z").await;
    let came = reset_job(&system).await;
    assert_eq!((came.wallets, came.months, came.granted, came.expired), (2, 2, 2_000, 1_000));
    let (start, end) = ("2045-03-31T10:00:00Z", "2045-04-30T10:00:00Z");
    assert_eq!(months(&system, keeps).await, [month(start, end, 1_000, 0, 1_000)], "two ends");
    assert_eq!(months(&system, forgets).await, [month(start, end, 1_000, 1_000, 0)]);
    let kept = [(Earn, 1_000), (Rollover, 0), (Reset, 1_000)];
    assert_eq!(booked(&system, keeps).await, kept, "one month's credits, not one for each");
    assert_eq!(booked(&system, forgets).await, [(Earn, 1_000), (Expire, -1_000), (Reset, 1_000)]);
    // Whoever comes first begins the month, and the job finds nothing left of it to do.
    travel(&system, "2046-01-01T00:00:00Z").await;
    take(&system, keeps, 1).await;
    assert_eq!(reset_job(&system).await.wallets, 1, "the other's");
    let begun = months(&system, keeps).await.pop().unwrap();
    assert_eq!(begun, month("2045-12-31T10:00:00Z", "2046-01-31T10:00:00Z", 1_000, 2_000, 0));
    system.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_without_a_package_has_months_too() {
    let mut system = still().await;
    let free = who_signed_up(&system, "free", "2045-01-15T10:00:00Z").await;
    let update = "UPDATE users SET subscription_tier = ? WHERE id = ?";
    let tier = Tier::Free.as_str();
    sql::execute(system.db().write(), update, args![tier, free]).await.unwrap();
    travel(&system, "2045-01-15T11:00:00Z").await;
    open(&system, free, 0).await;
    assert_eq!(booked(&system, free).await, []);
    give(&system, free, GrantSource::Topup, 20, None).await;
    system.add_worker().await;
    let options = Options {
        user_id: Some(free),
        cost: Cost::Of(Action::PostAnalytics),
        ..Options::default()
    };
    let work = system.jobs.submit(&Noop::default(), &options).await.unwrap().id;
    system.finish(work).await;
    let spent = async || {
        let (account, _) = read::account(system.db().read(), free).await.unwrap().unwrap();
        account.wallet.spent_this_cycle
    };
    assert_eq!(spent().await, 5);
    travel(&system, "2045-02-15T10:00:01Z").await;
    assert_eq!(reset_job(&system).await.months, 1);
    let begun = month("2045-02-15T10:00:00Z", "2045-03-15T10:00:00Z", 0, 0, 0);
    assert_eq!((months(&system, free).await, spent().await), (vec![begun], 0));
    assert_eq!(booked(&system, free).await, [(TransactionType::Purchase, 20), (Spend, -5)]);
    system.end().await;
}
