//! The beginning of a wallet's month. It is found by looking for wallets whose month is over, so a
//! day without a scheduler delays it and loses nothing; whatever else touches such a wallet first
//! begins its month, too.

use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use std::collections::BTreeSet;

use super::TransactionType;
use super::book::Book;
use crate::args;
use crate::db::Tx;
use crate::sql;

#[derive(FromQueryResult)]
struct Due {
    user_id: Uuid,
}

/// Owners of wallets whose month is over, or who hold grants whose time is over; at most `limit`,
/// after `after` in their order.
pub async fn due<C: ConnectionTrait>(
    db: &C,
    after: Option<Uuid>,
    limit: u64,
) -> Result<Vec<Uuid>, DbErr> {
    let rows: Vec<Due> = sql::all(
        db,
        "SELECT w.user_id AS user_id FROM credit_wallets w WHERE w.user_id > ? \
         AND (w.next_reset_at <= {now} OR w.id IN (SELECT g.wallet_id FROM credit_grants g \
           WHERE g.remaining > g.held AND NOT g.is_spent AND g.expires_at <= {now})) \
         ORDER BY w.user_id LIMIT ?",
        args![after.unwrap_or(Uuid::nil()), limit as i64],
    )
    .await?;
    Ok(rows.into_iter().map(|row| row.user_id).collect())
}

/// What came of bringing wallets up to now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Came {
    /// Months that began.
    pub months: u64,
    /// Credits that packages gave.
    pub granted: i64,
    /// Credits whose time was over.
    pub expired: i64,
}

/// Brings wallets up to now. However often it runs, and however many do at once, a month begins
/// once.
pub async fn reset(tx: &Tx, users: &[Uuid]) -> Result<Came, DbErr> {
    let users: BTreeSet<Uuid> = users.iter().copied().collect();
    let book = Book::open(tx, &users).await?;
    let mut came = Came::default();
    for account in book.accounts.values() {
        came.months += account.turned.len() as u64;
        came.granted += account.turned.iter().map(|turned| turned.granted).sum::<i64>();
        let expired = account.entries.iter().filter(|e| e.kind == TransactionType::Expire);
        came.expired -= expired.map(|entry| entry.amount).sum::<i64>();
    }
    book.close(tx).await?;
    Ok(came)
}
