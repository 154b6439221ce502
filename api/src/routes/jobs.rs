//! Jobs: the contract a front end polls.

use std::time::Duration;

use entity::enums::JobState;
use entity::job::cancel::Leaver;
use entity::job::query::{self, Filter, Seen};
use poem::Request;
use poem::http::StatusCode;
use poem::web::Data;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde_json::Value;
use tokio::time::Instant;
use uuid::Uuid;

use super::flat_job::{self, FlatJob};
use super::follow::{self, Follower};
use super::profile_body;
use super::submit::{self, JobAnswer, RETRY_AFTER_S, Work};
use crate::body::JsonBody;
use crate::idempotency;
use crate::identity::Caller;
use crate::problem::Problem;
use crate::query as rules;
use crate::routes::Tag;
use crate::state::AppState;
use crate::view::{self, JobView, State};

/// Jobs.
#[derive(Debug)]
pub struct JobRoutes;

#[derive(ApiResponse)]
enum JobRead {
    /// The job.
    #[oai(status = 200)]
    Job(
        Json<JobView>,
        /// Version of the job.
        #[oai(header = "ETag")]
        String,
        /// Never shared between users.
        #[oai(header = "Cache-Control")]
        String,
    ),
    /// Still the version of `If-None-Match`.
    #[oai(status = 304)]
    NotModified(
        /// Version of the job.
        #[oai(header = "ETag")]
        String,
    ),
}

#[derive(ApiResponse)]
enum ResultRead {
    /// What the call would have answered had it waited.
    #[oai(status = 200)]
    Done(Json<Value>),
    /// Not yet.
    #[oai(status = 202)]
    NotYet(
        Json<JobView>,
        /// Seconds.
        #[oai(header = "Retry-After")]
        String,
    ),
}

/// A page of jobs.
#[derive(Debug, Object)]
pub struct JobPage {
    /// Newest first.
    items: Vec<JobView>,
    /// `cursor` of the next page; null at the end.
    next: Option<String>,
}

/// Ids to look up.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub struct BatchGet {
    /// At most 100.
    #[oai(validator(max_items = 100))]
    ids: Vec<Uuid>,
}

/// What was found.
#[derive(Debug, Object)]
pub struct Batch {
    /// In the order of the ids.
    items: Vec<JobView>,
    /// Unknown, pruned, or somebody else's.
    missing: Vec<Uuid>,
}

pub(super) fn unknown(id: Uuid) -> Problem {
    Problem::not_found("job_not_found", format!("no job {id} among yours"))
        .with("field", "id")
        .with("id", id.to_string())
}

async fn find(state: &AppState, caller: &Caller, id: Uuid) -> Result<Seen, Problem> {
    let scope = state.scope(&caller.0);
    let found = follow::seen(&scope, caller.viewer(), &[id]).await?.pop();
    found.ok_or_else(|| unknown(id))
}

#[OpenApi(prefix_path = "/api/v1/jobs", tag = "Tag::Jobs")]
impl JobRoutes {
    /// A job
    ///
    /// `If-None-Match` answers 304 while the version is the same. With `Prefer: wait=N` (at most
    /// 25 s) the answer is held until the version changes; the base is the version of
    /// `If-None-Match`, else the one found on arrival. A finished job answers at once.
    #[oai(path = "/:id", method = "get", operation_id = "get_job")]
    async fn get(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        id: Path<Uuid>,
        /// `wait=N`: hold the answer for up to N seconds.
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
        /// The tag seen last.
        #[oai(name = "If-None-Match")]
        if_none_match: Header<Option<String>>,
    ) -> Result<JobRead, Problem> {
        let wait = rules::prefer_wait(prefer.0.as_deref())?.unwrap_or(0);
        let tags = if_none_match.0.as_deref();
        let seen = find(&state, &caller, id.0).await?;
        let mut view = view::job_view(&state, &seen).await?;
        // Held only while there is nothing new: for who names a tag that is no longer it, the
        // answer is here.
        let nothing_new = tags.is_none() || rules::none_match(tags, &view.etag());
        if wait > 0 && nothing_new && !view.done {
            let deadline = Instant::now() + Duration::from_secs(wait);
            let mut follower = Follower::new(&state, &caller, id.0);
            let base = view.etag();
            let mut waited = false;
            loop {
                let seen = follower.read().await?.ok_or_else(|| unknown(id.0))?;
                view = view::job_view(&state, &seen).await?;
                if waited || view.done || view.etag() != base {
                    break;
                }
                // What nobody is told of, like a new worker, shows after the wait.
                waited = !follower.changed_by(deadline).await;
            }
        }
        let etag = view.etag();
        if rules::none_match(tags, &etag) {
            return Ok(JobRead::NotModified(etag));
        }
        Ok(JobRead::Job(Json(view), etag, "private, no-cache".to_owned()))
    }

    /// A job, flat
    ///
    /// The words and fields the existing web client polls.
    #[oai(path = "/:id/status", method = "get", operation_id = "get_job_status")]
    async fn status(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        id: Path<Uuid>,
    ) -> Result<Json<FlatJob>, Problem> {
        let seen = find(&state, &caller, id.0).await?;
        Ok(Json(flat_job::flat(&state, &seen).await?))
    }

