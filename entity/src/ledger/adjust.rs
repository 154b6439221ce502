//! What changes a balance without work: credits that come in, an operator's corrections, refunds.

use std::collections::BTreeSet;

use sea_orm::FromQueryResult;
use sea_orm::prelude::Uuid;
use serde_json::json;

use super::account::{Income, Why};
use super::book::Book;
use super::{GrantSource, LedgerError, Refusal, TransactionType};
use crate::args;
use crate::audit::{self, Act};
use crate::db::Tx;
use crate::sql;

/// Makes the wallet of a user, if they have none, and brings it up to now.
///
/// # Errors
/// [`Refusal::NoWallet`] when there is no such user.
pub async fn open(tx: &Tx, user: Uuid) -> Result<(), LedgerError> {
    let book = Book::open(tx, &BTreeSet::from([user])).await?;
    if book.accounts.is_empty() {
        return Err(Refusal::NoWallet.into());
    }
    Ok(book.close(tx).await?)
}

/// Credits come in. With a reference they do so once: a second time the unique index refuses.
///
/// # Errors
/// [`Refusal::NoWallet`] when there is no such user.
pub async fn receive(tx: &Tx, user: Uuid, income: &Income, why: Why) -> Result<(), LedgerError> {
    let mut book = Book::open(tx, &BTreeSet::from([user])).await?;
    let now = book.now;
    let account = book.accounts.get_mut(&user).ok_or(Refusal::NoWallet)?;
    account.receive(now, income, why);
    Ok(book.close(tx).await?)
}

/// An operator gives credits, for good, or takes them; with an audit row.
///
/// # Errors
/// [`Refusal::Insufficient`] when more is taken than is available.
pub async fn adjust(
    tx: &Tx,
    user: Uuid,
    amount: i64,
    by: Uuid,
    reason: &str,
) -> Result<(), LedgerError> {
    let mut book = Book::open(tx, &BTreeSet::from([user])).await?;
    let now = book.now;
    let account = book.accounts.get_mut(&user).ok_or(Refusal::NoWallet)?;
    let before = account.balance();
    let why = Why { description: reason.to_owned(), reference: None, made_by: Some(by) };
    let kind = TransactionType::ManualAdjust;
    if amount > 0 {
        let income = Income { source: GrantSource::Admin, kind, amount, expires_at: None };
        account.receive(now, &income, why);
    } else if !account.deduct(-amount, kind, why) {
        let available = account.wallet.available;
        return Err(Refusal::Insufficient { required: -amount, available }.into());
    }
    let after = account.balance();
    book.close(tx).await?;
    let act = Act {
        actor: Some(by),
        act: "credits_adjusted",
        subject: user.to_string(),
        before: json!({ "balance": before }),
        after: json!({ "balance": after }),
        reason,
    };
    Ok(audit::note(tx, &act).await?)
}

/// Locks or unlocks a wallet: nothing is spent from a locked one. With an audit row.
///
/// # Errors
/// [`Refusal::NoWallet`] when there is no such user.
pub async fn lock(
    tx: &Tx,
    user: Uuid,
    locked: bool,
    by: Option<Uuid>,
    reason: &str,
) -> Result<(), LedgerError> {
    let mut book = Book::open(tx, &BTreeSet::from([user])).await?;
    let wallet = &mut book.accounts.get_mut(&user).ok_or(Refusal::NoWallet)?.wallet;
    let before = wallet.is_locked;
    wallet.is_locked = locked;
    wallet.freeze_reason = locked.then(|| reason.to_owned());
    book.close(tx).await?;
    let act = Act {
        actor: by,
        act: "wallet_locked",
        subject: user.to_string(),
        before: json!({ "is_locked": before }),
        after: json!({ "is_locked": locked }),
        reason,
    };
    Ok(audit::note(tx, &act).await?)
}

#[derive(FromQueryResult)]
struct Spend {
    id: Uuid,
    user_id: Uuid,
    amount: i64,
}

/// Gives back what a transaction spent, for good; with an audit row. Returns how much it was;
/// `None` when there is no such spend. At most one refund of each: a second one is refused by the
/// unique index.
///
/// # Errors
/// The database's.
pub async fn refund(
    tx: &Tx,
    transaction: Uuid,
    by: Uuid,
    reason: &str,
) -> Result<Option<i64>, LedgerError> {
    let text = "SELECT id, user_id, amount FROM credit_transactions \
         WHERE id = ? AND transaction_type = 'spend' AND amount < 0";
    let Some(spend) = sql::one::<_, Spend>(tx, text, args![transaction]).await? else {
        return Ok(None);
    };
    let mut book = Book::open(tx, &BTreeSet::from([spend.user_id])).await?;
    let now = book.now;
    let account = book.accounts.get_mut(&spend.user_id).ok_or(Refusal::NoWallet)?;
    let amount = -spend.amount;
    let income = Income {
        source: GrantSource::Admin,
        kind: TransactionType::Refund,
        amount,
        expires_at: None,
    };
    let reference = Some(format!("refund:{}", spend.id));
    account.receive(
        now,
        &income,
        Why { description: reason.to_owned(), reference, made_by: Some(by) },
    );
    if let Some(entry) = account.entries.last_mut() {
        entry.refund_of = Some(spend.id);
    }
    book.close(tx).await?;
    let act = Act {
        actor: Some(by),
        act: "spend_refunded",
        subject: spend.id.to_string(),
        before: json!(null),
        after: json!({ "amount": amount }),
        reason,
    };
    audit::note(tx, &act).await?;
    Ok(Some(amount))
}
