//! What is shown of the ledger. Nothing here decides about money.

use std::collections::BTreeMap;

use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use super::account::{Account, Usage};
use super::book::{self, Locked, WALLET};
use super::{Action, GrantSource, TransactionType};
use crate::args;
use crate::sql::{self, Arg, at};
use crate::time::Time;

/// A user's wallet as the next operation on it will find it, and what time it is: with the month
/// begun that has come, and of somebody who has none yet as it will be made. Nothing is stored.
/// `None` when there is no such user.
pub async fn account<C: ConnectionTrait>(
    db: &C,
    user: Uuid,
) -> Result<Option<(Account, Time)>, DbErr> {
    let text = format!("SELECT {WALLET}, {{now}} AS now FROM credit_wallets w WHERE w.user_id = ?");
    let (wallet, now) = match sql::one::<_, Locked>(db, &text, args![user]).await? {
        Some(row) => (row.wallet, row.now),
        None => match book::signed_up(db, &[user]).await?.first() {
            Some(new) => (new.wallet(), new.now),
            None => return Ok(None),
        },
    };
    let mut accounts = BTreeMap::from([(user, Account::new(wallet))]);
    book::read_grants(db, &mut accounts).await?;
    Ok(accounts.remove(&user).map(|mut account| {
        account.bring_to(now);
        (account, now)
    }))
}

/// What is left, by where it came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Of the package.
    pub plan: i64,
    /// Bought.
    pub topup: i64,
    /// Given.
    pub bonus: i64,
}

impl Sources {
    /// What is left of the grants of an account.
    pub fn of(account: &Account) -> Self {
        let mut sources = Self::default();
        for grant in &account.grants {
            let kind = match grant.source {
                GrantSource::Plan => &mut sources.plan,
                GrantSource::Topup => &mut sources.topup,
                GrantSource::Promo | GrantSource::Admin => &mut sources.bonus,
            };
            *kind += grant.remaining;
        }
        sources
    }
}

/// A transaction as stored.
#[derive(Clone, Debug, PartialEq, FromQueryResult)]
pub struct Transaction {
    /// Its id.
    pub id: Uuid,
    /// Its number in the wallet.
    pub entry: i64,
    /// What it was.
    pub transaction_type: TransactionType,
    /// The action paid for.
    pub action_type: Option<Action>,
    /// By how much the balance changed.
    pub amount: i64,
    /// The balance before.
    pub balance_before: i64,
    /// The balance after.
    pub balance_after: i64,
    /// A sentence.
    pub description: String,
    /// What it was for.
    pub reference: Option<String>,
    /// When.
    pub created_at: Time,
}

const TRANSACTION: &str = "id, entry, transaction_type, action_type, amount, balance_before, \
     balance_after, description, reference, created_at";

/// Which transactions are looked for.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only of this type.
    pub kind: Option<TransactionType>,
    /// Only of this action.
    pub action: Option<Action>,
    /// Not before.
    pub since: Option<Time>,
    /// Before.
    pub until: Option<Time>,
    /// Whose description holds this text, in any case.
    pub text: Option<String>,
    /// Older than the transaction of this number.
    pub before: Option<i64>,
}

/// A user's transactions, newest first.
pub async fn transactions<C: ConnectionTrait>(
    db: &C,
    user: Uuid,
    filter: &Filter,
    limit: u64,
) -> Result<Vec<Transaction>, DbErr> {
    let mut text = format!("SELECT {TRANSACTION} FROM credit_transactions WHERE user_id = ?");
    let mut args = args![user];
    let mut also = |condition: &str, arg: Arg| {
        text.push_str(" AND ");
        text.push_str(condition);
        args.push(arg);
    };
    if let Some(kind) = filter.kind {
        also("transaction_type = ?", kind.as_str().into());
    }
    if let Some(action) = filter.action {
        also("action_type = ?", action.as_str().into());
    }
    if let Some(since) = filter.since {
        also("created_at >= ?", at(since));
    }
    if let Some(until) = filter.until {
        also("created_at < ?", at(until));
    }
    if let Some(part) = &filter.text {
        let part = part.to_lowercase().replace('\\', "\\\\");
        let part = part.replace('%', "\\%").replace('_', "\\_");
        also("lower(description) LIKE ? ESCAPE '\\'", format!("%{part}%").into());
    }
    if let Some(before) = filter.before {
        also("entry < ?", before.into());
    }
    text.push_str(" ORDER BY entry DESC LIMIT ?");
    args.push((limit as i64).into());
    sql::all(db, &text, args).await
}

