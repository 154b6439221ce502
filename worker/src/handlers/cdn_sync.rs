//! Brings the pictures of stored profiles to the CDN.
//!
//! Running it twice is safe: noting the pictures and starting their ingests is the transaction that
//! hands over to these; one that is open already is joined.

use entity::profile;
use jobs::Options;
use jobs::kinds::cdn_sync::{BUDGET, CdnSync, CdnSynced};

use crate::engine::{Done, JobContext, JobError};
use crate::media::plan;

/// Profiles of one transaction.
const PAGE: usize = 50;

pub(crate) async fn run(_: CdnSync, ctx: &JobContext<'_>) -> Result<Done<CdnSynced>, JobError> {
    let profiles = profile::without_pictures(ctx.db().read(), BUDGET).await?;
    let mut output = CdnSynced::default();
    let mut due = vec![];
    for page in profiles.chunks(PAGE) {
        let checkpoint = ctx.checkpoint().await?;
        for profile in page {
            let found = plan::due(checkpoint.tx(), profile).await?;
            output.profiles += u32::from(!found.is_empty());
            due.extend(found);
        }
        checkpoint.done().await?;
    }
    output.assets = due.len() as u32;
    let jobs = plan::ingests(&due, false, &Options::under(ctx.job()))?;
    output.jobs = jobs.len() as u32;
    ctx.commit_with_children(&output, &jobs, false).await?.done().await
}
