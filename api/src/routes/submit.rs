//! Starting work over HTTP: idempotency, the transaction, the wait, and the answer all such POSTs
//! share.

use std::time::Duration;

use entity::job::enqueue::{Enqueued, NewJob};
use entity::job::query::Seen;
use jobs::policy::Job;
use jobs::submit::{Cost, Options, new_job};
use poem::Request;
use poem_openapi::ApiResponse;
use poem_openapi::payload::Json;
use poem_openapi::types::{ParseFromJSON, ToJSON};
use uuid::Uuid;

use super::follow::until_done;
use crate::front::RequestId;
use crate::idempotency::Key;
use crate::identity::Caller;
use crate::problem::Problem;
use crate::state::AppState;
use crate::trusted::begin::{self, Start};
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

/// Starts the work, once per key, waits as asked, answers.
pub(crate) async fn post<B: JobBody>(
    state: &AppState,
    caller: &Caller,
    work: Work,
    key: Option<Key>,
    wait_s: u64,
) -> Result<JobAnswer<B>, Problem> {
    let (id, created) = match begin::begin(state, caller, work, key.as_ref()).await? {
        Start::Begun(id, created) => (id, created),
        Start::Answered(status, body) => return Ok(answer(status, *body)),
        Start::Before(id) => {
            let (_, body) = read(state, caller, id, None, 0).await?;
            return Ok(answer(202, body));
        }
    };
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
    begin::start(state, caller, &new_job(job, options)?).await
}

async fn read<B: JobBody>(
    state: &AppState,
    caller: &Caller,
    id: Uuid,
    created: Option<bool>,
    wait_s: u64,
) -> Result<(u16, B), Problem> {
    let wait = Duration::from_secs(wait_s);
    let seen = until_done(state, caller, id, wait).await?.ok_or_else(gone)?;
    let mut view = view::job_view(state, &seen).await?;
    view.created = created;
    let status = if wait_s > 0 && view.done { 200 } else { 202 };
    Ok((status, B::build(state, &seen, view).await?))
}

pub(crate) fn gone() -> Problem {
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
