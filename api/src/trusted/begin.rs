//! Storing work, once per key, and sending its tickets.

use entity::Tx;
use entity::job::Model;
use entity::job::enqueue::{self, Enqueued, NewJob};
use entity::job::retry::{self, Retried};
use entity::job::searches::lock;
use poem_openapi::types::ParseFromJSON;
use uuid::Uuid;

use super::idempotency::{Key, Known};
use super::identity::Caller;
use super::searches;
use super::state::AppState;
use crate::gate;
use crate::problem::Problem;
use crate::routes::submit::{Work, gone};

/// What came of a wish to start work.
pub(crate) enum Start<B> {
    /// A job, and whether it is a new one where that was asked for.
    Begun(Uuid, Option<bool>),
    /// The same wish was answered before, like this.
    Answered(u16, Box<B>),
    /// The same wish started this job before.
    Before(Uuid),
}

enum Begun {
    Stored(Enqueued),
    Again(Box<Model>),
}

/// Starts the work in one transaction with its key, and tells the workers.
pub(crate) async fn begin<B: ParseFromJSON>(
    state: &AppState,
    caller: &Caller,
    work: Work,
    key: Option<&Key>,
) -> Result<Start<B>, Problem> {
    let begun = match (work, key) {
        (Work::New(job), None) => Begun::Stored(store(state, caller, &job).await?),
        (work, key) => {
            let tx = state.farm().begin().await?;
            if let Some(key) = key {
                match key.take(&tx).await? {
                    Known::New => {}
                    Known::Answer(status, body) => return Ok(Start::Answered(status, body)),
                    Known::Job(id) => return Ok(Start::Before(id)),
                }
            }
            let begun = try_begin(&tx, work, searches::whose(state, caller)).await?;
            if let Some(key) = key {
                let id = match &begun {
                    Begun::Stored(enqueued) => enqueued.id,
                    Begun::Again(job) => job.id,
                };
                key.started(&tx, id).await?;
            }
            tx.commit().await?;
            begun
        }
    };
    Ok(match begun {
        Begun::Stored(enqueued) => {
            state.jobs.announce(std::slice::from_ref(&enqueued)).await;
            Start::Begun(enqueued.id, Some(enqueued.created))
        }
        Begun::Again(job) => {
            state.jobs.announce_again(&job).await;
            Start::Begun(job.id, None)
        }
    })
}

/// Stores a job on its own and sends its ticket.
pub(crate) async fn start(
    state: &AppState,
    caller: &Caller,
    job: &NewJob,
) -> Result<Enqueued, Problem> {
    let enqueued = store(state, caller, job).await?;
    state.jobs.announce(std::slice::from_ref(&enqueued)).await;
    Ok(enqueued)
}

async fn store(state: &AppState, caller: &Caller, job: &NewJob) -> Result<Enqueued, Problem> {
    match searches::whose(state, caller) {
        Some(user) if searches::is_search(job.kind) => {
            let tx = state.farm().begin().await?;
            let stored = searches::store(&tx, user, job).await?;
            tx.commit().await?;
            Ok(stored)
        }
        _ => Ok(state.jobs.store(job).await?),
    }
}

/// `limited` is whose searches are counted.
async fn try_begin(tx: &Tx, work: Work, limited: Option<Uuid>) -> Result<Begun, Problem> {
    let (id, watcher, by) = match work {
        Work::New(job) => {
            if let Some(user) = limited
                && searches::is_search(job.kind)
            {
                return searches::store(tx, user, &job).await.map(Begun::Stored);
            }
            let stored = enqueue::enqueue_many(tx, std::slice::from_ref(&job)).await?;
            return stored.into_iter().next().map(Begun::Stored).ok_or_else(Problem::internal);
        }
        Work::Again { id, watcher, by } => (id, watcher, by),
    };
    if let Some(user) = limited {
        lock(tx, user).await?;
    }
    match retry::retry(tx, id, watcher, &by).await? {
        Retried::Queued(job) => {
            if let Some(user) = limited
                && searches::is_search(&job.kind)
            {
                searches::check(tx, user).await?;
            }
            Ok(Begun::Again(job))
        }
        Retried::NotEnded(job) => {
            let detail =
                format!("only a failed or cancelled job can be retried; it is {}", job.state);
            Err(Problem::conflict("job_not_retryable", detail))
        }
        Retried::KeyTaken => {
            let detail = "another open job does the same work; follow that one";
            Err(Problem::conflict("job_superseded", detail))
        }
        Retried::Missing => Err(gone()),
        Retried::Unpaid(refusal) => Err(gate::refused(&refusal)),
    }
}
