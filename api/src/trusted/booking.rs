//! Changes of wallets: each one transaction in the ledger.

use entity::db::is_unique_violation;
use entity::ledger::orders::{self, Order, Quote};
use entity::ledger::{LedgerError, adjust};
use poem_openapi::types::{ParseFromJSON, ToJSON};
use uuid::Uuid;

use super::idempotency::{Key, Known};
use super::state::AppState;
use crate::problem::Problem;

/// Makes the wallet of a user who has none.
pub(crate) async fn open(state: &AppState, user: Uuid) -> Result<(), Problem> {
    let tx = state.farm().begin().await?;
    adjust::open(&tx, user).await?;
    Ok(tx.commit().await?)
}

/// Gives credits, or takes some when the amount is below zero.
///
/// # Errors
/// What the ledger refuses, or the database's own.
pub(crate) async fn adjust(
    state: &AppState,
    user: Uuid,
    amount: i64,
    by: Uuid,
    reason: &str,
) -> Result<(), LedgerError> {
    let tx = state.farm().begin().await?;
    adjust::adjust(&tx, user, amount, by, reason).await?;
    Ok(tx.commit().await?)
}

/// Locks or opens a wallet.
///
/// # Errors
/// The same.
pub(crate) async fn lock(
    state: &AppState,
    user: Uuid,
    locked: bool,
    by: Uuid,
    reason: &str,
) -> Result<(), LedgerError> {
    let tx = state.farm().begin().await?;
    adjust::lock(&tx, user, locked, Some(by), reason).await?;
    Ok(tx.commit().await?)
}

/// What came of giving back.
pub(crate) enum Refunded {
    /// So many credits were given back.
    Credits(i64),
    /// They were before.
    Before,
    /// There is no such spend.
    Missing,
}

/// Gives back what a transaction took, once.
pub(crate) async fn refund(
    state: &AppState,
    transaction: Uuid,
    by: Uuid,
    reason: &str,
) -> Result<Refunded, Problem> {
    let tx = state.farm().begin().await?;
    let done = adjust::refund(&tx, transaction, by, reason).await;
    if matches!(&done, Err(LedgerError::Db(error)) if is_unique_violation(error)) {
        return Ok(Refunded::Before);
    }
    let Some(amount) = done? else { return Ok(Refunded::Missing) };
    tx.commit().await?;
    Ok(Refunded::Credits(amount))
}

/// What credits by themselves would cost a user; `None` when they are not sold.
pub(crate) async fn quote(
    state: &AppState,
    user: Uuid,
    credits: i64,
) -> Result<Option<Quote>, Problem> {
    Ok(orders::quote(state.farm().read(), user, credits).await?)
}

/// Places an order, once per key, whose answer is what `view` makes of it.
pub(crate) async fn order<B: ParseFromJSON + ToJSON>(
    state: &AppState,
    user: Uuid,
    quote: &Quote,
    key: Option<&Key>,
    view: impl FnOnce(Order) -> B + Send,
) -> Result<B, Problem> {
    let tx = state.farm().begin().await?;
    if let Some(key) = key {
        match key.take::<B>(&tx).await? {
            Known::New => {}
            Known::Answer(_, order) => return Ok(*order),
            Known::Job(_) => return Err(Problem::internal()),
        }
    }
    let order = view(orders::place(&tx, user, quote).await?);
    if let Some(key) = key {
        // With the order, or neither.
        key.answered_in(&tx, 201, &order).await?;
    }
    tx.commit().await?;
    Ok(order)
}
