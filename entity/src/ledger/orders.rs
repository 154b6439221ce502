//! `credit_top_up_orders`: credits that are bought by themselves. An order is delivered once,
//! however often somebody says that it was paid.

use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use super::account::{Income, Why};
use super::adjust;
use super::{GrantSource, LedgerError, TransactionType};
use crate::db::Tx;
use crate::enums::OrderStatus;
use crate::sql;
use crate::time::Time;
use crate::{args, configuration};

/// An order as stored.
#[derive(Clone, Debug, PartialEq, FromQueryResult)]
pub struct Order {
    /// Its id.
    pub id: Uuid,
    /// Its name for people and for who takes the money; unique.
    pub order_reference: String,
    /// Whose.
    pub user_id: Uuid,
    /// Credits.
    pub credits_amount: i64,
    /// What they cost, in US cents, discount included.
    pub price_usd_cents: i64,
    /// The discount of the buyer's tier.
    pub discount_percent: i32,
    /// Where it stands.
    pub payment_status: OrderStatus,
    /// Why it failed.
    pub failure_reason: Option<String>,
    /// When it was placed.
    pub created_at: Time,
    /// When the credits came in.
    pub delivered_at: Option<Time>,
}

const ORDER: &str = "id, order_reference, user_id, credits_amount, price_usd_cents, \
     discount_percent, payment_status, failure_reason, created_at, delivered_at";

/// What credits cost a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Credits.
    pub credits: i64,
    /// One credit without discount, in US cents.
    pub unit_usd_cents: i64,
    /// The discount of the user's tier.
    pub discount_percent: i32,
    /// All of them, discount included, in US cents.
    pub price_usd_cents: i64,
}

/// What so many credits cost this user; `None` when none are sold.
pub async fn quote<C: ConnectionTrait>(
    db: &C,
    user: Uuid,
    credits: i64,
) -> Result<Option<Quote>, DbErr> {
    let Some(unit_usd_cents) = configuration::number(db, "top_up_price_usd_cents").await? else {
        return Ok(None);
    };
    let rows = sql::rows(
        db,
        "SELECT t.top_up_discount_percent AS percent FROM users u \
         JOIN subscription_tiers t ON t.tier = u.subscription_tier WHERE u.id = ?",
        args![user],
    )
    .await?;
    let discount_percent: i32 =
        rows.first().map(|row| row.try_get("", "percent")).transpose()?.unwrap_or(0);
    let full = credits.saturating_mul(unit_usd_cents);
    // Rounded up to the cent: half a cent is not given away a thousand times.
    let price_usd_cents =
        full.saturating_mul(100 - i64::from(discount_percent)).saturating_add(99) / 100;
    Ok(Some(Quote { credits, unit_usd_cents, discount_percent, price_usd_cents }))
}

/// Places an order that waits for its payment.
pub async fn place(tx: &Tx, user: Uuid, quote: &Quote) -> Result<Order, DbErr> {
    let id = Uuid::now_v7();
    let placed = sql::one(
        tx,
        &format!(
            "INSERT INTO credit_top_up_orders (id, order_reference, user_id, credits_amount, \
             price_usd_cents, discount_percent, payment_status, created_at) \
             VALUES (?, ?, ?, ?, ?, ?, 'pending', {{now}}) RETURNING {ORDER}"
        ),
        args![
            id,
            format!("topup-{}", id.simple()),
            user,
            quote.credits,
            quote.price_usd_cents,
            quote.discount_percent
        ],
    )
    .await?;
    placed.ok_or(DbErr::RecordNotInserted)
}

/// A user's orders, newest first.
pub async fn of_user<C: ConnectionTrait>(
    db: &C,
    user: Uuid,
    limit: u64,
) -> Result<Vec<Order>, DbErr> {
    sql::all(
        db,
        &format!(
            "SELECT {ORDER} FROM credit_top_up_orders WHERE user_id = ? \
             ORDER BY created_at DESC, id DESC LIMIT ?"
        ),
        args![user, limit as i64],
    )
    .await
}

/// Says that an order was paid: its credits come in, for good. `None` when it was delivered
/// before, or has ended some other way, or does not exist.
///
/// # Errors
/// The database's.
pub async fn deliver(tx: &Tx, reference: &str) -> Result<Option<Order>, LedgerError> {
    let paid: Option<Order> = sql::one(
        tx,
        &format!(
            "UPDATE credit_top_up_orders SET payment_status = 'completed', delivered_at = {{now}} \
             WHERE order_reference = ? AND payment_status IN ('pending', 'processing') \
             RETURNING {ORDER}"
        ),
        args![reference],
    )
    .await?;
    let Some(order) = paid else { return Ok(None) };
    let income = Income {
        source: GrantSource::Topup,
        kind: TransactionType::Purchase,
        amount: order.credits_amount,
        expires_at: None,
    };
    let why = Why {
        description: format!("{} credits were bought", order.credits_amount),
        reference: Some(format!("order:{}", order.order_reference)),
        made_by: None,
    };
    adjust::receive(tx, order.user_id, &income, why).await?;
    Ok(Some(order))
}
