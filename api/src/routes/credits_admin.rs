//! Credits for operators: whether the ledger adds up, and corrections. Each of those leaves a row in
//! the audit log.

use entity::ledger::LedgerError;
use entity::ledger::audit::{self, Audit};
use entity::ledger::read;
use poem::web::Data;
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{Enum, Object, OpenApi};
use serde_json::Value;
use uuid::Uuid;

use super::credits_view::WalletView;
use crate::body::JsonBody;
use crate::gate;
use crate::identity::Operator;
use crate::problem::Problem;
use crate::routes::Tag;
use crate::state::AppState;
use crate::trusted::booking::{self, Refunded as Outcome};

/// Credits, for operators.
#[derive(Debug)]
pub struct CreditsAdmin;

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub enum AdjustKind {
    /// Credits are given.
    Grant,
    /// Credits are given, as a present.
    Bonus,
    /// Credits are taken.
    Deduct,
}

/// A correction.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub struct Adjustment {
    kind: AdjustKind,
    /// 1 to 10,000,000.
    amount: i64,
    /// Why; 3 to 500 characters.
    reason: String,
}

/// Why.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub struct Reason {
    /// 3 to 500 characters.
    reason: String,
}

/// Whether nothing may be spent from a wallet.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub struct Lock {
    locked: bool,
    /// 3 to 500 characters.
    reason: String,
}

/// Whether the ledger adds up.
#[derive(Debug, Object)]
pub struct AuditView {
    /// Everything adds up.
    clean: bool,
    /// Wallets looked at.
    wallets: i64,
    /// All credits there are.
    credits: i64,
    /// All that are held.
    held: i64,
    /// By how much wallets are off, together.
    drift_credits: i64,
    /// Open holds without an open job.
    stray_holds: i64,
    /// Spent holds without their transaction.
    unbooked_holds: i64,
    /// Holds that were spent although their job did not succeed.
    unearned_holds: i64,
    /// Wallets that do not add up, at most 100.
    drifts: Vec<Value>,
}

/// Credits given back.
#[derive(Debug, Object)]
pub struct Refunded {
    /// The spend.
    transaction_id: Uuid,
    amount: i64,
}

#[OpenApi(tag = "Tag::Operators")]
impl CreditsAdmin {
    /// Does the ledger add up?
    #[oai(path = "/api/v1/admin/credits/audit", method = "get", operation_id = "audit_credits")]
    async fn audit(
        &self,
        state: Data<&AppState>,
        operator: Operator,
    ) -> Result<Json<AuditView>, Problem> {
        Ok(Json(look(&state, &operator).await?))
    }

    /// All credits
    ///
    /// The same as the audit.
    #[oai(path = "/api/v1/credits/system/stats", method = "get", operation_id = "get_credit_stats")]
    async fn stats(
        &self,
        state: Data<&AppState>,
        operator: Operator,
    ) -> Result<Json<AuditView>, Problem> {
        Ok(Json(look(&state, &operator).await?))
    }

    /// Give or take credits
    #[oai(
        path = "/api/v1/admin/credits/wallets/:user_id/adjust",
        method = "post",
        operation_id = "adjust_credits"
    )]
    async fn adjust(
        &self,
        state: Data<&AppState>,
        operator: Operator,
        user_id: Path<Uuid>,
        body: JsonBody<Adjustment>,
    ) -> Result<Json<WalletView>, Problem> {
        let Adjustment { kind, amount, reason } = body.0;
        if !(1..=10_000_000).contains(&amount) {
            return Err(Problem::body("amount", "must be from 1 to 10,000,000"));
        }
        let reason = told(&reason)?;
        let amount = if kind == AdjustKind::Deduct { -amount } else { amount };
        let by = operator.0.user.id;
        booking::adjust(&state, user_id.0, amount, by, reason).await.map_err(refused)?;
        wallet(&state, &operator, user_id.0).await
    }

    /// Lock or unlock a wallet
    #[oai(
        path = "/api/v1/admin/credits/wallets/:user_id/lock",
        method = "post",
        operation_id = "lock_wallet"
    )]
    async fn lock(
        &self,
        state: Data<&AppState>,
        operator: Operator,
        user_id: Path<Uuid>,
        body: JsonBody<Lock>,
    ) -> Result<Json<WalletView>, Problem> {
        let reason = told(&body.0.reason)?;
        let by = operator.0.user.id;
        booking::lock(&state, user_id.0, body.0.locked, by, reason).await.map_err(refused)?;
        wallet(&state, &operator, user_id.0).await
    }

    /// Give back what was spent
    ///
    /// At most once for each spend.
    #[oai(
        path = "/api/v1/admin/credits/transactions/:id/refund",
        method = "post",
        operation_id = "refund_credits"
    )]
    async fn refund(
        &self,
        state: Data<&AppState>,
        operator: Operator,
        id: Path<Uuid>,
        body: JsonBody<Reason>,
    ) -> Result<Json<Refunded>, Problem> {
        let reason = told(&body.0.reason)?;
        match booking::refund(&state, id.0, operator.0.user.id, reason).await? {
            Outcome::Credits(amount) => Ok(Json(Refunded { transaction_id: id.0, amount })),
            Outcome::Before => {
                let detail = "this spend was given back before";
                Err(Problem::conflict("already_refunded", detail))
            }
            Outcome::Missing => {
                let detail = format!("there is no spend {}", id.0);
                Err(Problem::not_found("transaction_not_found", detail))
            }
        }
    }
}

async fn look(state: &AppState, operator: &Operator) -> Result<AuditView, Problem> {
    let found = audit::audit(state.scope(&operator.0).read()).await?;
    let clean = found.is_clean();
    let Audit {
        wallets,
        credits,
        held,
        drifts,
        drift_credits,
        stray_holds,
        unbooked_holds,
        unearned_holds,
    } = found;
    let drifts = drifts.iter().map(serde_json::to_value).collect::<Result<_, _>>();
    Ok(AuditView {
        clean,
        wallets,
        credits,
        held,
        drift_credits,
        stray_holds,
        unbooked_holds,
        unearned_holds,
        drifts: drifts.map_err(|_| Problem::internal())?,
    })
}

async fn wallet(
    state: &AppState,
    operator: &Operator,
    user: Uuid,
) -> Result<Json<WalletView>, Problem> {
    let db = &state.scope(&operator.0).reading().await?;
    let account = read::account(db, user).await?;
    let (account, _) = account.ok_or_else(no_user)?;
    Ok(Json(WalletView::of(&account)))
}

fn told(reason: &str) -> Result<&str, Problem> {
    let reason = reason.trim();
    if (3..=500).contains(&reason.chars().count()) && !reason.contains('\0') {
        return Ok(reason);
    }
    Err(Problem::body("reason", "must have 3 to 500 characters"))
}

/// More than there is cannot be taken; that is no 402, for the operator does not pay.
fn refused(error: LedgerError) -> Problem {
    match error {
        LedgerError::Refused(entity::ledger::Refusal::NoWallet) => no_user(),
        LedgerError::Refused(refusal) => {
            Problem::conflict(gate::reason(&refusal), refusal.to_string())
        }
        LedgerError::Db(error) => error.into(),
    }
}

fn no_user() -> Problem {
    Problem::not_found("user_not_found", "there is no such user").with("field", "user_id")
}
