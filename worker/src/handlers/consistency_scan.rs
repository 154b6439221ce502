//! Starts the analyses that a scan over all profiles finds missing, and adds up the ledger.
//!
//! Running it twice is safe: the analyses and the end are one transaction under the fence, and one
//! that is open already is joined. Of the ledger it only reads.

use entity::enums::Priority;
use entity::ledger::audit;
use entity::post::analysis;
use entity::{Db, DbErr, worker};
use jobs::Options;
use jobs::kinds::consistency_scan::{BUDGET, ConsistencyScan, ConsistencyScanned};
use jobs::kinds::profile_analysis::ProfileAnalysis;
use jobs::submit::new_job;

use crate::engine::{Done, JobContext, JobError};

pub(crate) async fn run(
    _: ConsistencyScan,
    ctx: &JobContext<'_>,
) -> Result<Done<ConsistencyScanned>, JobError> {
    let ledger_drift_credits = ledger_drift(ctx.db()).await?;
    let mut output = ConsistencyScanned { profiles: 0, started: 0, ledger_drift_credits };
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

/// By how many credits wallets are off; says so where whoever runs the farm looks.
async fn ledger_drift(db: &Db) -> Result<i64, DbErr> {
    let audit = audit::audit(db.read()).await?;
    if !audit.is_clean() {
        tracing::error!(
            wallets = audit.drifts.len(),
            credits = audit.drift_credits,
            stray_holds = audit.stray_holds,
            unbooked_holds = audit.unbooked_holds,
            unearned_holds = audit.unearned_holds,
            "the ledger does not add up; `farm credits audit` says where"
        );
    }
    Ok(audit.drift_credits)
}
