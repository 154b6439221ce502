//! Starting work over HTTP: idempotency, enqueue, the wait, and the answer all such POSTs share.

use std::time::Duration;

use entity::job::query::{self, Seen, Viewer};
use jobs::policy::Job;
use jobs::submit::{self, Options};
use poem::http::HeaderMap;
use poem_openapi::ApiResponse;
use poem_openapi::payload::Json;
use uuid::Uuid;

use crate::idempotency::{Key, Known};
use crate::identity::Caller;
use crate::problem::Problem;
use crate::state::AppState;
use crate::view::{self, JobView};

/// Seconds after which a client should look again.
pub(crate) const RETRY_AFTER_S: u64 = 2;

/// The answer of every POST that starts work.
#[derive(ApiResponse)]
pub(crate) enum JobAnswer {
    /// It ended within the wait.
    #[oai(status = 200)]
    Done(
        Json<JobView>,
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
        Json<JobView>,
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

/// Path of a job.
pub(crate) fn location(job: Uuid) -> String {
    format!("/api/v1/jobs/{job}")
}

/// Shapes the answer for a job.
pub(crate) fn answer(status: u16, view: JobView) -> JobAnswer {
    let (location, etag) = (location(view.id), view.etag());
    if status == 200 {
        JobAnswer::Done(Json(view), location, etag)
    } else {
        JobAnswer::Accepted(Json(view), location, RETRY_AFTER_S.to_string(), etag)
    }
}

/// A job in a state its caller is content with, or as it stands after the wait.
pub(crate) async fn wait_until(
    state: &AppState,
    viewer: Viewer,
    id: Uuid,
    wait: Duration,
    enough: impl Fn(&Seen) -> bool,
) -> Result<Option<Seen>, Problem> {
    let mut place = state.jobs.watch().subscribe(id);
    let deadline = tokio::time::Instant::now() + wait;
    loop {
        let seen = query::seen(state.db().read(), viewer, &[id]).await?.pop();
        let Some(seen) = seen else { return Ok(None) };
        if wait.is_zero() || enough(&seen) {
            return Ok(Some(seen));
        }
        let changed = place.past(seen.job.version);
        if tokio::time::timeout_at(deadline, changed).await.is_err() {
            return Ok(query::seen(state.db().read(), viewer, &[id]).await?.pop());
        }
    }
}

/// Stores the job (or joins one), waits as asked, answers.
pub(crate) async fn submit<J: Job>(
    state: &AppState,
    caller: &Caller,
    job: &J,
    options: Options,
    key: Option<Key>,
    wait_s: u64,
) -> Result<JobAnswer, Problem> {
    let tx = state.db().begin().await?;
    if let Some(key) = &key {
        match key.take(&tx).await? {
            Known::New => {}
            Known::Answer(status, view) => return Ok(answer(status, *view)),
            Known::Job(id) => {
                drop(tx);
                let seen = wait_until(state, caller.viewer(), id, Duration::ZERO, |_| true).await?;
                let seen = seen.ok_or_else(gone)?;
                let view = view::job_view(state, &seen).await?;
                return Ok(answer(202, view));
            }
        }
    }
    let enqueued = submit::enqueue(&tx, job, &options).await?;
    if let Some(key) = &key {
        key.started(&tx, enqueued.id).await?;
    }
    tx.commit().await.map_err(Problem::from)?;
    state.jobs.announce(std::slice::from_ref(&enqueued)).await;

    let wait = Duration::from_secs(wait_s);
    let done = |seen: &Seen| seen.job.state.is_done();
    let seen = wait_until(state, caller.viewer(), enqueued.id, wait, done).await?;
    let seen = seen.ok_or_else(gone)?;
    let mut view = view::job_view(state, &seen).await?;
    view.created = Some(enqueued.created);
    let status = if wait_s > 0 && view.done { 200 } else { 202 };
    if let Some(key) = &key {
        key.answered(state, status, &view).await?;
    }
    Ok(answer(status, view))
}

fn gone() -> Problem {
    Problem::not_found("job_not_found", "the job is gone: finished jobs are kept for a week")
}

/// Who asks, for the row.
pub(crate) fn options(caller: &Caller, request_id: &str, headers: &HeaderMap) -> Options {
    let trace_parent = headers
        .get("traceparent")
        .and_then(|value| value.to_str().ok())
        .filter(|value| value.len() <= 128)
        .map(str::to_owned);
    Options {
        user_id: Some(caller.id()),
        priority: Some(entity::enums::Priority::Interactive),
        request_id: Some(request_id.to_owned()),
        trace_parent,
        ..Options::default()
    }
}
