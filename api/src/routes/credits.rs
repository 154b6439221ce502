//! The caller's credits: what there is, what was booked, what things cost. Read from the ledger at
//! each request, so that whoever was charged sees it at once.

use entity::ledger::account::Account;
use entity::ledger::prices;
use entity::ledger::read::{self, Filter};
use entity::ledger::{Refusal, calendar};
use entity::{Time, Tx};
use poem::web::Data;
use poem_openapi::param::Query;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};

use super::credits_view::{
    AllowancesView, BalanceView, MonthUsage, PriceView, SpendingView, TransactionView, WalletView,
};
use crate::gate;
use crate::identity::Caller;
use crate::problem::Problem;
use crate::query as rules;
use crate::routes::Tag;
use crate::state::AppState;
use crate::trusted::booking;

/// Credits.
#[derive(Debug)]
pub struct Credits;

/// Months that may be asked for.
pub(crate) const MAX_MONTHS: i64 = 24;
/// Transactions on the dashboard.
const RECENT: u64 = 20;

/// Everything about credits on one page.
#[derive(Debug, Object)]
pub struct DashboardView {
    wallet: WalletView,
    /// The last twenty.
    recent_transactions: Vec<TransactionView>,
    monthly_usage: MonthUsage,
    pricing_rules: Vec<PriceView>,
    unlocked_influencers_count: i64,
}

#[OpenApi(prefix_path = "/api/v1/credits", tag = "Tag::Credits")]
impl Credits {
    /// Balance
    #[oai(path = "/balance", method = "get", operation_id = "get_credit_balance")]
    async fn balance(
        &self,
        state: Data<&AppState>,
        caller: Caller,
    ) -> Result<Json<BalanceView>, Problem> {
        let db = &state.scope(&caller.0).reading().await?;
        Ok(Json(BalanceView::of(&account(db, &caller).await?.0)))
    }

    /// Wallet
    #[oai(path = "/wallet/summary", method = "get", operation_id = "get_wallet_summary")]
    async fn summary(
        &self,
        state: Data<&AppState>,
        caller: Caller,
    ) -> Result<Json<WalletView>, Problem> {
        wallet(&state, &caller).await
    }

    /// Credits by source
    ///
    /// The same as the wallet.
    #[oai(path = "/total-plan-credits", method = "get", operation_id = "get_total_plan_credits")]
    async fn total(
        &self,
        state: Data<&AppState>,
        caller: Caller,
    ) -> Result<Json<WalletView>, Problem> {
        wallet(&state, &caller).await
    }

    /// Make the wallet
    ///
    /// Whoever pays for something gets one anyway; a second time it is the same one.
    #[oai(path = "/wallet/create", method = "post", operation_id = "create_wallet")]
    async fn create(
        &self,
        state: Data<&AppState>,
        caller: Caller,
    ) -> Result<Json<WalletView>, Problem> {
        booking::open(&state, caller.id()).await?;
        wallet(&state, &caller).await
    }

    /// Everything at once
    #[oai(path = "/dashboard", method = "get", operation_id = "get_credit_dashboard")]
    async fn dashboard(
        &self,
        state: Data<&AppState>,
        caller: Caller,
    ) -> Result<Json<DashboardView>, Problem> {
        let db = &state.scope(&caller.0).reading().await?;
        let (account, now) = account(db, &caller).await?;
        let user = caller.id();
        let prices = prices::all(db).await?;
        let month = calendar::month_year(now);
        let usage = read::usage(db, user, &month).await?;
        let recent = read::transactions(db, user, &Filter::default(), RECENT).await?;
        Ok(Json(DashboardView {
            wallet: WalletView::of(&account),
            recent_transactions: recent.into_iter().map(Into::into).collect(),
            monthly_usage: MonthUsage::of(&month, &usage, &prices),
            pricing_rules: prices.iter().map(Into::into).collect(),
            unlocked_influencers_count: read::unlocked_count(db, user).await?,
        }))
    }

    /// Transactions
    ///
    /// Newest first; `before` takes the `number` of the last one of the page before.
    #[oai(path = "/transactions", method = "get", operation_id = "list_credit_transactions")]
    async fn transactions(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        /// 1 to 100.
        limit: Query<Option<i64>>,
        /// Only older ones than this number.
        before: Query<Option<i64>>,
    ) -> Result<Json<Vec<TransactionView>>, Problem> {
        let filter = Filter { before: before.0, ..Filter::default() };
        found(&state, &caller, &filter, limit.0).await
    }

