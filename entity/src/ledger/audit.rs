//! Whether the ledger adds up: what must hold of every wallet at every moment, asked of the rows.

use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};
use serde::Serialize;

use super::settle::{SLACK_MS, STRAY};
use crate::args;
use crate::sql;

/// A wallet that does not add up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromQueryResult)]
pub struct Drift {
    /// Which.
    pub wallet_id: Uuid,
    /// Whose.
    pub user_id: Uuid,
    /// What it says: `available + held`.
    pub balance: i64,
    /// What is held.
    pub held: i64,
    /// The sum of its transactions.
    pub booked: i64,
    /// How many transactions it has.
    pub entries: i64,
    /// How many it should have.
    pub numbered: i64,
    /// The sum of what is left of its grants.
    pub granted: i64,
    /// What its grants say is held.
    pub grants_held: i64,
    /// The sum of its open holds.
    pub open_holds: i64,
}

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// Wallets looked at.
    pub wallets: i64,
    /// All credits there are.
    pub credits: i64,
    /// All that are held.
    pub held: i64,
    /// Wallets that do not add up, at most 100.
    pub drifts: Vec<Drift>,
    /// By how much they are off, together.
    pub drift_credits: i64,
    /// Open holds without an open job.
    pub stray_holds: i64,
    /// Spent holds without their transaction, or with one of another amount.
    pub unbooked_holds: i64,
    /// Holds that were spent although their job did not succeed.
    pub unearned_holds: i64,
}

impl Audit {
    /// Whether everything adds up.
    pub fn is_clean(&self) -> bool {
        self.drifts.is_empty()
            && self.stray_holds == 0
            && self.unbooked_holds == 0
            && self.unearned_holds == 0
    }
}

#[derive(FromQueryResult)]
struct Totals {
    wallets: i64,
    credits: i64,
    held: i64,
}

#[derive(FromQueryResult)]
struct Count {
    n: i64,
}

async fn count<C: ConnectionTrait>(db: &C, text: &str, args: Vec<sql::Arg>) -> Result<i64, DbErr> {
    let row: Option<Count> = sql::one(db, text, args).await?;
    Ok(row.map_or(0, |row| row.n))
}

/// Each wallet beside the sums that must be its own. One statement, so one moment.
const WALLETS: &str = "SELECT w.id AS wallet_id, w.user_id AS user_id, \
     w.available + w.held AS balance, w.held AS held, w.entries AS numbered, \
     COALESCE((SELECT CAST(sum(t.amount) AS bigint) FROM credit_transactions t \
       WHERE t.wallet_id = w.id), 0) AS booked, \
     (SELECT count(*) FROM credit_transactions t WHERE t.wallet_id = w.id) AS entries, \
     COALESCE((SELECT CAST(sum(g.remaining) AS bigint) FROM credit_grants g \
       WHERE g.wallet_id = w.id), 0) AS granted, \
     COALESCE((SELECT CAST(sum(g.held) AS bigint) FROM credit_grants g \
       WHERE g.wallet_id = w.id), 0) AS grants_held, \
     COALESCE((SELECT CAST(sum(h.amount) AS bigint) FROM credit_holds h \
       WHERE h.wallet_id = w.id AND h.state = 'held'), 0) AS open_holds \
     FROM credit_wallets w";

/// Looks at every wallet.
pub async fn audit<C: ConnectionTrait>(db: &C) -> Result<Audit, DbErr> {
    let totals: Option<Totals> = sql::one(
        db,
        "SELECT count(*) AS wallets, CAST(COALESCE(sum(available + held), 0) AS bigint) \
         AS credits, CAST(COALESCE(sum(held), 0) AS bigint) AS held FROM credit_wallets",
        vec![],
    )
    .await?;
    let drifts: Vec<Drift> = sql::all(
        db,
        &format!(
            "SELECT * FROM ({WALLETS}) AS w WHERE balance <> booked OR balance <> granted \
             OR held <> grants_held OR held <> open_holds OR entries <> numbered \
             ORDER BY user_id LIMIT 100"
        ),
        vec![],
    )
    .await?;
    let stray = format!("SELECT count(*) AS n FROM credit_holds h WHERE {STRAY}");
    let totals = totals.unwrap_or(Totals { wallets: 0, credits: 0, held: 0 });
    Ok(Audit {
        wallets: totals.wallets,
        credits: totals.credits,
        held: totals.held,
        drift_credits: drifts
            .iter()
            .map(|drift| {
                let booked = (drift.balance - drift.booked).abs();
                booked.max((drift.balance - drift.granted).abs())
            })
            .sum(),
        drifts,
        stray_holds: count(db, &stray, args![SLACK_MS]).await?,
        unbooked_holds: count(
            db,
            "SELECT count(*) AS n FROM credit_holds h LEFT JOIN credit_transactions t \
             ON t.hold_id = h.id WHERE h.state = 'captured' \
             AND (t.id IS NULL OR t.amount <> -h.amount OR t.wallet_id <> h.wallet_id)",
            vec![],
        )
        .await?,
        unearned_holds: count(
            db,
            "SELECT count(*) AS n FROM credit_holds h JOIN jobs j ON j.id = h.job_id \
             WHERE h.state = 'captured' AND j.state IN ('failed', 'cancelled')",
            vec![],
        )
        .await?,
    })
}
