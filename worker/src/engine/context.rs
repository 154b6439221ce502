//! What a handler holds: its job, its database under the fence, its progress, its stop sign.

use std::marker::PhantomData;
use std::sync::Arc;

use entity::job::end::{self};
use entity::job::enqueue::{self, Enqueued, NewJob};
use entity::job::progress::{self, Progress};
use entity::job::query;
use entity::job::retention::RESULT_TTL_MS;
use entity::job::{Fence, Model};
use entity::{Db, Tx};
use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::error::JobError;
use super::life::RunHandle;
use super::{Deps, Shared};

/// The context of one run.
pub struct JobContext<'a> {
    shared: &'a Shared,
    job: &'a Model,
    handle: &'a Arc<RunHandle>,
}

impl std::fmt::Debug for JobContext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobContext").field("job", &self.job.id).finish_non_exhaustive()
    }
}

/// Proof that the run's end is written, or will be with its batch.
#[derive(Debug)]
pub struct Done<T> {
    pub(crate) ended: Ended,
    output: PhantomData<T>,
}

/// How a run that succeeded reaches its row.
#[derive(Debug)]
pub(crate) enum Ended {
    /// Committed with its effects.
    Committed,
    /// To be written in a batch.
    Output(Value),
}

impl<'a> JobContext<'a> {
    pub(crate) fn new(shared: &'a Shared, job: &'a Model, handle: &'a Arc<RunHandle>) -> Self {
        Self { shared, job, handle }
    }

    /// The row as it was claimed.
    pub fn job(&self) -> &Model {
        self.job
    }

    /// The fence of this run.
    pub fn fence(&self) -> Fence {
        self.handle.fence
    }

    /// Fires when the run should stop.
    pub fn cancel(&self) -> &CancellationToken {
        &self.handle.cancel
    }

    /// What handlers work with.
    pub fn deps(&self) -> &Deps {
        &self.shared.deps
    }

    /// The database, for reading.
    pub fn db(&self) -> &Db {
        self.shared.jobs.db()
    }

    /// Enters a declared stage: everything before it is done. Written at most once a second.
    pub fn stage(&self, stage: &'static str) {
        let stages = jobs::Kind::parse(&self.job.kind).map_or(&[][..], |k| k.policy().stages);
        if let Some(done) = stages.iter().position(|declared| *declared == stage) {
            let progress = Progress { stage, done: done as i32 };
            self.shared.progress.note(self.fence(), progress);
        } else {
            tracing::error!(kind = %self.job.kind, stage, "a stage the policy does not declare");
        }
    }

    /// Notes that the work is at a declared stage, with so many steps done of those it counted.
    /// Written at most once a second.
    pub fn note(&self, stage: &'static str, done: i32) {
        self.shared.progress.note(self.fence(), Progress { stage, done });
    }

    /// How many steps there are, seen as the work begins: for kinds that count their own. It stays
    /// as it was once some are done, so that what is shown never falls.
    ///
    /// # Errors
    /// [`JobError::FenceLost`] when the work is somebody else's by now.
    pub async fn count(&self, stage: &str, steps: u32) -> Result<(), JobError> {
        let counted = progress::count(self.db().write(), self.fence(), stage, steps as i32).await?;
        self.shared.jobs.changed(vec![counted.ok_or(JobError::FenceLost)?]);
        Ok(())
    }

    /// Ends a job that has no effects; many such ends share a statement.
    ///
    /// # Errors
    /// When the output cannot be written as JSON.
    pub fn done<T: Serialize>(&self, output: &T) -> Result<Done<T>, JobError> {
        Ok(Done { ended: Ended::Output(serde_json::to_value(output)?), output: PhantomData })
    }

    /// Opens the transaction that ends the job: the fenced end first, then the caller's effects
    /// on [`Commit::tx`], then [`Commit::done`]. Dropped before that, nothing happened.
    ///
    /// # Errors
    /// [`JobError::FenceLost`] when the work is somebody else's by now.
    pub async fn commit<T: Serialize>(&self, output: &T) -> Result<Commit<'_, T>, JobError> {
        let output = serde_json::to_value(output)?;
        let tx = self.db().begin().await?;
        let ended = end::succeed(&tx, self.fence(), output, RESULT_TTL_MS).await?;
        ended.ok_or(JobError::FenceLost)?;
        Ok(Commit::new(self.shared, tx, self.fence()))
    }

    /// Like [`Self::commit`], ending with children: they are stored (or joined) here, and the
    /// job ends with the last of them. Without any child it is [`Self::commit`].
    pub async fn commit_with_children<T: Serialize>(
        &self,
        output: &T,
        children: &[NewJob],
        must_succeed: bool,
    ) -> Result<Commit<'_, T>, JobError> {
        if children.is_empty() {
            return self.commit(output).await;
        }
        let commit = Commit::new(self.shared, self.db().begin().await?, self.fence());
        commit.hand_over(output, children, must_succeed).await
    }

    /// Opens a transaction for partial work under the fence; [`Checkpoint::done`] commits it.
    pub async fn checkpoint(&self) -> Result<Checkpoint<'_>, JobError> {
        self.checkpoint_in(self.db().begin().await?).await
    }

    /// [`Self::checkpoint`] in a transaction that has begun: for locks that others take before
    /// that of a job.
    pub async fn checkpoint_in(&self, tx: Tx) -> Result<Checkpoint<'_>, JobError> {
        if !progress::hold(&tx, self.fence()).await? {
            return Err(JobError::FenceLost);
        }
        Ok(Checkpoint { shared: self.shared, tx, fence: self.fence() })
    }
}

