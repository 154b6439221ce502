//! Redrive: an operator queues many failed jobs again, spread over time.

use entity::DbErr;
use entity::db::is_conflict;
use entity::job::dead::{self, Redriven};
use uuid::Uuid;

use crate::submit::{Jobs, JobsError};

/// Jobs per transaction.
const BATCH: usize = 100;

/// What a redrive came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RedriveDone {
    /// Queued again.
    pub queued: u64,
    /// Left as they are: an open job holds their key.
    pub superseded: u64,
    /// Left as they are: they are no longer failed, or gone.
    pub changed: u64,
    /// Left as they are: those who wait for them cannot pay.
    pub unpaid: u64,
}

impl Jobs {
    /// Queues failed jobs again, `per_second` of them due in each second, in bounded batches: what
    /// an interrupted redrive has done is whole, and the rest is as it was.
    pub async fn redrive(
        &self,
        ids: &[Uuid],
        per_second: u32,
        by: &str,
    ) -> Result<RedriveDone, JobsError> {
        let mut done = RedriveDone::default();
        for batch in ids.chunks(BATCH) {
            let mut part = self.redrive_batch(batch, by, done.queued, per_second).await;
            for _ in 0..3 {
                // Somebody who enqueues the same keys takes their locks in another order.
                if !matches!(&part, Err(error) if is_conflict(error)) {
                    break;
                }
                part = self.redrive_batch(batch, by, done.queued, per_second).await;
            }
            let part = part?;
            // What is not due yet gets its ticket from upkeep when it is.
            if done.queued == 0
                && let Some(job) = part.queued.first()
            {
                self.push(std::iter::once((job.id, job.queue.as_str(), job.priority))).await;
            }
            self.changed(part.queued.iter().map(|job| job.id).collect());
            done.queued += part.queued.len() as u64;
            done.superseded += part.superseded;
            done.changed += part.changed;
            done.unpaid += part.unpaid;
        }
        Ok(done)
    }

    async fn redrive_batch(
        &self,
        ids: &[Uuid],
        by: &str,
        before: u64,
        per_second: u32,
    ) -> Result<Redriven, DbErr> {
        let tx = self.db().begin().await?;
        let done = dead::redrive(&tx, ids, by, before, per_second).await?;
        tx.commit().await?;
        Ok(done)
    }
}
