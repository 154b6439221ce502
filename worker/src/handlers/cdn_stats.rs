//! Notes how many pictures there are and how many jobs wait.
//!
//! Running it twice is safe: it writes what it sees over what it saw in the same hour.

use entity::cdn_asset::overview;
use entity::clock;
use entity::enums::Queue;
use entity::job::stats;
use jobs::kinds::cdn_stats::{CdnCounted, CdnStats};

use crate::engine::{Done, JobContext, JobError};

/// Hours are kept for so long, in milliseconds: 90 days.
const KEPT_MS: i64 = 90 * 24 * 3_600_000;

pub(crate) async fn run(_: CdnStats, ctx: &JobContext<'_>) -> Result<Done<CdnCounted>, JobError> {
    let db = ctx.db().read();
    let totals = overview::totals(db).await?;
    let waiting = stats::waiting_in(db, Queue::Media).await?;
    let output = CdnCounted {
        assets: totals.total,
        completed: totals.completed,
        failed: totals.failed,
        waiting,
    };
    let commit = ctx.commit(&output).await?;
    overview::note_hour(commit.tx(), clock::now(commit.tx()).await?, waiting, totals).await?;
    overview::prune(commit.tx(), KEPT_MS).await?;
    commit.done().await
}
