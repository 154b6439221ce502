//! Failed jobs, and queueing them again.

use entity::DbErr;
use entity::job::dead::{self, After, Group};
use jobs::JobsError;
use uuid::Uuid;

use super::idempotency::{Key, Known};
use super::state::AppState;
use crate::problem::Problem;
use crate::routes::dead::{DeadGroup, DeadPage, Redrive, RedriveReport, SAMPLES};

/// A page of failed jobs, what failed last first.
pub async fn page(
    state: &AppState,
    kind: Option<&str>,
    after: Option<&After>,
    limit: u64,
) -> Result<DeadPage, DbErr> {
    let db = state.farm().read();
    let mut groups = dead::groups(db, kind, after, limit + 1).await?;
    let more = groups.len() as u64 > limit;
    groups.truncate(limit as usize);
    let next = groups.last().filter(|_| more).map(cursor_of);
    let mut items = vec![];
    for group in groups {
        let samples = dead::samples(db, &group, SAMPLES).await?;
        items.push(DeadGroup {
            poison: group.error_code.as_deref() == Some("poison"),
            kind: group.kind,
            fingerprint: group.fingerprint,
            error_code: group.error_code,
            count: group.jobs,
            newest_at: group.newest.rfc3339(),
            oldest_at: group.oldest.rfc3339(),
            sample_message: samples.first().and_then(|sample| sample.error_message.clone()),
            sample_ids: samples.iter().map(|sample| sample.id).collect(),
        });
    }
    Ok(DeadPage { items, next })
}

async fn found(state: &AppState, redrive: &Redrive) -> Result<(Vec<Uuid>, RedriveReport), DbErr> {
    let (db, limit) = (state.farm().read(), redrive.limit);
    let mut found = dead::matching(db, &redrive.filter, limit + 1).await?;
    let more = found.len() as u64 > limit;
    found.truncate(limit as usize);
    let superseded = dead::superseded(db, &redrive.filter).await?;
    let mut report = RedriveReport {
        dry_run: true,
        matched: found.len() as u64 + superseded,
        more,
        queued: found.len() as u64,
        skipped_superseded: superseded,
        skipped_changed: 0,
        skipped_unpaid: 0,
        rate_per_second: redrive.rate_per_second,
        spread_ms: 0,
        sample_ids: found.iter().take(SAMPLES as usize).copied().collect(),
    };
    report.spread_ms = spread_ms(&report);
    Ok((found, report))
}

/// What a redrive would do.
pub async fn would(state: &AppState, redrive: &Redrive) -> Result<RedriveReport, DbErr> {
    Ok(found(state, redrive).await?.1)
}

/// Does it, in somebody's name.
pub async fn run(
    state: &AppState,
    redrive: &Redrive,
    by: &str,
) -> Result<RedriveReport, JobsError> {
    let (ids, mut report) = found(state, redrive).await?;
    let done = state.jobs.redrive(&ids, report.rate_per_second, by).await?;
    report.dry_run = false;
    report.queued = done.queued;
    report.skipped_superseded += done.superseded;
    report.skipped_changed = done.changed;
    report.skipped_unpaid = done.unpaid;
    report.spread_ms = spread_ms(&report);
    Ok(report)
}

fn spread_ms(report: &RedriveReport) -> i64 {
    dead::due_ms(report.queued.saturating_sub(1), report.rate_per_second)
}

/// Takes the key before the work: a redrive is many transactions.
pub(crate) async fn take(state: &AppState, key: &Key) -> Result<Known<RedriveReport>, Problem> {
    let tx = state.farm().begin().await?;
    let known = key.take(&tx).await?;
    tx.commit().await?;
    Ok(known)
}

fn cursor_of(group: &Group) -> String {
    format!("{}.{}.{}", group.newest.0, group.kind, group.fingerprint)
}
