//! `farm bench credits`: what paying costs. Reading something that has a price is one purchase; many
//! at once are booked together, as the API does it, beside the classic way: a transaction for each,
//! which locks the wallet with `SELECT … FOR UPDATE`.

mod classic;

use std::time::{Duration, Instant};

use clap::Args;
use entity::Db;
use entity::ledger::account::{Income, Why};
use entity::ledger::spend::Purchase;
use entity::ledger::till::Till;
use entity::ledger::{GrantSource, TransactionType, adjust, audit};
use jobs::process::Failure;
use uuid::Uuid;

use self::classic::Classic;
use super::figure::{Latencies, Report, Spread};
use super::stack::Stack;
use super::{Common, host, say};
use crate::config::Settings;

/// What a purchase costs.
const COST: i64 = 5;
/// More than is ever spent of a wallet.
const PLENTY: i64 = 1_000_000_000;
/// Purchases of one caller, of whose times the median is taken.
const PROBES: usize = 400;

/// How much to measure.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(super) common: Common,
    /// Callers at once. Nobody buys two things at once: with as many wallets, one for each.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    callers: u16,
    /// Wallets of the second figure; the first is of one.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(2..=10_000))]
    wallets: u16,
    /// Seconds per round of each.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=600))]
    seconds: u16,
}

pub(super) async fn run(settings: &Settings, options: &Options) -> Result<Report, Failure> {
    let stack = Stack::start(settings).await?;
    let db = stack.db().clone();
    let mut on = host::describe();
    on.extend(stack.versions().await?);
    on.push(("callers".to_owned(), options.callers.to_string()));
    let mut report = Report::new("farm bench credits", on);
    say("filling wallets");
    let users = fill(&stack, usize::from(options.wallets)).await?;
    let classic = Classic::start(&stack, &users, PLENTY).await?;
    let mut spent = 0;
    for (key, what, wallets) in [
        ("hot", "one wallet", &users[..1]),
        ("many", &format!("{} wallets", users.len()), &users[..]),
    ] {
        let [mut together, mut each, mut ratio] = std::array::from_fn(|_| Spread::default());
        let mut batch = Spread::default();
        for round in 0..=options.common.rounds {
            say(&format!("{what}, round {round} of {}", options.common.rounds));
            // As autovacuum does within a minute: until then the checks of foreign keys go by plans
            // that were made for empty tables, and read all of them.
            stack.execute("ANALYZE").await?;
            // The first one warms up.
            let lasts = if round == 0 { 1 } else { options.seconds };
            let lasts = Duration::from_secs(lasts.into());
            let till = Till::new(db.clone());
            let farm = load(options.callers, wallets, lasts, async |user| pay(&till, user).await);
            let farm = farm.await?;
            let other =
                load(options.callers, wallets, lasts, async |user| classic.pay(user, COST).await);
            let other = other.await?;
            spent += farm.count;
            if round > 0 {
                together.add(farm.per_second());
                each.add(other.per_second());
                ratio.add(farm.per_second() / other.per_second());
                batch.add(farm.count as f64 / till.transactions().max(1) as f64);
            }
        }
        let per_s = |side: &str| format!("{key}.{side}_per_s");
        let aim = if key == "hot" { "at least 1,000" } else { "" };
        report.figure(&per_s("spends"), &format!("{what}, purchases"), "/s", together, aim);
        let classic = format!("{what}, `FOR UPDATE`, one transaction each");
        report.figure(&per_s("for_update"), &classic, "/s", each, "");
        let times = format!("{what}, farm / `FOR UPDATE`");
        report.figure(&format!("{key}.ratio"), &times, "x", ratio, "at least 3");
        let size = format!("{what}, purchases of one transaction");
        report.figure(&format!("{key}.batch"), &size, "", batch, "");
    }
    say("one caller");
    stack.execute("ANALYZE").await?;
    let probes = probe(&stack, users[0], &mut spent).await?;
    for (at, words) in [(50.0, "p50"), (99.0, "p99")] {
        let key = |what: &str| format!("{what}_{words}_ms");
        let aim = if words == "p50" { "at most 2" } else { "" };
        let what = format!("one purchase by one caller, {words}");
        report.figure(&key("gate"), &what, "ms", probes.gate.percentile(at).into(), "");
        let what = format!("commit of one row, {words}");
        report.figure(&key("commit"), &what, "ms", probes.commit.percentile(at).into(), "");
        let over = probes.gate.percentile(at) - probes.commit.percentile(at);
        let what = format!("a purchase over a commit, {words}");
        report.figure(&key("gate_over_commit"), &what, "ms", over.into(), aim);
    }
    adds_up(&db, spent).await?;
    say("done");
    stack.finish().await?;
    Ok(report)
}

