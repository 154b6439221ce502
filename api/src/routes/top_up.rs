//! Credits that are bought by themselves.

use entity::ledger::orders::{self, Quote};
use poem::Request;
use poem::http::StatusCode;
use poem::web::Data;
use poem_openapi::param::{Header, Query};
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi};

use super::credits_view::{OrderView, QuoteView};
use crate::body::JsonBody;
use crate::idempotency::{self};
use crate::identity::Caller;
use crate::problem::Problem;
use crate::query as rules;
use crate::routes::Tag;
use crate::state::AppState;
use crate::trusted::booking;

/// Buying credits.
#[derive(Debug)]
pub struct TopUp;

/// Most credits of one order.
pub(crate) const MAX_CREDITS: i64 = 1_000_000;

/// How many.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub struct Amount {
    /// 1 to 1,000,000.
    credits: i64,
}

#[derive(ApiResponse)]
enum Placed {
    /// The order waits for its payment.
    #[oai(status = 201)]
    Order(Json<OrderView>),
}

#[OpenApi(prefix_path = "/api/v1/credits/top-up", tag = "Tag::Credits")]
impl TopUp {
    /// What would credits cost?
    #[oai(path = "/estimate", method = "post", operation_id = "estimate_top_up")]
    async fn estimate(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        body: JsonBody<Amount>,
    ) -> Result<Json<QuoteView>, Problem> {
        Ok(Json(quote(&state, &caller, body.0.credits).await?.into()))
    }

    /// Order credits
    ///
    /// The order is pending until it is paid; its credits come in then, once.
    #[oai(path = "/", method = "post", operation_id = "order_top_up")]
    async fn order(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        request: &Request,
        /// A repeat with the same key gets the same answer, for 24 h.
        #[oai(name = "Idempotency-Key")]
        _idempotency_key: Header<Option<String>>, // documented here, read raw below
        body: JsonBody<Amount>,
    ) -> Result<Placed, Problem> {
        let quote = quote(&state, &caller, body.0.credits).await?;
        let what = ["POST", "top-up", &quote.credits.to_string()];
        let key = idempotency::key(request.headers(), caller.id(), &what)?;
        let order = booking::order(&state, caller.id(), &quote, key.as_ref(), OrderView::from);
        Ok(Placed::Order(Json(order.await?)))
    }

    /// Orders
    ///
    /// Newest first.
    #[oai(path = "/history", method = "get", operation_id = "list_top_ups")]
    async fn history(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        /// 1 to 100.
        limit: Query<Option<i64>>,
    ) -> Result<Json<Vec<OrderView>>, Problem> {
        let limit = rules::limit(limit.0, 50)?;
        let orders = orders::of_user(state.scope(&caller.0).read(), caller.id(), limit).await?;
        Ok(Json(orders.into_iter().map(Into::into).collect()))
    }
}

async fn quote(state: &AppState, caller: &Caller, credits: i64) -> Result<Quote, Problem> {
    if !(1..=MAX_CREDITS).contains(&credits) {
        return Err(Problem::body("credits", "must be from 1 to 1,000,000"));
    }
    let quote = booking::quote(state, caller.id(), credits).await?;
    quote.ok_or_else(|| {
        let detail = "credits are not sold by themselves here; ask support";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_configured", detail)
    })
}
