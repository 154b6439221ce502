//! Starting work over HTTP: idempotency, the transaction, the wait, and the answer all such POSTs
//! share.

use std::time::Duration;

use entity::Tx;
use entity::job::Model;
use entity::job::enqueue::{self, Enqueued, NewJob};
use entity::job::query::Seen;
use entity::job::retry::{self, Retried};
use entity::job::searches::lock;
use jobs::policy::Job;
use jobs::submit::{Cost, Options, new_job};
use poem::Request;
use poem_openapi::ApiResponse;
use poem_openapi::payload::Json;
use poem_openapi::types::{ParseFromJSON, ToJSON};
use uuid::Uuid;

use super::follow::until_done;
use super::searches;
use crate::front::RequestId;
use crate::gate;
use crate::idempotency::{Key, Known};
use crate::identity::Caller;
use crate::problem::Problem;
use crate::state::AppState;
use crate::view::{self, JobView};

/// Seconds after which a client should look again.
pub(crate) const RETRY_AFTER_S: u64 = 2;

/// The answer of every POST that starts work.
#[derive(ApiResponse)]
pub(crate) enum JobAnswer<B: ToJSON> {
    /// It ended within the wait.
    #[oai(status = 200)]
    Done(
        Json<B>,
        /// Where the job can be followed.
        #[oai(header = "Location")]
        String,
        /// Version of the job.
        #[oai(header = "ETag")]
        String,
    ),
    /// It goes on; follow `Location`.
    #[oai(status = 202)]
    Accepted(
        Json<B>,
        /// Where the job can be followed.
        #[oai(header = "Location")]
        String,
        /// Seconds.
        #[oai(header = "Retry-After")]
        String,
        /// Version of the job.
        #[oai(header = "ETag")]
        String,
    ),
}

impl<B: ToJSON> JobAnswer<B> {
    /// The same answer with another body.
    pub(crate) fn map(self, change: impl FnOnce(B) -> B) -> Self {
        match self {
            Self::Done(Json(body), location, etag) => {
                Self::Done(Json(change(body)), location, etag)
            }
            Self::Accepted(Json(body), location, after, etag) => {
                Self::Accepted(Json(change(body)), location, after, etag)
            }
        }
    }
}

/// What such a POST says about its job.
pub(crate) trait JobBody: ToJSON + ParseFromJSON {
    /// Builds it.
    fn build(
        state: &AppState,
        seen: &Seen,
        view: JobView,
    ) -> impl Future<Output = Result<Self, Problem>> + Send;

    /// The job in it.
    fn view(&self) -> &JobView;
}

impl JobBody for JobView {
    async fn build(_: &AppState, _: &Seen, view: JobView) -> Result<Self, Problem> {
        Ok(view)
    }

    fn view(&self) -> &JobView {
        self
    }
}

/// The work a POST starts.
pub(crate) enum Work {
    /// A job to store, or to join.
    New(Box<NewJob>),
    /// A finished job to queue again.
    Again {
        /// The job.
        id: Uuid,
        /// Who watches it from now on; its owner when nobody is named.
        watcher: Option<Uuid>,
        /// Who asks.
        by: String,
    },
}

impl Work {
    /// A job to store, or to join.
    pub(crate) fn new<J: Job>(job: &J, options: &Options) -> Result<Self, Problem> {
        Ok(Self::New(Box::new(new_job(job, options)?)))
    }
}

/// Path of a job.
pub(crate) fn location(job: Uuid) -> String {
    format!("/api/v1/jobs/{job}")
}

fn answer<B: JobBody>(status: u16, body: B) -> JobAnswer<B> {
    let (location, etag) = (location(body.view().id), body.view().etag());
    if status == 200 {
        JobAnswer::Done(Json(body), location, etag)
    } else {
        JobAnswer::Accepted(Json(body), location, RETRY_AFTER_S.to_string(), etag)
    }
}

enum Begun {
    Stored(Enqueued),
    Again(Box<Model>),
}

