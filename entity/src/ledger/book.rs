//! The wallets an operation is about: locked and read together, stored together.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use super::account::{Account, Grant, Hold, Usage, Wallet};
use super::{Refusal, calendar};
use crate::args;
use crate::db::Tx;
use crate::sql::{self, Arg, at, list};
use crate::time::Time;

/// Wallets under lock.
pub(super) struct Book {
    /// The farm's time when they were locked.
    pub now: Time,
    /// By owner.
    pub accounts: BTreeMap<Uuid, Account>,
    /// Holds that are new.
    pub new_holds: Vec<Hold>,
    /// Holds that were there and have ended.
    pub settled: Vec<Hold>,
    before: BTreeMap<Uuid, Account>,
}

#[derive(FromQueryResult)]
pub(super) struct Locked {
    #[sea_orm(nested)]
    pub(super) wallet: Wallet,
    pub(super) now: Time,
}

/// What a wallet begins with.
#[derive(FromQueryResult)]
pub(super) struct SignedUp {
    id: Uuid,
    created_at: Time,
    package: Option<String>,
    monthly_credits: Option<i64>,
    pub(super) now: Time,
}

impl SignedUp {
    /// The wallet as it will be stored.
    pub(super) fn wallet(&self) -> Wallet {
        let cycle = calendar::cycle(self.created_at, self.now);
        Wallet {
            id: Uuid::now_v7(),
            user_id: self.id,
            available: 0,
            held: 0,
            package: self.package.clone(),
            monthly_credits: self.monthly_credits,
            subscription_active: self.package.is_some(),
            anchor_at: self.created_at,
            cycle_start: cycle.start,
            next_reset_at: cycle.end,
            rollover_months_allowed: 0,
            is_locked: false,
            is_frozen: false,
            freeze_reason: None,
            spent_this_cycle: 0,
            lifetime_earned: 0,
            lifetime_spent: 0,
            entries: 0,
        }
    }
}

/// What the wallets of these users begin with; of those who are users.
pub(super) async fn signed_up<C: ConnectionTrait>(
    db: &C,
    users: &[Uuid],
) -> Result<Vec<SignedUp>, DbErr> {
    sql::all(
        db,
        "SELECT u.id, u.created_at, t.package, {now} AS now, \
         (SELECT p.monthly_credits FROM credit_packages p WHERE p.name = t.package) \
           AS monthly_credits FROM users u \
         LEFT JOIN subscription_tiers t ON t.tier = u.subscription_tier WHERE u.id IN {list} \
         ORDER BY u.id",
        args![list(users)],
    )
    .await
}

/// The columns of [`Wallet`], of `credit_wallets w`.
pub(super) const WALLET: &str = "w.id, w.user_id, w.available, w.held, w.package, \
     (SELECT p.monthly_credits FROM credit_packages p WHERE p.name = w.package) \
       AS monthly_credits, \
     w.subscription_active, w.anchor_at, w.cycle_start, w.next_reset_at, \
     w.rollover_months_allowed, w.is_locked, w.is_frozen, w.freeze_reason, w.spent_this_cycle, \
     w.lifetime_earned, w.lifetime_spent, w.entries";

/// The columns of [`Hold`].
pub(super) const HOLD: &str = "id, wallet_id, user_id, action_type, amount, is_free, month_year, \
     state, parts, key, fingerprint, job_id, reference, edition, entry, created_at, settled_at";

impl Book {
    /// Locks the wallets of these users, in their order, and brings them up to now. Who has none
    /// gets one; who is not a user has none in the book.
    pub async fn open(tx: &Tx, users: &BTreeSet<Uuid>) -> Result<Self, DbErr> {
        let users: Vec<Uuid> = users.iter().copied().collect();
        let mut locked = lock(tx, &users).await?;
        if locked.len() < users.len() {
            let known: BTreeSet<Uuid> = locked.iter().map(|row| row.wallet.user_id).collect();
            let missing: Vec<Uuid> =
                users.iter().filter(|user| !known.contains(user)).copied().collect();
            create(tx, &missing).await?;
            // All again, in their order: the new ones were locked out of it.
            locked = lock(tx, &users).await?;
        }
        let now = locked.first().map_or(Time(0), |row| row.now);
        let mut accounts: BTreeMap<Uuid, Account> =
            locked.into_iter().map(|row| (row.wallet.user_id, Account::new(row.wallet))).collect();
        read_grants(tx, &mut accounts).await?;
        let month = calendar::month_year(now);
        let mut book =
            Self { now, accounts, new_holds: vec![], settled: vec![], before: BTreeMap::new() };
        book.read_usage(tx, &[&month]).await?;
        book.before = book.accounts.clone();
        for account in book.accounts.values_mut() {
            account.bring_to(now);
        }
        Ok(book)
    }

