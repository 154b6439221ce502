//! [`Jobs`]: what every other crate holds to start, stop and watch work.

use std::sync::Arc;

use entity::db::is_conflict;
use entity::job::Model;
use entity::job::cancel::{self, Cancel, Leaver};
use entity::job::enqueue::{self, Enqueued, NewJob};
use entity::job::retry::{self, Retried};
use entity::ledger::{Action, LedgerError, Refusal};
use entity::{Db, DbErr, Time, Tx};
use uuid::Uuid;

use crate::policy::Job;
use crate::ticket::{Lane, Signal, TicketQueue};
use crate::watch::Watch;

/// Why work could not be started or changed.
#[derive(Debug, thiserror::Error)]
pub enum JobsError {
    /// The database refused.
    #[error("job could not be stored: {0}")]
    Db(#[from] DbErr),
    /// Who asks cannot pay.
    #[error("job was not stored: {0}")]
    Unpaid(Refusal),
    /// A payload that cannot be written as JSON.
    #[error("payload of {kind} cannot be written: {source}")]
    Payload {
        /// The kind.
        kind: &'static str,
        /// Why.
        source: serde_json::Error,
    },
}

impl From<LedgerError> for JobsError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Db(error) => Self::Db(error),
            LedgerError::Refused(refusal) => Self::Unpaid(refusal),
        }
    }
}

/// What the user of a job pays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cost {
    /// What the policy says.
    #[default]
    Policy,
    /// This.
    Of(Action),
    /// Nothing: an operator's.
    Nothing,
}

/// Who asks, and how urgently.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The user it is for.
    pub user_id: Option<Uuid>,
    /// The team it counts for.
    pub team_id: Option<Uuid>,
    /// The job that starts it.
    pub parent_id: Option<Uuid>,
    /// Another lane than the policy's.
    pub priority: Option<entity::enums::Priority>,
    /// Another queue than the policy's (noop only).
    pub queue: Option<entity::enums::Queue>,
    /// Not before so many milliseconds.
    pub delay_ms: i64,
    /// Must start before then.
    pub deadline_at: Option<Time>,
    /// Request that starts it.
    pub request_id: Option<String>,
    /// W3C `traceparent` of that request.
    pub trace_parent: Option<String>,
    /// What the user pays.
    pub cost: Cost,
}

impl Options {
    /// Of work that a job starts and waits for: as urgent as the job itself.
    pub fn under(parent: &Model) -> Self {
        Self {
            parent_id: Some(parent.id),
            team_id: parent.team_id,
            priority: Some(parent.priority),
            request_id: parent.request_id.clone(),
            trace_parent: parent.trace_parent.clone(),
            // Children stay under their parent's user for fairness between users.
            user_id: parent.user_id,
            ..Self::default()
        }
    }
}

/// Describes a job for storage, by the rules of its kind.
pub fn new_job<J: Job>(job: &J, options: &Options) -> Result<NewJob, JobsError> {
    let policy = J::POLICY;
    let kind = J::KIND.as_str();
    let payload =
        serde_json::to_value(job).map_err(|source| JobsError::Payload { kind, source })?;
    Ok(NewJob {
        kind,
        queue: options.queue.unwrap_or(policy.queue).as_str(),
        priority: options.priority.unwrap_or(policy.priority),
        payload,
        payload_version: policy.payload_version,
        key: job.key(),
        max_attempts: policy.max_attempts,
        progress_total: job.steps(),
        delay_ms: options.delay_ms,
        deadline_at: options.deadline_at,
        user_id: options.user_id,
        team_id: options.team_id,
        parent_id: options.parent_id,
        request_id: options.request_id.clone(),
        trace_parent: options.trace_parent.clone(),
        credit_action: match options.cost {
            Cost::Policy => policy.price,
            Cost::Of(action) => Some(action),
            Cost::Nothing => None,
        },
    })
}

/// Stores a job in the caller's transaction; after the commit call [`Jobs::announce`].
pub async fn enqueue<J: Job>(tx: &Tx, job: &J, options: &Options) -> Result<Enqueued, JobsError> {
    let stored = enqueue::enqueue_many(tx, &[new_job(job, options)?]).await?;
    stored.into_iter().next().ok_or_else(|| DbErr::RecordNotInserted.into())
}

/// The handle on all work.
#[derive(Clone)]
pub struct Jobs {
    db: Db,
    tickets: Arc<dyn TicketQueue>,
    watch: Watch,
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").finish_non_exhaustive()
    }
}

impl Jobs {
    /// Starts watching; needs a running tokio runtime.
    pub fn new(db: Db, tickets: Arc<dyn TicketQueue>) -> Self {
        let watch = Watch::start(db.clone(), tickets.as_ref());
        Self { db, tickets, watch }
    }