impl Begun {
    /// The job, and whether it is a new one where that was asked for.
    fn job(&self) -> (Uuid, Option<bool>) {
        match self {
            Self::Stored(enqueued) => (enqueued.id, Some(enqueued.created)),
            Self::Again(job) => (job.id, None),
        }
    }
}

/// Starts the work, once per key, waits as asked, answers.
pub(crate) async fn post<B: JobBody>(
    state: &AppState,
    caller: &Caller,
    work: Work,
    key: Option<Key>,
    wait_s: u64,
) -> Result<JobAnswer<B>, Problem> {
    let begun = match (work, &key) {
        (Work::New(job), None) => Begun::Stored(store(state, caller, &job).await?),
        (work, key) => {
            let tx = state.db().begin().await?;
            if let Some(key) = key {
                match key.take(&tx).await? {
                    Known::New => {}
                    Known::Answer(status, body) => return Ok(answer(status, *body)),
                    Known::Job(id) => {
                        drop(tx);
                        let (_, body) = read(state, caller, id, None, 0).await?;
                        return Ok(answer(202, body));
                    }
                }
            }
            let begun = begin(&tx, work, searches::whose(state, caller)).await?;
            if let Some(key) = key {
                key.started(&tx, begun.job().0).await?;
            }
            tx.commit().await?;
            begun
        }
    };
    let (id, created) = begun.job();
    match &begun {
        Begun::Stored(enqueued) => state.jobs.announce(std::slice::from_ref(enqueued)).await,
        Begun::Again(job) => state.jobs.announce_again(job).await,
    }
    let (status, body) = read(state, caller, id, created, wait_s).await?;
    if let Some(key) = &key {
        key.answered(state, status, &body).await?;
    }
    Ok(answer(status, body))
}

/// Stores a job on its own and sends its ticket.
pub(crate) async fn start<J: Job>(
    state: &AppState,
    caller: &Caller,
    job: &J,
    options: &Options,
) -> Result<Enqueued, Problem> {
    let enqueued = store(state, caller, &new_job(job, options)?).await?;
    state.jobs.announce(std::slice::from_ref(&enqueued)).await;
    Ok(enqueued)
}

async fn store(state: &AppState, caller: &Caller, job: &NewJob) -> Result<Enqueued, Problem> {
    match searches::whose(state, caller) {
        Some(user) if searches::is_search(job.kind) => {
            let tx = state.db().begin().await?;
            let stored = searches::store(&tx, user, job).await?;
            tx.commit().await?;
            Ok(stored)
        }
        _ => Ok(state.jobs.store(job).await?),
    }
}

/// `limited` is whose searches are counted.
async fn begin(tx: &Tx, work: Work, limited: Option<Uuid>) -> Result<Begun, Problem> {
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

async fn read<B: JobBody>(
    state: &AppState,
    caller: &Caller,
    id: Uuid,
    created: Option<bool>,
    wait_s: u64,
) -> Result<(u16, B), Problem> {
    let wait = Duration::from_secs(wait_s);
    let seen = until_done(state, caller.viewer(), id, wait).await?.ok_or_else(gone)?;
    let mut view = view::job_view(state, &seen).await?;
    view.created = created;
    let status = if wait_s > 0 && view.done { 200 } else { 202 };
    Ok((status, B::build(state, &seen, view).await?))
}

fn gone() -> Problem {
    Problem::not_found("job_not_found", "the job is gone: finished jobs are kept for a week")
}

/// Who asks, for the row.
pub(crate) fn options(caller: &Caller, request: &Request) -> Options {
    let trace_parent = request
        .headers()
        .get("traceparent")
        .and_then(|value| value.to_str().ok())
        .filter(|value| value.len() <= 128)
        .map(str::to_owned);
    Options {
        user_id: Some(caller.id()),
        priority: Some(entity::enums::Priority::Interactive),
        request_id: request.data::<RequestId>().map(|id| id.0.clone()),
        trace_parent,
        // Operators pay nothing.
        cost: if caller.0.user.role.is_admin() { Cost::Nothing } else { Cost::Policy },
        ..Options::default()
    }
}