    /// The account of a user, and what time it is.
    pub fn account(&mut self, user: Uuid) -> Result<(&mut Account, Time), Refusal> {
        let account = self.accounts.get_mut(&user).ok_or(Refusal::NoWallet)?;
        Ok((account, self.now))
    }

    /// Reads what was done in these months, too.
    pub async fn read_usage(&mut self, tx: &Tx, months: &[&str]) -> Result<(), DbErr> {
        if self.accounts.is_empty() || months.is_empty() {
            return Ok(());
        }
        let users: Vec<Uuid> = self.accounts.keys().copied().collect();
        let rows: Vec<Usage> = sql::all(
            tx,
            "SELECT user_id, action_type, month_year, free_used, paid_used, credits_spent \
             FROM credit_usage WHERE user_id IN {list} AND month_year IN {list}",
            args![list(&users), list(months)],
        )
        .await?;
        for row in rows {
            let key = (row.action_type, row.month_year.clone());
            if let Some(account) = self.before.get_mut(&row.user_id) {
                account.usage.entry(key.clone()).or_insert_with(|| row.clone());
            }
            if let Some(account) = self.accounts.get_mut(&row.user_id) {
                account.usage.entry(key).or_insert(row);
            }
        }
        Ok(())
    }

    /// Stores what changed.
    pub async fn close(self, tx: &Tx) -> Result<(), DbErr> {
        let changed = |account: &&Account| {
            let before = self.before.get(&account.wallet.user_id);
            before.is_none_or(|before| before.wallet != account.wallet)
        };
        let wallets: Vec<&Account> = self.accounts.values().filter(changed).collect();
        store_wallets(tx, &wallets).await?;
        self.store_grants(tx).await?;
        store_holds(tx, &self.new_holds, &self.settled).await?;
        self.store_entries(tx).await?;
        self.store_usage(tx).await?;
        self.store_turns(tx).await
    }

    async fn store_grants(&self, tx: &Tx) -> Result<(), DbErr> {
        let (mut new, mut changed) = (vec![], vec![]);
        for account in self.accounts.values() {
            let before = self.before.get(&account.wallet.user_id);
            for grant in &account.grants {
                if account.new_grants.contains(&grant.id) {
                    new.push(args![
                        grant.id,
                        grant.wallet_id,
                        grant.source.as_str(),
                        grant.amount,
                        grant.remaining,
                        grant.held,
                        grant.rollovers,
                        at(grant.effective_at),
                        at(grant.expires_at),
                        grant.reference.clone(),
                    ]);
                } else if before.is_none_or(|before| !before.grants.contains(grant)) {
                    changed.push(args![
                        grant.id,
                        grant.remaining,
                        grant.held,
                        grant.rollovers,
                        at(grant.expires_at),
                    ]);
                }
            }
        }
        let insert = "INSERT INTO credit_grants (id, wallet_id, source, amount, remaining, held, \
             rollovers, effective_at, expires_at, reference, created_at) \
             SELECT column1::uuid, column2::uuid, column3::text, column4::bigint, \
             column5::bigint, column6::bigint, column7::int, column8::timestamptz, \
             column9::timestamptz, column10::text, {now} FROM {rows}";
        let update = "UPDATE credit_grants SET remaining = v.column2::bigint, \
             held = v.column3::bigint, rollovers = v.column4::int, \
             expires_at = v.column5::timestamptz FROM {rows} \
             WHERE credit_grants.id = v.column1::uuid";
        run(tx, insert, new).await?;
        run(tx, update, changed).await
    }