/// The open transaction of a run's end.
#[must_use = "nothing is written before `done`"]
pub struct Commit<'a, T> {
    shared: &'a Shared,
    tx: Tx,
    fence: Fence,
    children: Vec<Enqueued>,
    /// What it starts and does not wait for.
    started: Vec<Enqueued>,
    output: PhantomData<T>,
}

impl<T> std::fmt::Debug for Commit<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Commit").field("fence", &self.fence).finish_non_exhaustive()
    }
}

impl<'a, T> Commit<'a, T> {
    fn new(shared: &'a Shared, tx: Tx, fence: Fence) -> Self {
        Self { shared, tx, fence, children: vec![], started: vec![], output: PhantomData }
    }

    /// Frees the slot and waits for the children, which are stored or joined.
    async fn hand_over(
        mut self,
        output: &T,
        children: &[NewJob],
        must_succeed: bool,
    ) -> Result<Self, JobError>
    where
        T: Serialize,
    {
        let output = serde_json::to_value(output)?;
        let held = end::hand_to_children(&self.tx, self.fence, output, must_succeed).await?;
        if held.ok_or(JobError::FenceLost)?.cancel_requested_at.is_some() {
            // Nobody would stop the children any more; dropping the transaction takes it back.
            return Err(JobError::Cancelled);
        }
        self.children = enqueue::enqueue_many(&self.tx, children).await?;
        let mut distinct: Vec<_> = self.children.iter().map(|child| child.id).collect();
        distinct.sort_unstable();
        distinct.dedup();
        end::set_children_open(&self.tx, self.fence.id, distinct.len() as i32).await?;
        Ok(self)
    }

    /// For the effects that stand or fall with the end.
    pub fn tx(&self) -> &Tx {
        &self.tx
    }

    /// The children as stored or joined, in the order they were given.
    pub fn children(&self) -> &[Enqueued] {
        &self.children
    }

    /// Stores work that follows and is nobody's child, in the same transaction. Returns how many
    /// jobs are new; the others were open already.
    pub async fn start(&mut self, jobs: &[NewJob]) -> Result<u32, JobError> {
        let started = enqueue::enqueue_many(&self.tx, jobs).await?;
        let new = started.iter().filter(|job| job.created).count() as u32;
        self.started.extend(started);
        Ok(new)
    }

    /// Replaces the stored output, for outputs that are known only after the effects.
    pub async fn set_output(&self, output: &T) -> Result<(), JobError>
    where
        T: Serialize,
    {
        let output = serde_json::to_value(output)?;
        end::set_result(&self.tx, self.fence.id, output).await?;
        Ok(())
    }

    /// Counts the end at the parents, commits, and tells everybody.
    pub async fn done(self) -> Result<Done<T>, JobError> {
        let id = self.fence.id;
        let mut changed = vec![id];
        if self.children.is_empty() {
            changed.extend(end::children_ended(&self.tx, &[id]).await?);
        }
        self.tx.commit().await?;
        self.shared.jobs.announce(&self.children).await;
        self.shared.jobs.announce(&self.started).await;
        self.shared.jobs.changed(changed);
        Ok(Done { ended: Ended::Committed, output: PhantomData })
    }
}

/// The open transaction of partial work.
#[must_use = "nothing is written before `done`"]
pub struct Checkpoint<'a> {
    shared: &'a Shared,
    tx: Tx,
    fence: Fence,
}

impl std::fmt::Debug for Checkpoint<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checkpoint").field("fence", &self.fence).finish_non_exhaustive()
    }
}

impl<'a> Checkpoint<'a> {
    /// For the effects of the checkpoint.
    pub fn tx(&self) -> &Tx {
        &self.tx
    }

    /// Notes how many steps are left after it.
    pub async fn left(&self, stage: &str, steps: u32) -> Result<(), JobError> {
        Ok(progress::left(&self.tx, self.fence, stage, steps as i32).await?)
    }

    /// Makes the checkpoint the end of the job, in the same transaction.
    pub async fn commit<T: Serialize>(self, output: &T) -> Result<Commit<'a, T>, JobError> {
        let output = serde_json::to_value(output)?;
        let ended = end::succeed(&self.tx, self.fence, output, RESULT_TTL_MS).await?;
        ended.ok_or(JobError::FenceLost)?;
        Ok(Commit::new(self.shared, self.tx, self.fence))
    }

    /// [`Self::commit`] with work that follows and whose end the job waits for, however it ends. A
    /// job that was asked to stop ends without.
    pub async fn commit_followed_by<T: Serialize>(
        self,
        output: &T,
        children: &[NewJob],
    ) -> Result<Commit<'a, T>, JobError> {
        // The row is held, so nobody asks in between.
        let row = query::by_id(&self.tx, self.fence.id).await?.ok_or(JobError::FenceLost)?;
        if children.is_empty() || row.cancel_requested_at.is_some() {
            return self.commit(output).await;
        }
        let commit = Commit::new(self.shared, self.tx, self.fence);
        commit.hand_over(output, children, false).await
    }

    /// Commits.
    pub async fn done(self) -> Result<(), JobError> {
        self.tx.commit().await?;
        self.shared.jobs.changed(vec![self.fence.id]);
        Ok(())
    }
}
