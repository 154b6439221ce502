//! How credits look from outside.

use std::collections::BTreeMap;

use entity::Time;
use entity::ledger::account::{Account, Usage};
use entity::ledger::calendar;
use entity::ledger::orders::{Order, Quote};
use entity::ledger::prices::Price;
use entity::ledger::read::{Sources, Transaction};
use poem_openapi::Object;

/// What is in a wallet.
#[derive(Debug, Object)]
pub struct BalanceView {
    /// Available and held.
    balance: i64,
    /// Set aside for open work.
    held: i64,
    /// May be spent.
    available: i64,
    /// Nothing may be spent.
    is_locked: bool,
    /// When the next month of it begins; RFC 3339.
    next_reset_date: String,
}

/// A wallet and where its credits come from.
#[derive(Debug, Object)]
pub struct WalletView {
    /// Available and held.
    current_balance: i64,
    /// Set aside for open work.
    held: i64,
    /// May be spent.
    available: i64,
    /// Nothing may be spent.
    is_locked: bool,
    /// Whether the package is paid for.
    subscription_active: bool,
    /// When the next month of it begins; RFC 3339.
    next_reset_date: String,
    /// Spent since this month of it began.
    total_spent_this_cycle: i64,
    /// All that is left, of whatever source.
    total_plan_credits: i64,
    /// Left of the package.
    package_credits: i64,
    /// Left of what was bought.
    purchased_credits: i64,
    /// Left of what was given.
    bonus_credits: i64,
    /// What the package gives a month.
    monthly_allowance: i64,
    /// The package; null without.
    package_name: Option<String>,
}

/// A change of a balance.
#[derive(Debug, Object)]
pub struct TransactionView {
    id: String,
    /// Its number in the wallet, from 1; `before` of the next page.
    number: i64,
    /// earn, spend, purchase, reset, expire, rollover, manual_adjust or refund.
    transaction_type: String,
    /// What was paid for.
    action_type: Option<String>,
    /// By how much the balance changed.
    amount: i64,
    description: String,
    balance_before: i64,
    balance_after: i64,
    /// What it was for.
    reference: Option<String>,
    /// RFC 3339.
    created_at: String,
}

/// What an action costs.
#[derive(Debug, Object)]
pub struct PriceView {
    action_type: String,
    display_name: String,
    /// Credits.
    cost_per_action: i64,
    /// So many a calendar month cost nothing.
    free_allowance_per_month: i64,
    is_active: bool,
}

/// What was done of an action in a calendar month.
#[derive(Debug, Object)]
pub struct ActionUsage {
    action_type: String,
    /// Free turns taken, those of open work included.
    free_used: i64,
    /// Free turns there are.
    free_allowance: i64,
    /// Turns that were paid for.
    paid_used: i64,
    /// What was paid.
    credits_spent: i64,
}

/// What was done in a calendar month.
#[derive(Debug, Object)]
pub struct MonthUsage {
    /// `2026-11`, UTC.
    month_year: String,
    actions: Vec<ActionUsage>,
    total_credits_spent: i64,
}

/// The free turns of an action.
#[derive(Debug, Object)]
pub struct FreeTurns {
    action_type: String,
    free_allowance: i64,
    used: i64,
    remaining: i64,
}

/// The free turns of this calendar month.
#[derive(Debug, Object)]
pub struct AllowancesView {
    /// `2026-11`, UTC.
    month_year: String,
    allowances: Vec<FreeTurns>,
}

/// What was spent in a calendar month.
#[derive(Debug, Object)]
pub struct MonthSpending {
    month_year: String,
    total: i64,
    /// By action.
    by_action: BTreeMap<String, i64>,
}

/// What was spent over some months.
#[derive(Debug, Object)]
pub struct SpendingView {
    /// Oldest first; months without any are left out.
    months: Vec<MonthSpending>,
    total_spent: i64,
    /// Over all the months asked for.
    average_per_month: f64,
}

/// What credits cost that are bought by themselves.
#[derive(Debug, Object)]
pub struct QuoteView {
    credits: i64,
    /// One credit without discount, in US cents.
    unit_price_usd_cents: i64,
    /// The discount of the caller's tier.
    discount_percent: i32,
    /// All of them, discount included, in US cents.
    price_usd_cents: i64,
}

/// An order of credits.
#[derive(Debug, Object)]
pub struct OrderView {
    id: String,
    /// For the payment.
    order_reference: String,
    credits_amount: i64,
    price_usd_cents: i64,
    discount_percent: i32,
    /// pending, processing, completed, failed, cancelled or refunded.
    payment_status: String,
    /// Why it failed.
    failure_reason: Option<String>,
    /// RFC 3339.
    created_at: String,
    /// When the credits came in; RFC 3339.
    delivered_at: Option<String>,
}

