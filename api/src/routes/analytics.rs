//! Asking for analytics: of one creator, or of many at once.

use std::collections::HashSet;

use entity::enums::Priority;
use entity::job::query::Seen;
use jobs::kinds::bulk_profiles::BulkProfiles;
use jobs::kinds::profile_fetch::ProfileFetch;
use jobs::{Handle, Kind};
use poem::Request;
use poem::web::Data;
use poem_openapi::param::{Header, Path};
use poem_openapi::{Object, OpenApi};
use serde_json::json;
use uuid::Uuid;

use super::flat_job;
use super::profiles::{handle, searched};
use super::submit::{self, JobAnswer, JobBody, Work, location, options};
use crate::body::JsonBody;
use crate::idempotency;
use crate::identity::Caller;
use crate::problem::Problem;
use crate::query as rules;
use crate::routes::Tag;
use crate::state::AppState;
use crate::view::{self, JobView, State};

/// Analytics.
#[derive(Debug)]
pub struct Analytics;

/// Names a customer may send at once.
const MAX_NAMES: usize = 15;
/// Names an operator may send at once.
const MAX_NAMES_OPERATOR: usize = 1_000;
/// Longest part of a name that cannot be read that is said back.
const ECHO: usize = 60;

/// The job, with what the existing web client reads.
#[derive(Debug, Object)]
pub struct AnalyticsJob {
    #[oai(flatten)]
    job: JobView,
    /// False when the job has failed or was cancelled.
    success: bool,
    /// Same as `id`.
    job_id: Uuid,
    /// queued, processing, completed, failed, retrying, cancelled.
    status: String,
    /// What it is doing, or why it waits.
    message: String,
    /// From how long such jobs took from the time they were due; null when nothing was measured,
    /// or when it takes longer than they did.
    estimated_completion_seconds: Option<i64>,
    /// Exact to 1,000, else null.
    queue_position: Option<i64>,
    /// Where the flat view of the job is read.
    polling_url: String,
}

/// A job over many names.
#[derive(Debug, Object)]
pub struct BulkJob {
    #[oai(flatten)]
    job: AnalyticsJob,
    /// The names it is about, each once; one job of `children` each.
    accepted: Vec<String>,
    /// The names it is not about.
    rejected: Vec<RejectedName>,
}

/// A name that cannot be one.
#[derive(Debug, Clone, PartialEq, Object)]
pub struct RejectedName {
    /// As it was sent; cut when it is long.
    username: String,
    /// Which rule it breaks.
    reason: String,
}

/// Whose profiles are wanted.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub struct BulkProfilesRequest {
    /// Handles; those said twice count once. At most 15, for operators 1,000.
    #[oai(validator(min_items = 1, max_items = 1000))]
    usernames: Vec<String>,
}

impl JobBody for AnalyticsJob {
    async fn build(state: &AppState, seen: &Seen, view: JobView) -> Result<Self, Problem> {
        let job = &seen.job;
        // How long many names take depends on how many: no mean says it.
        let means = if view.done || job.kind == Kind::BulkProfiles.as_str() {
            None
        } else {
            state.mean_durations(&job.kind).await?
        };
        let now = state.now().await?;
        let passed = now.millis_since(job.run_at);
        let left = means.map(|means| means.whole - passed).filter(|left| *left > 0);
        Ok(Self {
            success: !matches!(view.state, State::Failed | State::Cancelled),
            job_id: view.id,
            status: view::flat_status(view.state.into()).to_owned(),
            message: flat_job::message(&view),
            estimated_completion_seconds: if view.done {
                Some(0)
            } else {
                left.map(|left| (left + 999) / 1_000)
            },
            queue_position: state.queue_position(job).await?,
            polling_url: format!("{}/status", location(view.id)),
            job: view,
        })
    }

    fn view(&self) -> &JobView {
        &self.job
    }
}

impl JobBody for BulkJob {
    async fn build(state: &AppState, seen: &Seen, view: JobView) -> Result<Self, Problem> {
        let job = AnalyticsJob::build(state, seen, view).await?;
        // Which names were taken is in the request; the caller fills it in.
        Ok(Self { job, accepted: vec![], rejected: vec![] })
    }

    fn view(&self) -> &JobView {
        &self.job.job
    }
}

#[OpenApi(prefix_path = "/api/v1/analytics", tag = "Tag::Profiles")]
impl Analytics {
    /// Analyse a creator
    ///
    /// Starts a `profile_fetch` job, or joins the one that does the same; what is stored and fresh
    /// is not fetched again. `Prefer: wait=N` holds the answer until the job has ended.
    #[oai(path = "/profile/:username", method = "post", operation_id = "analyze_profile")]
    async fn profile(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        request: &Request,
        username: Path<String>,
        /// `wait=N`: hold the answer for up to N seconds.
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
        /// A repeat with the same key gets the same answer, for 24 h.
        #[oai(name = "Idempotency-Key")]
        _idempotency_key: Header<Option<String>>, // documented here, read raw below
    ) -> Result<JobAnswer<AnalyticsJob>, Problem> {
        one(&state, &caller, request, "analyze_profile", &username.0, prefer.0.as_deref()).await
    }

