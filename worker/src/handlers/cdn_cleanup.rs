//! Removes thumbnails that no picture shows any more, and files nobody knows of.
//!
//! Running it twice is safe: an object is removed before its row, so what a killed run left is found
//! again, and what is removed twice is gone once.

use std::future::ready;

use entity::{stored_object, time};
use futures_util::TryStreamExt;
use jobs::Storage;
use jobs::kinds::cdn_cleanup::{BUDGET, CdnCleaned, CdnCleanup, GRACE_MS};
use jobs::storage::StorageError;

use crate::engine::{Done, JobContext, JobError};

/// Keys asked about at once.
const PAGE: usize = 500;

pub(crate) async fn run(_: CdnCleanup, ctx: &JobContext<'_>) -> Result<Done<CdnCleaned>, JobError> {
    let storage = &ctx.deps().storage;
    let mut output = CdnCleaned::default();
    while (output.replaced as usize) < BUDGET && !ctx.cancel().is_cancelled() {
        let unused = stored_object::unused(ctx.db().read(), GRACE_MS, PAGE as u32).await?;
        if unused.is_empty() {
            break;
        }
        for key in &unused {
            storage.delete(key).await?;
        }
        stored_object::forget(ctx.db().write(), &unused).await?;
        output.replaced += unused.len() as u64;
    }
    for folder in ["th", "exports"] {
        output.strays += strays(storage, folder, ctx).await?;
    }
    ctx.commit(&output).await?.done().await
}

/// Removes objects without a row, old enough that none is on its way.
async fn strays(storage: &Storage, folder: &str, ctx: &JobContext<'_>) -> Result<u64, JobError> {
    // The storage's own times, so the host's clock: a day's grace is more than clocks differ.
    let before = time::wall_now().0 - GRACE_MS;
    let old = storage.list(folder).try_filter(|object| ready(object.modified_ms < before));
    let mut pages = old.map_ok(|object| object.key).try_chunks(PAGE);
    let mut removed = 0;
    while let Some(keys) = pages.try_next().await.map_err(|error| -> StorageError { error.1 })? {
        let db = ctx.db().read();
        let known = stored_object::known(db, &keys).await?;
        for key in keys.iter().filter(|key| !known.contains(key)) {
            storage.delete(key).await?;
            removed += 1;
        }
        if removed as usize >= BUDGET || ctx.cancel().is_cancelled() {
            break;
        }
    }
    Ok(removed)
}