    /// What the job produced
    ///
    /// 202 while it runs; then the body the call would have given had it waited. A failed job
    /// answers with its problem, an expired result with 410.
    #[oai(path = "/:id/result", method = "get", operation_id = "get_job_result")]
    async fn result(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        id: Path<Uuid>,
    ) -> Result<ResultRead, Problem> {
        let seen = find(&state, &caller, id.0).await?;
        let job = &seen.job;
        if !job.state.is_done() {
            let view = view::job_view(&state, &seen).await?;
            return Ok(ResultRead::NotYet(Json(view), RETRY_AFTER_S.to_string()));
        }
        if job.state != JobState::Succeeded {
            return Err(profile_body::job_problem(job));
        }
        let now = state.exact_now().await?;
        let expired = job.result_expires_at.is_none_or(|at| at <= now);
        let Some(result) = job.result.clone().filter(|_| !expired) else {
            let detail = "the result has expired: it is kept for a day; start the work again";
            return Err(Problem::new(StatusCode::GONE, "result_expired", detail));
        };
        let body = profile_body::of_job(&state, &caller, job).await?;
        Ok(ResultRead::Done(Json(body.unwrap_or(result))))
    }

    /// Stop a job
    ///
    /// Takes the caller off it; it ends when nobody is left. A waiting job ends at once, a running
    /// one at its next safe point. An operator who did not ask for it stops it for everybody.
    #[oai(path = "/:id/cancel", method = "post", operation_id = "cancel_job")]
    async fn cancel(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        id: Path<Uuid>,
    ) -> Result<Json<JobView>, Problem> {
        let before = find(&state, &caller, id.0).await?;
        if matches!(before.job.state, JobState::Succeeded | JobState::Failed) {
            let detail = format!("the job has {} already", before.job.state);
            return Err(Problem::conflict("job_finished", detail));
        }
        // An operator who asked for the work, or joined it, leaves like a user, repeats included.
        let joined = !caller.0.user.role.is_admin()
            || before.job.user_id == Some(caller.id())
            || query::asked_for(state.scope(&caller.0).read(), id.0, caller.id()).await?;
        let leaver = if joined { Leaver::User(caller.id()) } else { Leaver::Operator };
        state.leave(id.0, leaver).await?;
        let after = find(&state, &caller, id.0).await?;
        Ok(Json(view::job_view(&state, &after).await?))
    }

    /// Queue a failed or cancelled job again
    ///
    /// Under the same id, with its attempts back. 409 while it is open, when it succeeded, or when
    /// another job does the same work.
    #[oai(path = "/:id/retry", method = "post", operation_id = "retry_job")]
    async fn retry(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        request: &Request,
        id: Path<Uuid>,
        /// A repeat with the same key gets the same answer, for 24 h.
        #[oai(name = "Idempotency-Key")]
        _idempotency_key: Header<Option<String>>, // documented here, read raw below
    ) -> Result<JobAnswer<JobView>, Problem> {
        let before = find(&state, &caller, id.0).await?;
        // An operator retries for the owner, not for themselves.
        let own = !caller.0.user.role.is_admin() || before.job.user_id == Some(caller.id());
        let watcher = own.then(|| caller.id());
        let id_text = id.0.to_string();
        let key = idempotency::key(request.headers(), caller.id(), &["POST", "retry", &id_text])?;
        let work = Work::Again { id: id.0, watcher, by: caller.0.user.email.clone() };
        submit::post(&state, &caller, work, key, 0).await
    }

    /// Your jobs
    ///
    /// Newest first; those you joined are among them. An operator sees all.
    #[oai(path = "/", method = "get", operation_id = "list_jobs")]
    #[allow(clippy::too_many_arguments)] // one per query parameter
    async fn list(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        /// Only this kind.
        kind: Query<Option<String>>,
        /// Only this state; the parameter is named `state`.
        #[oai(name = "state")]
        wanted: Query<Option<State>>,
        /// Only jobs created at or after this time (RFC 3339).
        since: Query<Option<String>>,
        /// `next` of the page before.
        cursor: Query<Option<String>>,
        /// 1 to 100.
        limit: Query<Option<i64>>,
    ) -> Result<Json<JobPage>, Problem> {
        let limit = rules::limit(limit.0, 20)?;
        let filter = Filter {
            kind: kind.0.as_deref().map(rules::kind).transpose()?,
            state: wanted.0.map(JobState::from),
            since: since.0.as_deref().map(|since| rules::time("since", since)).transpose()?,
            before: cursor.0.as_deref().map(parse_cursor).transpose()?,
        };
        let scope = state.scope(&caller.0);
        let mut ids = query::page(scope.read(), caller.viewer(), &filter, limit + 1).await?;
        let more = ids.len() as u64 > limit;
        ids.truncate(limit as usize);
        let next = ids.last().filter(|_| more).map(Uuid::to_string);
        Ok(Json(JobPage { items: views(&state, &caller, &ids).await?, next }))
    }

    /// Many jobs at once
    #[oai(path = "/batch-get", method = "post", operation_id = "batch_get_jobs")]
    async fn batch_get(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        body: JsonBody<BatchGet>,
    ) -> Result<Json<Batch>, Problem> {
        let mut ids = vec![];
        for id in &body.0.ids {
            if !ids.contains(id) {
                ids.push(*id);
            }
        }
        let items = views(&state, &caller, &ids).await?;
        let missing =
            ids.into_iter().filter(|id| !items.iter().any(|item| item.id == *id)).collect();
        Ok(Json(Batch { items, missing }))
    }
}

async fn views(state: &AppState, caller: &Caller, ids: &[Uuid]) -> Result<Vec<JobView>, Problem> {
    let mut items = vec![];
    let scope = state.scope(&caller.0);
    for seen in follow::seen(&scope, caller.viewer(), ids).await? {
        items.push(view::job_view(state, &seen).await?);
    }
    Ok(items)
}

pub(super) fn parse_cursor(text: &str) -> Result<Uuid, Problem> {
    text.parse().map_err(|_| Problem::field("cursor", "must be the next value of the page before"))
}
