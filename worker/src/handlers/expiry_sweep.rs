//! Removes exports whose time is over.
//!
//! Running it twice is safe: a file is removed before its row says so, and one that is gone already
//! is gone.

use entity::{export, stored_object};
use jobs::kinds::expiry_sweep::{ExpirySweep, Swept};

use crate::engine::{Done, JobContext, JobError};

/// What was removed is known as expired for so long, in milliseconds: 90 days.
const FORGOTTEN_MS: i64 = 90 * 24 * 3_600_000;
/// Files of one statement.
const PAGE: u32 = 200;

pub(crate) async fn run(_: ExpirySweep, ctx: &JobContext<'_>) -> Result<Done<Swept>, JobError> {
    let mut output = Swept::default();
    while !ctx.cancel().is_cancelled() {
        let due = export::due(ctx.db().read(), PAGE).await?;
        if due.is_empty() {
            break;
        }
        for export in &due {
            ctx.deps().storage.delete(&export.object_key).await?;
        }
        let keys: Vec<String> = due.iter().map(|export| export.object_key.clone()).collect();
        let jobs: Vec<_> = due.iter().map(|export| export.job_id).collect();
        export::removed(ctx.db().write(), &jobs).await?;
        stored_object::forget(ctx.db().write(), &keys).await?;
        output.exports += due.len() as u64;
    }
    export::prune(ctx.db().write(), FORGOTTEN_MS).await?;
    ctx.commit(&output).await?.done().await
}