    /// Search transactions
    ///
    /// Newest first; what is left out is not asked for.
    #[oai(
        path = "/transactions/search",
        method = "get",
        operation_id = "search_credit_transactions"
    )]
    #[allow(clippy::too_many_arguments)] // one per part of the request
    async fn search(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        /// Only of this type.
        transaction_type: Query<Option<String>>,
        /// Only of this action.
        action_type: Query<Option<String>>,
        /// Not before; RFC 3339.
        since: Query<Option<String>>,
        /// Before; RFC 3339.
        until: Query<Option<String>>,
        /// A part of the description, in any case; 1 to 200 characters.
        q: Query<Option<String>>,
        /// 1 to 100.
        limit: Query<Option<i64>>,
        /// Only older ones than this number.
        before: Query<Option<i64>>,
    ) -> Result<Json<Vec<TransactionView>>, Problem> {
        let word = |field: &'static str| move |rule: String| Problem::field(field, rule);
        let time = |field: &'static str| move |text: &str| rules::time(field, text);
        let text = q.0.as_deref().map(str::trim);
        if text.is_some_and(|text| text.is_empty() || text.chars().count() > 200) {
            return Err(Problem::field("q", "must have 1 to 200 characters"));
        }
        let kind = transaction_type.0.as_deref().map(str::parse).transpose();
        let action = action_type.0.as_deref().map(str::parse).transpose();
        let filter = Filter {
            kind: kind.map_err(word("transaction_type"))?,
            action: action.map_err(word("action_type"))?,
            since: since.0.as_deref().map(time("since")).transpose()?,
            until: until.0.as_deref().map(time("until")).transpose()?,
            // No stored text holds one, and Postgres refuses the question.
            text: text.map(|text| text.replace('\0', " ")),
            before: before.0,
        };
        found(&state, &caller, &filter, limit.0).await
    }

    /// What was done in a month
    #[oai(path = "/usage/monthly", method = "get", operation_id = "get_monthly_usage")]
    async fn usage(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        /// `YYYY-MM`, UTC; this month when it is left out.
        month_year: Query<Option<String>>,
    ) -> Result<Json<MonthUsage>, Problem> {
        let month = match month_year.0 {
            Some(month) => rules::month(&month)?,
            None => calendar::month_year(state.now().await?),
        };
        let db = &state.scope(&caller.0).reading().await?;
        let usage = read::usage(db, caller.id(), &month).await?;
        Ok(Json(MonthUsage::of(&month, &usage, &prices::all(db).await?)))
    }

    /// What was spent
    #[oai(path = "/analytics/spending", method = "get", operation_id = "get_spending")]
    async fn spending(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        /// This month and those before it, 1 to 24; 6 when it is left out.
        months: Query<Option<i64>>,
    ) -> Result<Json<SpendingView>, Problem> {
        let months = months.0.unwrap_or(6);
        if !(1..=MAX_MONTHS).contains(&months) {
            return Err(Problem::field("months", "must be from 1 to 24"));
        }
        let months = months as u32;
        let first = calendar::months_before(state.now().await?, months - 1);
        let usage = read::usage_since(state.scope(&caller.0).read(), caller.id(), &first).await?;
        Ok(Json(SpendingView::of(months, &usage)))
    }

    /// Free turns of this month
    #[oai(path = "/allowances", method = "get", operation_id = "get_allowances")]
    async fn allowances(
        &self,
        state: Data<&AppState>,
        caller: Caller,
    ) -> Result<Json<AllowancesView>, Problem> {
        let now = state.now().await?;
        let db = &state.scope(&caller.0).reading().await?;
        let usage = read::usage(db, caller.id(), &calendar::month_year(now)).await?;
        Ok(Json(AllowancesView::of(now, &usage, &prices::all(db).await?)))
    }
}

/// The caller's wallet as the next charge will find it, and what time it is.
pub(super) async fn account(db: &Tx, caller: &Caller) -> Result<(Account, Time), Problem> {
    let account = read::account(db, caller.id()).await?;
    account.ok_or_else(|| gate::refused(&Refusal::NoWallet))
}

async fn wallet(state: &AppState, caller: &Caller) -> Result<Json<WalletView>, Problem> {
    let db = &state.scope(&caller.0).reading().await?;
    Ok(Json(WalletView::of(&account(db, caller).await?.0)))
}

async fn found(
    state: &AppState,
    caller: &Caller,
    filter: &Filter,
    limit: Option<i64>,
) -> Result<Json<Vec<TransactionView>>, Problem> {
    let limit = rules::limit(limit, 50)?;
    let rows =
        read::transactions(state.scope(&caller.0).read(), caller.id(), filter, limit).await?;
    Ok(Json(rows.into_iter().map(Into::into).collect()))
}
