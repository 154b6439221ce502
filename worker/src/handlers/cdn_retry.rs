//! Tries failed pictures again.
//!
//! Running it twice is safe: marking them and starting their ingests is the transaction that hands
//! over to these; one that is open already is joined.

use entity::cdn_asset::{self, outcome};
use jobs::Options;
use jobs::kinds::cdn_retry::{BUDGET, CdnRetried, CdnRetry};

use crate::engine::{Done, JobContext, JobError};
use crate::media::plan;

pub(crate) async fn run(_: CdnRetry, ctx: &JobContext<'_>) -> Result<Done<CdnRetried>, JobError> {
    let failed = cdn_asset::failed(ctx.db().read(), BUDGET).await?;
    let jobs = plan::ingests(&failed, false, &Options::under(ctx.job()))?;
    let output = CdnRetried { assets: failed.len() as u32, jobs: jobs.len() as u32 };
    let commit = ctx.commit_with_children(&output, &jobs, false).await?;
    let ids: Vec<_> = failed.iter().map(|asset| asset.id).collect();
    outcome::retry(commit.tx(), &ids).await?;
    commit.done().await
}