    async fn store_entries(&self, tx: &Tx) -> Result<(), DbErr> {
        let mut rows = vec![];
        for account in self.accounts.values() {
            for entry in &account.entries {
                rows.push(args![
                    entry.id,
                    account.wallet.id,
                    account.wallet.user_id,
                    entry.number,
                    entry.kind.as_str(),
                    entry.action.map(super::Action::as_str),
                    entry.amount,
                    entry.before,
                    entry.before + entry.amount,
                    entry.description.clone(),
                    entry.reference.clone(),
                    entry.hold,
                    entry.refund_of,
                    entry.made_by,
                ]);
            }
        }
        let insert = "INSERT INTO credit_transactions (id, wallet_id, user_id, entry, \
             transaction_type, action_type, amount, balance_before, balance_after, description, \
             reference, hold_id, refund_of, made_by, created_at) \
             SELECT column1::uuid, column2::uuid, column3::uuid, column4::bigint, column5::text, \
             column6::text, column7::bigint, column8::bigint, column9::bigint, column10::text, \
             column11::text, column12::uuid, column13::uuid, column14::uuid, {now} FROM {rows}";
        run(tx, insert, rows).await
    }

    async fn store_usage(&self, tx: &Tx) -> Result<(), DbErr> {
        let mut rows = vec![];
        for account in self.accounts.values() {
            let before = self.before.get(&account.wallet.user_id);
            for (key, usage) in &account.usage {
                if before.and_then(|before| before.usage.get(key)) == Some(usage) {
                    continue;
                }
                rows.push(args![
                    usage.user_id,
                    usage.action_type.as_str(),
                    usage.month_year.clone(),
                    usage.free_used,
                    usage.paid_used,
                    usage.credits_spent,
                ]);
            }
        }
        let upsert = "INSERT INTO credit_usage (user_id, action_type, month_year, free_used, \
             paid_used, credits_spent) SELECT column1::uuid, column2::text, column3::text, \
             column4::bigint, column5::bigint, column6::bigint FROM {rows} WHERE true \
             ON CONFLICT (user_id, action_type, month_year) DO UPDATE SET \
             free_used = excluded.free_used, paid_used = excluded.paid_used, \
             credits_spent = excluded.credits_spent";
        run(tx, upsert, rows).await
    }

    async fn store_turns(&self, tx: &Tx) -> Result<(), DbErr> {
        let mut rows = vec![];
        for account in self.accounts.values() {
            for turned in &account.turned {
                rows.push(args![
                    account.wallet.id,
                    at(turned.cycle.start),
                    at(turned.cycle.end),
                    turned.granted,
                    turned.expired,
                    turned.rolled_over,
                ]);
            }
        }
        // Its key is the wallet and the month: a month that began twice is an error here.
        let insert = "INSERT INTO credit_cycles (wallet_id, cycle_start, cycle_end, granted, \
             expired, rolled_over, at) SELECT column1::uuid, column2::timestamptz, \
             column3::timestamptz, column4::bigint, column5::bigint, column6::bigint, {now} \
             FROM {rows}";
        run(tx, insert, rows).await
    }
}

/// Runs a statement over rows, unless there are none.
async fn run(tx: &Tx, text: &str, rows: Vec<Vec<Arg>>) -> Result<(), DbErr> {
    // With up to 17 values a row far below what SQLite takes.
    for chunk in rows.chunks(1_000) {
        sql::execute(tx, text, vec![Arg::Rows(chunk.to_vec())]).await?;
    }
    Ok(())
}

async fn lock(tx: &Tx, users: &[Uuid]) -> Result<Vec<Locked>, DbErr> {
    if users.is_empty() {
        return Ok(vec![]);
    }
    let text = format!(
        "SELECT {WALLET}, {{now}} AS now FROM credit_wallets w WHERE w.user_id IN {{list}} \
         ORDER BY w.user_id {{for update}}"
    );
    sql::all(tx, &text, args![list(users)]).await
}

/// A wallet for each of these who are users, with the package of their tier.
async fn create(tx: &Tx, users: &[Uuid]) -> Result<(), DbErr> {
    let new = signed_up(tx, users).await?;
    let rows = new.iter().map(SignedUp::wallet).map(|wallet| {
        args![
            wallet.id,
            wallet.user_id,
            wallet.package,
            wallet.subscription_active,
            at(wallet.anchor_at),
            at(wallet.cycle_start),
            at(wallet.next_reset_at),
        ]
    });
    let insert = "INSERT INTO credit_wallets (id, user_id, package, subscription_active, \
         anchor_at, cycle_start, next_reset_at, created_at, updated_at) \
         SELECT column1::uuid, column2::uuid, column3::text, column4::boolean, \
         column5::timestamptz, column6::timestamptz, column7::timestamptz, {now}, {now} \
         FROM {rows} WHERE true ON CONFLICT (user_id) DO NOTHING";
    run(tx, insert, rows.collect()).await
}

