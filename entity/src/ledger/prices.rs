//! `credit_pricing_rules`: what an action costs. Read in the transaction that charges.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use super::Action;
use crate::sql;

/// What an action costs.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Price {
    /// The action.
    pub action_type: Action,
    /// For people.
    pub display_name: String,
    /// Credits.
    pub cost: i64,
    /// So many a calendar month cost nothing.
    pub free_per_month: i64,
    /// Whether it can be bought.
    pub is_active: bool,
}

/// All prices, in the order of their words.
pub async fn all<C: ConnectionTrait>(db: &C) -> Result<Vec<Price>, DbErr> {
    sql::all(
        db,
        "SELECT action_type, display_name, cost, free_per_month, is_active \
         FROM credit_pricing_rules ORDER BY action_type",
        vec![],
    )
    .await
}