    /// Analyse a creator's posts
    ///
    /// As for the creator, whose fetch brings the newest posts along: they share one job.
    #[oai(path = "/posts/:username", method = "post", operation_id = "analyze_posts")]
    async fn posts(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        request: &Request,
        username: Path<String>,
        /// `wait=N`: hold the answer for up to N seconds.
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
        /// A repeat with the same key gets the same answer, for 24 h.
        #[oai(name = "Idempotency-Key")]
        _idempotency_key: Header<Option<String>>, // documented here, read raw below
    ) -> Result<JobAnswer<AnalyticsJob>, Problem> {
        one(&state, &caller, request, "analyze_posts", &username.0, prefer.0.as_deref()).await
    }

    /// Analyse many creators
    ///
    /// One `bulk_profiles` job with a child per name. Names that cannot be read are listed under
    /// `rejected`, and the others go on; when none is good the request is refused.
    #[oai(path = "/bulk/profiles", method = "post", operation_id = "analyze_profiles")]
    async fn bulk(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        request: &Request,
        /// `wait=N`: hold the answer for up to N seconds.
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
        /// A repeat with the same key gets the same answer, for 24 h.
        #[oai(name = "Idempotency-Key")]
        _idempotency_key: Header<Option<String>>, // documented here, read raw below
        body: JsonBody<BulkProfilesRequest>,
    ) -> Result<JobAnswer<BulkJob>, Problem> {
        let wait = rules::prefer_wait(prefer.0.as_deref())?.unwrap_or(0);
        let most = if caller.0.user.role.is_admin() { MAX_NAMES_OPERATOR } else { MAX_NAMES };
        let (good, rejected) = sorted(&body.0.usernames);
        if good.len() + rejected.len() > most {
            let rule = format!("must be at most {most} different names");
            return Err(Problem::body("usernames", rule).with("max", most));
        }
        if good.is_empty() {
            let first = rejected.first().map_or("missing", |name| name.reason.as_str());
            let rule = format!("none is a handle; the first {first}");
            let list: Vec<_> = rejected
                .iter()
                .map(|name| json!({ "username": name.username, "reason": name.reason }))
                .collect();
            return Err(Problem::body("usernames", rule).with("rejected", list));
        }
        let mut what = vec!["POST", "analyze_profiles"];
        what.extend(body.0.usernames.iter().map(String::as_str));
        let key = idempotency::key(request.headers(), caller.id(), &what)?;
        // Nobody looks at a spinner for a hundred names, and their owner is not alone.
        let priority = if good.len() > MAX_NAMES { Priority::Bulk } else { Priority::Normal };
        let options = jobs::Options { priority: Some(priority), ..options(&caller, request) };
        let accepted: Vec<String> = good.iter().map(Handle::to_string).collect();
        let job = BulkProfiles { usernames: good, force_refresh: false };
        let work = Work::new(&job, &options)?;
        let handles: Vec<&str> = accepted.iter().map(String::as_str).collect();
        searched(&state, &caller, &handles, "profile").await?;
        let answer = submit::post::<BulkJob>(&state, &caller, work, key, wait).await?;
        Ok(answer.map(|body| BulkJob { accepted, rejected, ..body }))
    }
}

async fn one(
    state: &AppState,
    caller: &Caller,
    request: &Request,
    what: &str,
    username: &str,
    prefer: Option<&str>,
) -> Result<JobAnswer<AnalyticsJob>, Problem> {
    let name = handle(username)?;
    let wait = rules::prefer_wait(prefer)?.unwrap_or(0);
    let key = ["POST", what, name.as_str()];
    let key = idempotency::key(request.headers(), caller.id(), &key)?;
    let analysis_type = if what == "analyze_posts" { "posts" } else { "profile" };
    searched(state, caller, &[name.as_str()], analysis_type).await?;
    let work = Work::new(&ProfileFetch::of(name), &options(caller, request))?;
    submit::post(state, caller, work, key, wait).await
}

/// Those that are handles and those that are not, each once.
fn sorted(names: &[String]) -> (Vec<Handle>, Vec<RejectedName>) {
    let (mut good, mut rejected): (Vec<Handle>, Vec<RejectedName>) = (vec![], vec![]);
    let mut seen = HashSet::new();
    for name in names {
        match name.parse::<Handle>() {
            Ok(handle) => {
                if seen.insert(handle.to_string()) {
                    good.push(handle);
                }
            }
            Err(rule) => {
                if seen.insert(name.clone()) {
                    let username = name.chars().take(ECHO).collect();
                    rejected.push(RejectedName { username, reason: rule.to_string() });
                }
            }
        }
    }
    (good, rejected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_once_and_bad_ones_named_with_their_rule() {
        let names = ["@One", "one", "no..dots", "two", "no..dots", ""].map(str::to_owned);
        let (good, rejected) = sorted(&names);
        assert_eq!(good.iter().map(Handle::as_str).collect::<Vec<_>>(), ["one", "two"]);
        let rejected: Vec<_> = rejected.iter().map(|name| name.username.as_str()).collect();
        assert_eq!(rejected, ["no..dots", ""]);
    }
}
