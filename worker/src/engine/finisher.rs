//! Ends of effect-free runs, as many per statement as have come in; it never waits for more.

use std::collections::HashSet;

use entity::DbErr;
use entity::db::answered;
use entity::job::Fence;
use entity::job::end;
use entity::job::retention::RESULT_TTL_MS;
use jobs::Jobs;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

/// Runs per statement at most.
const BATCH: usize = 256;

struct Finish {
    fence: Fence,
    output: Value,
    /// True when the end was written, false when the fence was lost.
    answer: oneshot::Sender<Result<bool, DbErr>>,
}

/// The batch writer of one worker.
#[derive(Clone, Debug)]
pub(crate) struct Finisher {
    queue: mpsc::Sender<Finish>,
}

impl Finisher {
    pub(crate) fn start(jobs: Jobs) -> Self {
        let (queue, mut incoming) = mpsc::channel(4 * BATCH);
        tokio::spawn(async move {
            let mut batch = Vec::with_capacity(BATCH);
            while incoming.recv_many(&mut batch, BATCH).await > 0 {
                write(&jobs, std::mem::take(&mut batch)).await;
            }
        });
        Self { queue }
    }

    /// Writes the end of a run; false when the run lost its fence.
    pub(crate) async fn finish(&self, fence: Fence, output: Value) -> Result<bool, DbErr> {
        let (answer, answered) = oneshot::channel();
        let gone = || DbErr::Custom("the batch writer is gone".to_owned());
        self.queue.send(Finish { fence, output, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

async fn write(jobs: &Jobs, mut batch: Vec<Finish>) {
    batch.sort_unstable_by_key(|finish| finish.fence.id);
    let runs: Vec<_> = batch.iter().map(|f| (f.fence, f.output.clone())).collect();
    match write_rows(jobs, &runs).await {
        Ok(ended) => {
            for finish in batch {
                let written = ended.contains(&finish.fence.id);
                let _ = finish.answer.send(Ok(written));
            }
        }
        // One bad row must not cost the others their end.
        Err(error) if batch.len() > 1 => {
            tracing::warn!(%error, rows = batch.len(), "a batch of ends failed; one by one now");
            for finish in batch {
                let one = write_rows(jobs, &[(finish.fence, finish.output)]).await;
                let _ = finish.answer.send(one.map(|ended| ended.contains(&finish.fence.id)));
            }
        }
        Err(error) => {
            for finish in batch {
                let _ = finish.answer.send(Err(error.clone()));
            }
        }
    }
}

async fn write_rows(jobs: &Jobs, runs: &[(Fence, Value)]) -> Result<HashSet<Uuid>, DbErr> {
    answered(try_write_rows(jobs, runs)).await
}

async fn try_write_rows(jobs: &Jobs, runs: &[(Fence, Value)]) -> Result<HashSet<Uuid>, DbErr> {
    let tx = jobs.db().begin().await?;
    let (ended, parents) = end::finish_many(&tx, runs, RESULT_TTL_MS).await?;
    tx.commit().await?;
    jobs.changed(ended.iter().chain(&parents).copied().collect());
    Ok(ended.into_iter().collect())
}
