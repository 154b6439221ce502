//! The wallets an operation is about: locked and read together, stored together.

mod store;

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use self::store::store;
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
             FROM credit_usage WHERE user_id IN (SELECT column1::uuid FROM {rows}) \
             AND month_year IN {list}",
            vec![rows_of(&users), list(months)],
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
}

/// A table of ids. Unlike a list, whose length the planner weighs each time, it keeps its plan.
fn rows_of(ids: &[Uuid]) -> Arg {
    Arg::Rows(ids.iter().map(|id| args![*id]).collect())
}

/// The wallets of these users who have one, locked in the order of their owners.
async fn lock(tx: &Tx, users: &[Uuid]) -> Result<Vec<Locked>, DbErr> {
    if users.is_empty() {
        return Ok(vec![]);
    }
    let text = format!(
        "SELECT {WALLET}, {{now}} AS now FROM credit_wallets w \
         WHERE w.user_id IN (SELECT column1::uuid FROM {{rows}}) ORDER BY w.user_id {{for update}}"
    );
    sql::all(tx, &text, vec![rows_of(users)]).await
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
    store(tx, [(insert, rows.collect())]).await
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
         expires_at, reference FROM credit_grants \
         WHERE wallet_id IN (SELECT column1::uuid FROM {rows}) AND NOT is_spent ORDER BY id",
        vec![rows_of(&wallets)],
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