    /// The database.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// The tickets.
    pub fn tickets(&self) -> &Arc<dyn TicketQueue> {
        &self.tickets
    }

    /// Waiting for jobs to change.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Stores a job on its own and sends its ticket.
    pub async fn submit<J: Job>(&self, job: &J, options: &Options) -> Result<Enqueued, JobsError> {
        let enqueued = self.store(&new_job(job, options)?).await?;
        self.announce(std::slice::from_ref(&enqueued)).await;
        Ok(enqueued)
    }

    /// Stores a job on its own; then call [`Jobs::announce`].
    pub async fn store(&self, job: &NewJob) -> Result<Enqueued, JobsError> {
        if let Some(enqueued) = enqueue::enqueue_alone(&self.db, job).await? {
            return Ok(enqueued);
        }
        let tx = self.db.begin().await?;
        let stored = enqueue::enqueue_many(&tx, std::slice::from_ref(job)).await?;
        tx.commit().await?;
        stored.into_iter().next().ok_or_else(|| DbErr::RecordNotInserted.into())
    }

    /// Stores many jobs in one transaction and sends their tickets.
    pub async fn submit_many(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, JobsError> {
        let tx = self.db.begin().await?;
        let enqueued = enqueue::enqueue_many(&tx, jobs).await?;
        tx.commit().await?;
        self.announce(&enqueued).await;
        Ok(enqueued)
    }

    /// Sends the tickets of committed jobs. What finds its lane full waits in the database.
    pub async fn announce(&self, enqueued: &[Enqueued]) {
        for job in enqueued.iter().filter(|job| job.created) {
            let labels = [("queue", job.queue.clone()), ("kind", job.kind.to_owned())];
            metrics::counter!("farm_jobs_enqueued_total", &labels).increment(1);
        }
        let due = enqueued.iter().filter(|e| e.due).map(|e| (e.id, e.queue.as_str(), e.priority));
        self.push(due).await;
        let joined: Vec<Uuid> = enqueued.iter().filter(|e| !e.created).map(|e| e.id).collect();
        self.changed(joined);
    }

    /// Sends tickets, lane by lane. Queues this version does not know are passed over.
    pub async fn push<'a>(
        &self,
        tickets: impl Iterator<Item = (Uuid, &'a str, entity::enums::Priority)>,
    ) {
        let mut lanes: Vec<(Lane, Vec<Uuid>)> = vec![];
        for (id, queue, priority) in tickets {
            let Ok(queue) = queue.parse() else { continue };
            let lane = Lane { queue, priority };
            match lanes.iter_mut().find(|(known, _)| *known == lane) {
                Some((_, ids)) => ids.push(id),
                None => lanes.push((lane, vec![id])),
            }
        }
        for (lane, ids) in lanes {
            self.tickets.push(lane, &ids).await;
        }
    }

    /// Tells those who wait that these jobs changed.
    pub fn changed(&self, ids: Vec<Uuid>) {
        if !ids.is_empty() {
            self.tickets.publish(Signal::Changed(ids));
        }
    }

    /// Cancels for one who asked, or for everybody; see [`cancel::cancel`].
    pub async fn cancel(&self, id: Uuid, leaver: Leaver) -> Result<Option<Cancel>, JobsError> {
        let mut done = self.try_cancel(id, leaver).await;
        for _ in 0..3 {
            // A child that is ending takes its locks the other way round.
            if !matches!(&done, Err(error) if is_conflict(error)) {
                break;
            }
            done = self.try_cancel(id, leaver).await;
        }
        let done = done?;
        if let Some(done) = &done {
            if !done.stop.is_empty() {
                self.tickets.publish(Signal::Stop(done.stop.clone()));
            }
            self.changed(done.changed.clone());
        }
        Ok(done)
    }

    async fn try_cancel(&self, id: Uuid, leaver: Leaver) -> Result<Option<Cancel>, DbErr> {
        let tx = self.db.begin().await?;
        let done = cancel::cancel(&tx, id, leaver).await?;
        tx.commit().await?;
        Ok(done)
    }

    /// Queues a failed or cancelled job again under its id; see [`retry::retry`].
    pub async fn retry(
        &self,
        id: Uuid,
        user: Option<Uuid>,
        by: &str,
    ) -> Result<Retried, JobsError> {
        let tx = self.db.begin().await?;
        let done = retry::retry(&tx, id, user, by).await?;
        if let Retried::Queued(job) = &done {
            tx.commit().await?;
            self.announce_again(job).await;
        }
        Ok(done)
    }

    /// Sends the ticket of a job that was queued again, after the commit.
    pub async fn announce_again(&self, job: &Model) {
        self.push(std::iter::once((job.id, job.queue.as_str(), job.priority))).await;
        self.changed(vec![job.id]);
    }
}
