//! What things cost, and whether the caller could pay for them now. Nothing is set aside here.

use std::collections::BTreeMap;

use entity::ledger::account::{Account, Usage};
use entity::ledger::prices::{self, Price};
use entity::ledger::{Action, Refusal, calendar, read};
use poem::web::Data;
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};

use super::credits::account;
use super::credits_view::{PriceView, free_used};
use crate::body::JsonBody;
use crate::gate::{self, TOP_UP_URL};
use crate::identity::Caller;
use crate::problem::Problem;
use crate::routes::Tag;
use crate::state::AppState;

/// Prices.
#[derive(Debug)]
pub struct Prices;

/// Most of one action that is calculated.
pub(crate) const MAX_QUANTITY: i64 = 100_000;

/// Whether an action can be done now.
#[derive(Debug, Object)]
pub struct Ability {
    can_perform: bool,
    /// free_allowance, sufficient_credits, insufficient_credits, wallet_locked or unknown_action.
    reason: String,
    /// What it would cost now.
    credits_required: Option<i64>,
    /// What may be spent.
    wallet_balance: i64,
    /// Free turns left in this calendar month.
    free_remaining: i64,
    /// What is missing.
    credits_needed: i64,
    message: String,
    /// Where credits are bought.
    top_up_url: String,
}

/// So many of an action.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub struct Quantity {
    action_type: String,
    /// 1 to 100,000.
    quantity: i64,
}

/// What is to be done.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub struct Plan {
    /// 1 to 100 actions.
    actions: Vec<Quantity>,
}

/// What one part of it costs.
#[derive(Debug, Object)]
pub struct PlanItem {
    action_type: String,
    quantity: i64,
    /// So many are free turns of this month.
    free: i64,
    /// The rest is paid.
    paid: i64,
    credits: i64,
}

/// What it costs.
#[derive(Debug, Object)]
pub struct PlanCost {
    items: Vec<PlanItem>,
    total_credits: i64,
    /// What may be spent.
    wallet_balance: i64,
    can_afford: bool,
}

#[OpenApi(prefix_path = "/api/v1/credits", tag = "Tag::Credits")]
impl Prices {
    /// Can it be done?
    #[oai(path = "/can-perform/:action_type", method = "get", operation_id = "can_perform")]
    async fn can_perform(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        action_type: Path<String>,
    ) -> Result<Json<Ability>, Problem> {
        let db = &state.scope(&caller.0).reading().await?;
        let (account, now) = account(db, &caller).await?;
        let prices = prices::all(db).await?;
        let usage = read::usage(db, caller.id(), &calendar::month_year(now)).await?;
        let price = sold(&prices, &action_type.0).ok();
        let free = price.map_or(0, |price| free_left(&usage, price));
        Ok(Json(Ability::of(&account, price, &action_type.0, free)))
    }

    /// Prices
    #[oai(path = "/pricing", method = "get", operation_id = "list_prices")]
    async fn pricing(
        &self,
        state: Data<&AppState>,
        _caller: Caller,
    ) -> Result<Json<Vec<PriceView>>, Problem> {
        let prices = prices::all(state.common().read()).await?;
        Ok(Json(prices.iter().filter(|price| price.is_active).map(Into::into).collect()))
    }

    /// A price
    #[oai(path = "/pricing/:action_type", method = "get", operation_id = "get_price")]
    async fn price(
        &self,
        state: Data<&AppState>,
        _caller: Caller,
        action_type: Path<String>,
    ) -> Result<Json<PriceView>, Problem> {
        let prices = prices::all(state.common().read()).await?;
        Ok(Json(sold(&prices, &action_type.0)?.into()))
    }

    /// What would it cost?
    ///
    /// Free turns are counted first. Nothing is set aside.
    #[oai(path = "/pricing/calculate", method = "post", operation_id = "calculate_price")]
    async fn calculate(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        body: JsonBody<Plan>,
    ) -> Result<Json<PlanCost>, Problem> {
        let plan = body.0.actions;
        if plan.is_empty() || plan.len() > 100 {
            return Err(Problem::body("actions", "must hold 1 to 100 actions"));
        }
        let db = &state.scope(&caller.0).reading().await?;
        let (account, now) = account(db, &caller).await?;
        let prices = prices::all(db).await?;
        let usage = read::usage(db, caller.id(), &calendar::month_year(now)).await?;
        // A turn is free once, also when an action is named twice.
        let mut turns: BTreeMap<Action, i64> = BTreeMap::new();
        let mut items = vec![];
        for Quantity { action_type, quantity } in plan {
            if !(1..=MAX_QUANTITY).contains(&quantity) {
                return Err(Problem::body("quantity", "must be from 1 to 100,000"));
            }
            let price = sold(&prices, &action_type)?;
            let left = turns.entry(price.action_type).or_insert_with(|| free_left(&usage, price));
            let free = quantity.min(*left);
            *left -= free;
            let paid = quantity - free;
            let credits = paid.saturating_mul(price.cost);
            items.push(PlanItem { action_type, quantity, free, paid, credits });
        }
        let total_credits = items.iter().map(|item| item.credits).fold(0, i64::saturating_add);
        let wallet_balance = account.wallet.available;
        let can_afford = total_credits <= wallet_balance;
        Ok(Json(PlanCost { items, total_credits, wallet_balance, can_afford }))
    }
}

impl Ability {
    fn of(account: &Account, price: Option<&Price>, action: &str, free: i64) -> Self {
        let wallet = &account.wallet;
        let (available, locked) = (wallet.available, wallet.is_locked || wallet.is_frozen);
        let refusal = match price {
            None => Some(Refusal::UnknownAction(action.to_owned())),
            Some(_) if locked => Some(Refusal::Locked(wallet.freeze_reason.clone())),
            Some(price) if free == 0 && price.cost > available => {
                Some(Refusal::Insufficient { required: price.cost, available })
            }
            Some(_) => None,
        };
        let required = price.map(|price| if free > 0 { 0 } else { price.cost });
        let (reason, message) = match &refusal {
            Some(refusal) => (gate::reason(refusal), refusal.to_string()),
            None if free > 0 => ("free_allowance", "one of this month's free turns".to_owned()),
            None => ("sufficient_credits", format!("costs {} credits", required.unwrap_or(0))),
        };
        Self {
            can_perform: refusal.is_none(),
            reason: reason.to_owned(),
            credits_required: required,
            wallet_balance: available,
            free_remaining: free,
            credits_needed: (required.unwrap_or(0) - available).max(0),
            message,
            top_up_url: TOP_UP_URL.to_owned(),
        }
    }
}

/// What this action costs, if it is sold.
fn sold<'a>(prices: &'a [Price], action: &str) -> Result<&'a Price, Problem> {
    let is_it = |price: &&Price| price.is_active && price.action_type.as_str() == action;
    prices.iter().find(is_it).ok_or_else(|| {
        let detail = format!("action_type: {action:?} is not sold; see /api/v1/credits/pricing");
        Problem::not_found("unknown_action", detail).with("field", "action_type")
    })
}

/// Free turns left of an action in the month of these rows.
fn free_left(usage: &[Usage], price: &Price) -> i64 {
    (price.free_per_month - free_used(usage, price)).max(0)
}
