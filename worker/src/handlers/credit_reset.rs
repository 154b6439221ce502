//! Begins the months of wallets that have come, and takes the credits whose time is over.
//!
//! Running it twice is safe: a wallet that was brought up to now is not due any more, a month of it
//! has one row, and its package's credits have one reference, both unique. A batch of wallets is a
//! transaction of its own, so what was done stays done when the run is stopped, and the next one
//! finds the rest. Whoever spends from a wallet meanwhile has brought it up to now, and is waited
//! for by its lock.

use entity::ledger::reset;
use jobs::kinds::credit_reset::{CreditReset, CreditsReset};

use crate::engine::{Done, JobContext, JobError};

/// Wallets of one transaction: their owners wait so long at most.
const BATCH: u64 = 50;

pub(crate) async fn run(
    _: CreditReset,
    ctx: &JobContext<'_>,
) -> Result<Done<CreditsReset>, JobError> {
    let mut output = CreditsReset::default();
    let mut after = None;
    loop {
        if ctx.cancel().is_cancelled() {
            return Err(JobError::Cancelled);
        }
        let due = reset::due(ctx.db().read(), after, BATCH).await?;
        if due.is_empty() {
            break;
        }
        let tx = ctx.db().begin().await?;
        let came = reset::reset(&tx, &due).await?;
        tx.commit().await?;
        output.wallets += due.len() as u64;
        output.months += came.months;
        output.granted += came.granted;
        output.expired += came.expired;
        after = due.last().copied();
    }
    tracing::info!(wallets = output.wallets, months = output.months, "brought up to now");
    ctx.commit(&output).await?.done().await
}