async fn pay(till: &Till, user: Uuid) -> Result<(), Failure> {
    let paid = till.pay(purchase(user)).await.map_err(Failure::during("a purchase"))?;
    paid.map(drop).map_err(|refusal| Failure::new(format!("refused: {refusal}")))
}

/// Something that nobody bought before.
fn purchase(user: Uuid) -> Purchase {
    Purchase::Posts { user, profile: Uuid::now_v7(), fetched_at: None }
}

/// So many users with a wallet each, in which there is plenty.
async fn fill(stack: &Stack, wallets: usize) -> Result<Vec<Uuid>, Failure> {
    stack
        .execute(&format!(
            "INSERT INTO users (id, email, role, status, subscription_tier, created_at, \
             updated_at) SELECT gen_random_uuid(), 'bench' || n || '@example.test', 'user', \
             'active', 'premium', now(), now() FROM generate_series(1, {wallets}) AS n"
        ))
        .await?;
    let rows = entity::sql::rows(stack.db().read(), "SELECT id FROM users ORDER BY id", vec![]);
    let ids: Result<Vec<Uuid>, _> = rows.await?.iter().map(|row| row.try_get("", "id")).collect();
    let users = ids.map_err(Failure::during("the users"))?;
    let (source, kind) = (GrantSource::Topup, TransactionType::Purchase);
    let income = Income { source, kind, amount: PLENTY, expires_at: None };
    for user in &users {
        let tx = stack.db().begin().await?;
        let given = adjust::receive(&tx, *user, &income, Why::of("a benchmark")).await;
        given.map_err(Failure::during("a wallet"))?;
        tx.commit().await?;
    }
    Ok(users)
}

struct Load {
    count: u64,
    took: Duration,
}

impl Load {
    fn per_second(&self) -> f64 {
        self.count as f64 / self.took.as_secs_f64()
    }
}

/// So many callers who pay one purchase after the other, each time from any of the wallets.
async fn load(
    callers: u16,
    wallets: &[Uuid],
    lasts: Duration,
    pay: impl AsyncFn(Uuid) -> Result<(), Failure>,
) -> Result<Load, Failure> {
    let began = Instant::now();
    let calls = (0..callers).map(|_| async {
        let mut count = 0;
        while began.elapsed() < lasts {
            pay(wallets[rand::random_range(0..wallets.len())]).await?;
            count += 1;
        }
        Ok::<u64, Failure>(count)
    });
    let counts = futures_util::future::try_join_all(calls).await?;
    Ok(Load { count: counts.into_iter().sum(), took: began.elapsed() })
}

#[derive(Default)]
struct Probes {
    gate: Latencies,
    commit: Latencies,
}

/// One caller, who by turns buys something and has one row committed.
async fn probe(stack: &Stack, user: Uuid, spent: &mut u64) -> Result<Probes, Failure> {
    stack.execute("CREATE TABLE IF NOT EXISTS bench_commit (at timestamptz)").await?;
    let mut probes = Probes::default();
    let till = Till::new(stack.db().clone());
    for n in 0..PROBES {
        let began = Instant::now();
        pay(&till, user).await?;
        let gate = began.elapsed();
        *spent += 1;
        let began = Instant::now();
        stack.execute("INSERT INTO bench_commit VALUES (clock_timestamp())").await?;
        // The first ones warm up.
        if n >= PROBES / 10 {
            probes.gate.add(gate);
            probes.commit.add(began.elapsed());
        }
    }
    Ok(probes)
}

/// A figure of a run that lost count is none.
async fn adds_up(db: &Db, purchases: u64) -> Result<(), Failure> {
    let audit = audit::audit(db.read()).await?;
    let spends = "SELECT CAST(-sum(amount) AS bigint) AS n FROM credit_transactions \
         WHERE transaction_type = 'spend'";
    let rows = entity::sql::rows(db.read(), spends, vec![]).await?;
    let spent: Option<i64> = rows.first().and_then(|row| row.try_get("", "n").ok());
    if audit.is_clean() && audit.held == 0 && spent == Some(COST * purchases as i64) {
        return Ok(());
    }
    Err(Failure::new(format!("{purchases} purchases booked as {spent:?} credits; {audit:?}")))
}
