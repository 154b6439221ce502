//! Credits. A wallet has what is `available` and what is `held` for open work; grants say where
//! both come from and until when they are good; a transaction says of every change of the sum what
//! it was, and cannot be altered.
//!
//! Spending is two steps: [`hold`](spend::hold) in the transaction that stores the work,
//! [`capture or release`](settle) in the one that ends it. Reading something that costs is both at
//! once ([`spend::spend`]). Nothing else changes a balance but [`adjust`], orders, and time.
//!
//! Every operation locks the wallets it is about, in the order of their owners, reads them as an
//! [`account::Account`] each, changes those without any input or output, and stores what changed
//! in one statement a table, however many operations it was asked for. So many at once cost what
//! one costs, on Postgres and SQLite alike. Locks are taken in this order: job, wallet, grants,
//! holds, parent job.
//!
//! What always holds, for each wallet (see [`audit`]): the sum of its transactions, and the sum of
//! what is left of its grants, are `available + held`; nothing is negative; what is held is held
//! by open holds, and an open hold has an open job.

pub mod account;
pub mod adjust;
#[cfg(test)]
mod against_model;
pub mod audit;
mod book;
pub mod calendar;
#[cfg(test)]
mod model;
pub mod orders;
pub mod prices;
pub mod read;
pub mod reset;
mod rows;
pub mod settle;
pub mod spend;
pub mod till;

use sea_orm::DbErr;
use sea_orm::prelude::Uuid;

pub use crate::enums::{Action, GrantSource, HoldState, TransactionType};

/// Why credits were not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such user, or no wallet.
    #[error("there is no wallet to pay from")]
    NoWallet,
    /// The wallet is locked or frozen.
    #[error("the wallet is locked{}", .0.as_ref().map(|why| format!(": {why}")).unwrap_or_default())]
    Locked(Option<String>),
    /// The action has no price, or cannot be bought now.
    #[error("{0} cannot be bought")]
    UnknownAction(String),
    /// Too little is left.
    #[error("{required} credits are needed and {available} are available")]
    Insufficient {
        /// What it costs.
        required: i64,
        /// What could be spent.
        available: i64,
    },
    /// The same key was used for something else.
    #[error("this key was used for something else")]
    KeyReused,
}

/// Why an operation on credits did not take place. The caller rolls back.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The database refused.
    #[error(transparent)]
    Db(#[from] DbErr),
    /// The ledger refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// A part of a hold: so much of that grant.
pub type Part = (Uuid, i64);
