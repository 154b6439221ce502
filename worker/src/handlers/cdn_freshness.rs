//! Looks again at pictures that were not looked at for a week, and takes up those left waiting.
//!
//! Running it twice is safe: the ingests and the end are one transaction under the fence, and one
//! that is open already is joined.

use entity::cdn_asset;
use entity::cdn_asset::outcome::{self, Outcome};
use entity::enums::Priority;
use jobs::Options;
use jobs::kinds::cdn_freshness::{
    ATTEMPTS, BUDGET, CHECKED_MS, CdnFreshened, CdnFreshness, WAITING_MS,
};

use crate::engine::{Done, JobContext, JobError};
use crate::media::plan;

pub(crate) async fn run(
    _: CdnFreshness,
    ctx: &JobContext<'_>,
) -> Result<Done<CdnFreshened>, JobError> {
    let db = ctx.db().read();
    let unchecked = cdn_asset::unchecked(db, CHECKED_MS, BUDGET).await?;
    let waiting = cdn_asset::left_behind(db, WAITING_MS, BUDGET).await?;
    let (given_up, waiting): (Vec<_>, Vec<_>) =
        waiting.into_iter().partition(|asset| asset.processing_attempts >= ATTEMPTS);
    let options = Options { priority: Some(Priority::Bulk), ..Options::default() };
    let mut jobs = plan::ingests(&unchecked, true, &options)?;
    jobs.extend(plan::ingests(&waiting, false, &options)?);
    let mut output = CdnFreshened {
        unchecked: unchecked.len() as u32,
        waiting: waiting.len() as u32,
        given_up: given_up.len() as u32,
        started: 0,
    };
    let mut commit = ctx.commit(&output).await?;
    for asset in &given_up {
        let outcome = Outcome::Failed {
            code: "source_unavailable",
            message: format!("given up after {} attempts", asset.processing_attempts),
        };
        outcome::settle(commit.tx(), asset.id, &outcome).await?;
    }
    output.started = commit.start(&jobs).await?;
    commit.set_output(&output).await?;
    commit.done().await
}