/// What a user did in a calendar month, by action.
pub async fn usage<C: ConnectionTrait>(
    db: &C,
    user: Uuid,
    month: &str,
) -> Result<Vec<Usage>, DbErr> {
    sql::all(
        db,
        "SELECT user_id, action_type, month_year, free_used, paid_used, credits_spent \
         FROM credit_usage WHERE user_id = ? AND month_year = ? ORDER BY action_type",
        args![user, month],
    )
    .await
}

/// What a user did since a calendar month, by month and action, oldest first.
pub async fn usage_since<C: ConnectionTrait>(
    db: &C,
    user: Uuid,
    month: &str,
) -> Result<Vec<Usage>, DbErr> {
    sql::all(
        db,
        "SELECT user_id, action_type, month_year, free_used, paid_used, credits_spent \
         FROM credit_usage WHERE user_id = ? AND month_year >= ? ORDER BY month_year, action_type",
        args![user, month],
    )
    .await
}

/// What is held and what was spent for a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromQueryResult)]
pub struct Cost {
    /// The job.
    pub job_id: Uuid,
    /// Held.
    pub held: i64,
    /// Spent.
    pub spent: i64,
}

/// What jobs cost a user, or everybody.
pub async fn costs<C: ConnectionTrait>(
    db: &C,
    jobs: &[Uuid],
    user: Option<Uuid>,
) -> Result<Vec<Cost>, DbErr> {
    let of = |state: &str| {
        format!("CAST(COALESCE(sum(CASE WHEN state = '{state}' THEN amount END), 0) AS bigint)")
    };
    let mut text = format!(
        "SELECT job_id, {} AS held, {} AS spent FROM credit_holds WHERE job_id IN {{list}}",
        of("held"),
        of("captured")
    );
    let mut args = args![sql::list(jobs)];
    if let Some(user) = user {
        text.push_str(" AND user_id = ?");
        args.push(user.into());
    }
    text.push_str(" GROUP BY job_id");
    sql::all(db, &text, args).await
}

/// A creator that a user unlocked.
#[derive(Clone, Debug, PartialEq, FromQueryResult)]
pub struct UnlockedCreator {
    /// The profile.
    pub profile_id: Uuid,
    /// Its handle.
    pub username: String,
    /// Its name.
    pub full_name: Option<String>,
    /// Its followers.
    pub followers_count: Option<i64>,
    /// What it cost.
    pub credits_spent: i64,
    /// Since when.
    pub unlocked_at: Time,
    /// Until when; `None`: for good.
    pub expires_at: Option<Time>,
}

/// Creators a user unlocked, last first.
pub async fn unlocked<C: ConnectionTrait>(
    db: &C,
    user: Uuid,
    limit: u64,
    offset: u64,
) -> Result<Vec<UnlockedCreator>, DbErr> {
    sql::all(
        db,
        "SELECT u.profile_id AS profile_id, p.username AS username, p.full_name AS full_name, \
         p.followers_count AS followers_count, u.credits_spent AS credits_spent, \
         u.unlocked_at AS unlocked_at, u.expires_at AS expires_at FROM unlocked_influencers u \
         JOIN profiles p ON p.id = u.profile_id WHERE u.user_id = ? \
         ORDER BY u.unlocked_at DESC, u.profile_id LIMIT ? OFFSET ?",
        args![user, limit as i64, offset as i64],
    )
    .await
}

#[derive(FromQueryResult)]
struct Count {
    n: i64,
}

/// How many creators a user unlocked.
pub async fn unlocked_count<C: ConnectionTrait>(db: &C, user: Uuid) -> Result<i64, DbErr> {
    let text = "SELECT count(*) AS n FROM unlocked_influencers WHERE user_id = ?";
    let count: Option<Count> = sql::one(db, text, args![user]).await?;
    Ok(count.map_or(0, |count| count.n))
}
