//! What costs credits. An endpoint names what is bought; whether it may be had, by whom and for how
//! much is decided here and in the ledger, and nowhere else.

use entity::ledger::Refusal;
use entity::ledger::read;
use entity::ledger::spend::{Purchase, Spent};
use entity::ledger::till::TillError;
use entity::time::Time;
use poem::http::StatusCode;
use poem_openapi::Object;

use crate::identity::Caller;
use crate::problem::Problem;
use crate::state::AppState;

/// Where credits are bought.
pub(crate) const TOP_UP_URL: &str = "/api/v1/credits/top-up";

/// What an answer cost.
#[derive(Clone, Debug, Object)]
pub(crate) struct CreditInfo {
    /// Credits taken for this answer.
    pub credits_spent: i64,
    /// One of the month's free turns was taken for it.
    pub used_free_allowance: bool,
    /// What may still be spent.
    pub remaining_balance: i64,
    /// The transaction, when one was made for it.
    pub transaction_id: Option<String>,
    /// It was had before, or came with access.
    pub already_unlocked: bool,
    /// Since when; RFC 3339, where it is known.
    pub unlock_date: Option<String>,
}

/// The same in headers: spent, free, remaining, transaction.
pub(crate) type CreditHeaders = (String, String, String, Option<String>);

impl CreditInfo {
    /// Of an answer that costs nothing.
    async fn free(state: &AppState, caller: &Caller, since: Option<Time>) -> Result<Self, Problem> {
        let db = &state.scope(&caller.0).reading().await?;
        let account = read::account(db, caller.id()).await?;
        Ok(Self {
            credits_spent: 0,
            used_free_allowance: false,
            remaining_balance: account.map_or(0, |(account, _)| account.wallet.available),
            transaction_id: None,
            already_unlocked: true,
            unlock_date: since.map(Time::rfc3339),
        })
    }

    fn of(spent: &Spent) -> Self {
        Self {
            credits_spent: spent.credits,
            used_free_allowance: spent.free,
            remaining_balance: spent.available,
            transaction_id: spent.transaction.map(|id| id.to_string()),
            already_unlocked: spent.before.is_some(),
            unlock_date: spent.before.map(Time::rfc3339),
        }
    }

    /// For the headers.
    pub(crate) fn headers(&self) -> CreditHeaders {
        (
            self.credits_spent.to_string(),
            self.used_free_allowance.to_string(),
            self.remaining_balance.to_string(),
            self.transaction_id.clone(),
        )
    }
}

/// Buys what is to be read, unless the caller has access already. `access` is since when; operators
/// pay nothing.
pub(crate) async fn buy(
    state: &AppState,
    caller: &Caller,
    access: bool,
    purchase: Purchase,
) -> Result<CreditInfo, Problem> {
    if access || caller.0.user.role.is_admin() {
        let since = match &purchase {
            Purchase::Unlock { user, profile } => {
                let of = [(*user, *profile)];
                let unlocks = entity::access::unlocks(state.scope(&caller.0).read(), &of).await?;
                unlocks.first().map(|unlock| unlock.unlocked_at)
            }
            Purchase::Posts { .. } => None,
        };
        return CreditInfo::free(state, caller, since).await;
    }
    match state.till.pay(purchase).await {
        Ok(Ok(spent)) => Ok(CreditInfo::of(&spent)),
        Ok(Err(refusal)) => Err(refused(&refusal)),
        Err(full @ TillError::Full) => {
            let busy = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", full.to_string());
            Err(busy.header("Retry-After", "1"))
        }
        Err(TillError::BrokenOff) => Err(Problem::internal()),
        Err(TillError::Db(error)) => Err(error.into()),
    }
}

/// Why something cannot be bought, as a word.
pub(crate) fn reason(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::NoWallet => "no_wallet",
        Refusal::Locked(_) => "wallet_locked",
        Refusal::UnknownAction(_) => "unknown_action",
        Refusal::Insufficient { .. } => "insufficient_credits",
        Refusal::KeyReused => "key_reused",
    }
}

/// A refusal as the answer: 402, with what is needed and what there is.
pub(crate) fn refused(refusal: &Refusal) -> Problem {
    if matches!(refusal, Refusal::KeyReused) {
        let detail = "Idempotency-Key: this key was used for another request";
        return Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail);
    }
    let (required, available) = match refusal {
        Refusal::Insufficient { required, available } => (Some(*required), Some(*available)),
        _ => (None, None),
    };
    let needed = required.zip(available).map(|(required, available)| required - available);
    let detail = format!("{refusal}; see {TOP_UP_URL}");
    let reason = reason(refusal);
    let mut problem = Problem::new(StatusCode::PAYMENT_REQUIRED, reason, detail.clone())
        .with("can_perform", false)
        .with("reason", reason)
        .with("credits_required", required)
        .with("wallet_balance", available)
        .with("credits_needed", needed)
        .with("message", detail)
        .with("top_up_url", TOP_UP_URL);
    let headers = [
        ("X-Credits-Required", required),
        ("X-Credits-Available", available),
        ("X-Credits-Needed", needed),
    ];
    for (name, figure) in headers {
        if let Some(figure) = figure {
            problem = problem.header(name, figure.to_string());
        }
    }
    problem
}
