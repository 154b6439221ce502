//! The loops, and the single passes they are made of (tests call those directly).

use std::time::Duration;

use entity::DbErr;
use entity::db::answered;
use entity::enums::{Priority, Queue};
use entity::job::{cancel, due, integrity, rescue};
use entity::ledger::settle;
use jobs::ticket::LANE_CAPACITY;
use jobs::{Jobs, Lane, Signal};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

/// Rows per statement of a sweep; what is left waits for the next one.
const BATCH: u64 = 500;

/// How often each loop runs.
#[derive(Clone, Copy, Debug)]
pub struct UpkeepConfig {
    /// Tickets, rescue, deadlines.
    pub sweep_every: Duration,
    /// The reconciler.
    pub reconcile_every: Duration,
}

impl Default for UpkeepConfig {
    fn default() -> Self {
        Self { sweep_every: Duration::from_secs(1), reconcile_every: Duration::from_secs(60) }
    }
}

/// The farm's housekeeping.
#[derive(Clone, Debug)]
pub struct Upkeep {
    jobs: Jobs,
    config: UpkeepConfig,
}

impl Upkeep {
    /// Housekeeping over these jobs.
    pub fn new(jobs: Jobs, config: UpkeepConfig) -> Self {
        Self { jobs, config }
    }

    /// Runs every loop until `stop` fires. A failing pass is logged and tried again at its next
    /// turn; nothing it would have done is lost.
    pub async fn run_until(self, stop: CancellationToken) {
        let UpkeepConfig { sweep_every, reconcile_every } = self.config;
        let loops = async {
            tokio::join!(
                every(sweep_every, "sweep", || self.sweep()),
                every(reconcile_every, "reconcile", || async { self.reconcile().await.map(drop) }),
                self.refill_low_lanes(),
            )
        };
        tokio::select! {
            // What is broken off is a transaction that rolls back.
            () = stop.cancelled() => {}
            _ = loops => {}
        }
    }

    /// Rescue, deadlines, tickets: once. Each takes place whatever became of the others.
    pub async fn sweep(&self) -> Result<(), DbErr> {
        let rescued = self.rescue().await.map(drop);
        let failed = self.fail_overdue().await;
        let refilled = self.refill().await;
        rescued.and(failed).and(refilled)
    }

    /// Brings back the runs of lost workers; returns how many.
    pub async fn rescue(&self) -> Result<usize, DbErr> {
        let mut count = 0;
        loop {
            let tx = self.jobs.db().begin().await?;
            let rescued = rescue::rescue(&tx, BATCH).await?;
            tx.commit().await?;
            let found = rescued.requeued.len() + rescued.ended.len();
            if found == 0 {
                return Ok(count);
            }
            count += found;
            tracing::warn!(
                requeued = rescued.requeued.len(),
                ended = rescued.ended.len(),
                "runs of lost workers rescued"
            );
            let tickets =
                rescued.requeued.iter().map(|job| (job.id, job.queue.as_str(), job.priority));
            self.jobs.push(tickets).await;
            self.jobs.changed(rescued.changed);
        }
    }

    /// Fails what waited past its deadline.
    pub async fn fail_overdue(&self) -> Result<(), DbErr> {
        let tx = self.jobs.db().begin().await?;
        let changed = cancel::fail_overdue(&tx, BATCH).await?;
        tx.commit().await?;
        self.jobs.changed(changed);
        Ok(())
    }

    /// Sends tickets for due rows to every lane that is not more than half full.
    pub async fn refill(&self) -> Result<(), DbErr> {
        self.refill_of(Queue::ALL).await
    }

    /// Refills whenever a lane says that it is half empty: between two sweeps a fast queue would
    /// stand still.
    async fn refill_low_lanes(&self) {
        let mut signals = self.jobs.tickets().signals();
        loop {
            let refilled = match signals.recv().await {
                Ok(Signal::Low(queue)) => self.refill_of(&[queue]).await,
                // Whatever was missed, the next sweep sees.
                Ok(Signal::Changed(_) | Signal::Stop(_)) | Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return,
            };
            if let Err(error) = refilled {
                tracing::warn!(%error, "a low lane was not refilled; the next sweep comes soon");
            }
        }
    }

    async fn refill_of(&self, queues: &[Queue]) -> Result<(), DbErr> {
        let mut hungry = vec![];
        for queue in queues {
            for priority in Priority::ALL {
                let lane = Lane { queue: *queue, priority };
                if self.jobs.tickets().len(lane).await <= LANE_CAPACITY / 2 {
                    hungry.push((queue.as_str(), priority));
                }
            }
        }
        let due = due::due(self.jobs.db().read(), &hungry, LANE_CAPACITY).await?;
        let tickets = due.iter().map(|due| (due.id, due.queue.as_str(), due.priority));
        self.jobs.push(tickets).await;
        Ok(())
    }

    /// Looks for contradictions, mends what can be mended, reports what was found.
    pub async fn reconcile(&self) -> Result<integrity::Findings, DbErr> {
        let findings = integrity::inspect(self.jobs.db().read()).await?;
        if findings.kinds_without_worker > 0 {
            tracing::warn!(
                jobs = findings.kinds_without_worker,
                "jobs wait for a kind that no live worker knows"
            );
        }
        if !findings.is_clean() {
            tracing::error!(?findings, "the reconciler found contradictions");
            let tx = self.jobs.db().begin().await?;
            let repaired = integrity::repair_parents(&tx).await?;
            tx.commit().await?;
            self.jobs.changed(repaired);
            let tx = self.jobs.db().begin().await?;
            settle::mend(&tx, BATCH).await?;
            tx.commit().await?;
            self.rescue().await?;
            self.fail_overdue().await?;
        }
        Ok(findings)
    }
}

/// Runs a pass at once and then again and again, each loop on its own: a long pass must not hold
/// up the others.
pub(crate) async fn every<F>(period: Duration, pass: &'static str, mut run: impl FnMut() -> F)
where
    F: Future<Output = Result<(), DbErr>>,
{
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if let Err(error) = answered(run()).await {
            tracing::warn!(%error, pass, "upkeep failed; it comes again");
        }
    }
}