pub(super) async fn read_grants<C: ConnectionTrait>(
    db: &C,
    accounts: &mut BTreeMap<Uuid, Account>,
) -> Result<(), DbErr> {
    let owners: BTreeMap<Uuid, Uuid> =
        accounts.iter().map(|(user, account)| (account.wallet.id, *user)).collect();
    if owners.is_empty() {
        return Ok(());
    }
    let wallets: Vec<Uuid> = owners.keys().copied().collect();
    let grants: Vec<Grant> = sql::all(
        db,
        "SELECT id, wallet_id, source, amount, remaining, held, rollovers, effective_at, \
         expires_at, reference FROM credit_grants WHERE wallet_id IN {list} AND remaining > 0 \
         ORDER BY id",
        args![list(&wallets)],
    )
    .await?;
    for grant in grants {
        let owner = owners.get(&grant.wallet_id);
        if let Some(account) = owner.and_then(|user| accounts.get_mut(user)) {
            account.grants.push(grant);
        }
    }
    Ok(())
}

async fn store_wallets(tx: &Tx, accounts: &[&Account]) -> Result<(), DbErr> {
    let rows = accounts.iter().map(|account| {
        let wallet = &account.wallet;
        args![
            wallet.id,
            wallet.available,
            wallet.held,
            at(wallet.cycle_start),
            at(wallet.next_reset_at),
            wallet.spent_this_cycle,
            wallet.lifetime_earned,
            wallet.lifetime_spent,
            wallet.entries,
            wallet.is_locked,
            wallet.is_frozen,
            wallet.freeze_reason.clone(),
        ]
    });
    let update = "UPDATE credit_wallets SET available = v.column2::bigint, \
         held = v.column3::bigint, cycle_start = v.column4::timestamptz, \
         next_reset_at = v.column5::timestamptz, spent_this_cycle = v.column6::bigint, \
         lifetime_earned = v.column7::bigint, lifetime_spent = v.column8::bigint, \
         entries = v.column9::bigint, is_locked = v.column10::boolean, \
         is_frozen = v.column11::boolean, freeze_reason = v.column12::text, updated_at = {now} \
         FROM {rows} WHERE credit_wallets.id = v.column1::uuid";
    run(tx, update, rows.collect()).await
}

async fn store_holds(tx: &Tx, new: &[Hold], settled: &[Hold]) -> Result<(), DbErr> {
    let rows = new.iter().map(|hold| {
        args![
            hold.id,
            hold.wallet_id,
            hold.user_id,
            hold.action_type.as_str(),
            hold.amount,
            hold.is_free,
            hold.month_year.clone(),
            hold.state.as_str(),
            hold.parts.clone(),
            hold.key.clone(),
            hold.fingerprint.clone(),
            hold.job_id,
            hold.reference.clone(),
            hold.edition.clone(),
            hold.entry,
            at(hold.settled_at),
        ]
    });
    let insert = "INSERT INTO credit_holds (id, wallet_id, user_id, action_type, amount, is_free, \
         month_year, state, parts, key, fingerprint, job_id, reference, edition, entry, \
         settled_at, created_at) SELECT column1::uuid, column2::uuid, column3::uuid, \
         column4::text, column5::bigint, column6::boolean, column7::text, column8::text, \
         column9::jsonb, column10::text, column11::text, column12::uuid, column13::text, \
         column14::text, column15::bigint, column16::timestamptz, {now} FROM {rows}";
    run(tx, insert, rows.collect()).await?;
    let rows = settled
        .iter()
        .map(|hold| args![hold.id, hold.state.as_str(), hold.entry, at(hold.settled_at)]);
    let update = "UPDATE credit_holds SET state = v.column2::text, entry = v.column3::bigint, \
         settled_at = v.column4::timestamptz FROM {rows} \
         WHERE credit_holds.id = v.column1::uuid AND credit_holds.state = 'held'";
    run(tx, update, rows.collect()).await
}
