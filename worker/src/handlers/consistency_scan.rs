//! Starts the analyses that a scan over all profiles finds missing.
//!
//! Running it twice is safe: the analyses and the end are one transaction under the fence, and one
//! that is open already is joined.

use entity::enums::Priority;
use entity::post::analysis;
use entity::worker;
use jobs::Options;
use jobs::kinds::consistency_scan::{BUDGET, ConsistencyScan, ConsistencyScanned};
use jobs::kinds::profile_analysis::ProfileAnalysis;
use jobs::submit::new_job;

use crate::engine::{Done, JobContext, JobError};

pub(crate) async fn run(
    _: ConsistencyScan,
    ctx: &JobContext<'_>,
) -> Result<Done<ConsistencyScanned>, JobError> {
    let mut output = ConsistencyScanned { profiles: 0, started: 0 };
    let db = ctx.db().read();
    // By whom it would be done now; where nobody analyses, nothing is missing.
    let best = worker::best_tier(&worker::live(db).await?);
    let Some(best) = best else { return ctx.commit(&output).await?.done().await };
    let behind = analysis::profiles_behind(db, best, BUDGET).await?;
    output.profiles = behind.len() as u32;
    let options = Options { priority: Some(Priority::Bulk), ..Options::default() };
    let analyses = behind
        .into_iter()
        .map(|profile| new_job(&ProfileAnalysis::missing(profile), &options))
        .collect::<Result<Vec<_>, _>>()?;
    let mut commit = ctx.commit(&output).await?;
    output.started = commit.start(&analyses).await?;
    commit.set_output(&output).await?;
    tracing::info!(profiles = output.profiles, started = output.started, "scanned");
    commit.done().await
}
