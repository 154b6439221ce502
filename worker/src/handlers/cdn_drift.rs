//! Compares what the rows say with what lies in the storage, and has what is missing made again.
//!
//! Running it twice is safe: what is missing is marked, and its ingests enqueued, in the transaction
//! that ends the job; an ingest that is open already is joined.

use entity::cdn_asset::outcome;
use entity::cdn_asset::{self, Asset};
use entity::enums::Priority;
use entity::stored_object;
use futures_util::{StreamExt, TryStreamExt};
use jobs::kinds::cdn_drift::{BUDGET, CdnDrift, CdnDrifted};
use jobs::{Options, Storage};
use uuid::Uuid;

use crate::engine::{Done, JobContext, JobError};
use crate::media::plan;

/// Pictures of one statement.
const PAGE: u32 = 500;
/// Objects asked about at once.
const AT_ONCE: usize = 8;

pub(crate) async fn run(_: CdnDrift, ctx: &JobContext<'_>) -> Result<Done<CdnDrifted>, JobError> {
    let storage = &ctx.deps().storage;
    let mut output = CdnDrifted::default();
    let mut missing: Vec<Asset> = vec![];
    let mut after = Uuid::nil();
    while missing.len() < BUDGET {
        if ctx.cancel().is_cancelled() {
            return Err(JobError::Cancelled);
        }
        let page = cdn_asset::stored_page(ctx.db().read(), after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        output.checked += page.len() as u64;
        let compared = page.into_iter().map(|asset| async move {
            let whole = is_whole(storage, &asset, ctx).await?;
            Ok::<_, JobError>((!whole).then_some(asset))
        });
        let compared = futures_util::stream::iter(compared).buffer_unordered(AT_ONCE);
        let found: Vec<Option<Asset>> = compared.try_collect().await?;
        missing.extend(found.into_iter().flatten());
    }
    output.missing = missing.len() as u64;
    let ids: Vec<Uuid> = missing.iter().map(|asset| asset.id).collect();
    let keys: Vec<String> =
        missing.iter().filter_map(Asset::keys).flatten().map(str::to_owned).collect();
    let options = Options { priority: Some(Priority::Bulk), ..Options::default() };
    let jobs = plan::ingests(&missing, false, &options)?;
    let mut commit = ctx.commit(&output).await?;
    outcome::lost(commit.tx(), &ids).await?;
    // Whatever lies there is written anew, and its row with it.
    stored_object::forget(commit.tx(), &keys).await?;
    output.started = commit.start(&jobs).await?;
    commit.set_output(&output).await?;
    commit.done().await
}

/// Whether both thumbnails lie where the row says, in the size that was stored.
async fn is_whole(
    storage: &Storage,
    asset: &Asset,
    ctx: &JobContext<'_>,
) -> Result<bool, JobError> {
    let Some(keys) = asset.keys() else { return Ok(false) };
    for key in keys {
        let stored = stored_object::by_key(ctx.db().read(), key).await?;
        let size = storage.size(key).await?;
        if stored.is_none_or(|stored| Some(stored.size_bytes as u64) != size) {
            return Ok(false);
        }
    }
    Ok(true)
}
