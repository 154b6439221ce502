//! Starts one fetch per name.
//!
//! Running it twice is safe: the children and the hand-over are one transaction under the fence,
//! and a name that is being fetched already is joined.

use jobs::kinds::bulk_profiles::{BulkProfiles, BulkProfilesStarted};
use jobs::kinds::profile_fetch::ProfileFetch;
use jobs::submit::{Options, new_job};

use crate::engine::{Done, JobContext, JobError};

pub(crate) async fn run(
    job: BulkProfiles,
    ctx: &JobContext<'_>,
) -> Result<Done<BulkProfilesStarted>, JobError> {
    let options = Options::under(ctx.job());
    let children = job
        .usernames
        .into_iter()
        .map(|name| {
            let fetch = ProfileFetch { force_refresh: job.force_refresh, ..ProfileFetch::of(name) };
            new_job(&fetch, &options)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let mut output = BulkProfilesStarted { jobs: vec![] };
    let commit = ctx.commit_with_children(&output, &children, false).await?;
    output.jobs = commit.children().iter().map(|child| child.id).collect();
    commit.set_output(&output).await?;
    commit.done().await
}