impl BalanceView {
    pub(super) fn of(account: &Account) -> Self {
        let wallet = &account.wallet;
        Self {
            balance: account.balance(),
            held: wallet.held,
            available: wallet.available,
            is_locked: wallet.is_locked || wallet.is_frozen,
            next_reset_date: wallet.next_reset_at.rfc3339(),
        }
    }
}

impl WalletView {
    pub(super) fn of(account: &Account) -> Self {
        let (wallet, sources) = (&account.wallet, Sources::of(account));
        Self {
            current_balance: account.balance(),
            held: wallet.held,
            available: wallet.available,
            is_locked: wallet.is_locked || wallet.is_frozen,
            subscription_active: wallet.subscription_active,
            next_reset_date: wallet.next_reset_at.rfc3339(),
            total_spent_this_cycle: wallet.spent_this_cycle,
            total_plan_credits: account.balance(),
            package_credits: sources.plan,
            purchased_credits: sources.topup,
            bonus_credits: sources.bonus,
            monthly_allowance: wallet.monthly_credits.unwrap_or(0),
            package_name: wallet.package.clone(),
        }
    }
}

impl From<Transaction> for TransactionView {
    fn from(row: Transaction) -> Self {
        Self {
            id: row.id.to_string(),
            number: row.entry,
            transaction_type: row.transaction_type.to_string(),
            action_type: row.action_type.map(|action| action.to_string()),
            amount: row.amount,
            description: row.description,
            balance_before: row.balance_before,
            balance_after: row.balance_after,
            reference: row.reference,
            created_at: row.created_at.rfc3339(),
        }
    }
}

impl From<&Price> for PriceView {
    fn from(price: &Price) -> Self {
        Self {
            action_type: price.action_type.to_string(),
            display_name: price.display_name.clone(),
            cost_per_action: price.cost,
            free_allowance_per_month: price.free_per_month,
            is_active: price.is_active,
        }
    }
}

/// Free turns taken of an action in the month of these rows.
pub(super) fn free_used(usage: &[Usage], price: &Price) -> i64 {
    let of = usage.iter().find(|usage| usage.action_type == price.action_type);
    of.map_or(0, |usage| usage.free_used)
}

impl MonthUsage {
    pub(super) fn of(month: &str, usage: &[Usage], prices: &[Price]) -> Self {
        let actions = prices.iter().map(|price| {
            let used = usage.iter().find(|usage| usage.action_type == price.action_type);
            ActionUsage {
                action_type: price.action_type.to_string(),
                free_used: free_used(usage, price),
                free_allowance: price.free_per_month,
                paid_used: used.map_or(0, |usage| usage.paid_used),
                credits_spent: used.map_or(0, |usage| usage.credits_spent),
            }
        });
        Self {
            month_year: month.to_owned(),
            actions: actions.collect(),
            total_credits_spent: usage.iter().map(|usage| usage.credits_spent).sum(),
        }
    }
}

impl AllowancesView {
    pub(super) fn of(now: Time, usage: &[Usage], prices: &[Price]) -> Self {
        let allowances = prices.iter().filter(|price| price.is_active).map(|price| {
            let used = free_used(usage, price);
            FreeTurns {
                action_type: price.action_type.to_string(),
                free_allowance: price.free_per_month,
                used,
                remaining: (price.free_per_month - used).max(0),
            }
        });
        Self { month_year: calendar::month_year(now), allowances: allowances.collect() }
    }
}

impl SpendingView {
    pub(super) fn of(months: u32, usage: &[Usage]) -> Self {
        let mut by_month: BTreeMap<&str, BTreeMap<String, i64>> = BTreeMap::new();
        for row in usage.iter().filter(|row| row.credits_spent > 0) {
            let actions = by_month.entry(&row.month_year).or_default();
            actions.insert(row.action_type.to_string(), row.credits_spent);
        }
        let rows = by_month.into_iter().map(|(month, by_action)| MonthSpending {
            month_year: month.to_owned(),
            total: by_action.values().sum(),
            by_action,
        });
        let rows: Vec<MonthSpending> = rows.collect();
        let total_spent = rows.iter().map(|month| month.total).sum();
        let average_per_month = total_spent as f64 / f64::from(months.max(1));
        Self { months: rows, total_spent, average_per_month }
    }
}

impl From<Quote> for QuoteView {
    fn from(quote: Quote) -> Self {
        Self {
            credits: quote.credits,
            unit_price_usd_cents: quote.unit_usd_cents,
            discount_percent: quote.discount_percent,
            price_usd_cents: quote.price_usd_cents,
        }
    }
}

impl From<Order> for OrderView {
    fn from(order: Order) -> Self {
        Self {
            id: order.id.to_string(),
            order_reference: order.order_reference,
            credits_amount: order.credits_amount,
            price_usd_cents: order.price_usd_cents,
            discount_percent: order.discount_percent,
            payment_status: order.payment_status.to_string(),
            failure_reason: order.failure_reason,
            created_at: order.created_at.rfc3339(),
            delivered_at: order.delivered_at.map(Time::rfc3339),
        }
    }
}
