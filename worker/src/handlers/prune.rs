//! Deletes what has had its time.
//!
//! Running it twice is safe: the second run finds nothing that is still past its time. Each batch
//! is a statement of its own, and what was deleted stays so when the run is stopped.

use entity::job::retention;
use jobs::kinds::prune::{Prune, Pruned};

use crate::engine::{Done, JobContext, JobError};

pub(crate) async fn run(_: Prune, ctx: &JobContext<'_>) -> Result<Done<Pruned>, JobError> {
    let rows = retention::pass(ctx.db(), || !ctx.cancel().is_cancelled()).await?;
    if ctx.cancel().is_cancelled() {
        return Err(JobError::Cancelled);
    }
    tracing::info!(rows, "pruned");
    ctx.done(&Pruned { rows })
}
