//! The analysis of captions: how far it is, whether it can be relied on, and who does it.

use std::collections::BTreeMap;

use entity::Time;
use entity::aggregate::VERIFIED_SHARE;
use entity::job::query::{Children, Seen};
use entity::job::{JobState, Model as Job};
use entity::ledger::read::Cost;
use entity::post::analysis as posts;
use jobs::Kind;
use jobs::kinds::profile_analysis::ProfileAnalysis;
use poem::Request;
use poem::web::Data;
use poem_openapi::param::{Header, Path};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use serde_json::Value;
use uuid::Uuid;

use super::ai_verification::{AiDifference, AiVerification, Counts, compare, counts};
use super::ai_worker::AiWorker;
use super::follow;
use super::metrics::{self, AiActivity};
use super::profile_body::{Sight, refresh_link};
use super::profiles::{handle, not_fetched};
use super::queues;
use super::submit::{self, JobAnswer, Work, location, options};
use crate::idempotency;
use crate::identity::Caller;
use crate::problem::Problem;
use crate::query as rules;
use crate::routes::Tag;
use crate::state::AppState;
use crate::view::{self, JobView, ProgressView, State};

/// The analysis of captions.
#[derive(Debug)]
pub struct Ai;

/// How far the analysis of a creator's posts is.
#[derive(Debug, Object)]
struct AiCoverage {
    username: String,
    profile_id: Uuid,
    /// `empty` without posts, `processing` while a job is open, `completed` when enough posts are
    /// analysed, `incomplete` when some are, `pending` when none is.
    status: String,
    posts_total: i64,
    posts_analyzed: i64,
    posts_missing: i64,
    /// Share of the stored posts with an analysis, 0–1; null without posts.
    completeness: Option<f64>,
    /// At least 80 % of the posts are analysed.
    complete: bool,
    /// Analysed posts by who answered: rules, lite, full.
    tiers: BTreeMap<String, i64>,
    /// When the profile's aggregate was made; RFC 3339.
    last_analyzed: Option<String>,
    /// The job that is at it.
    job: Option<OpenAnalysis>,
    /// POST there to analyse what is missing.
    fix: String,
}

/// A job that analyses a creator's posts now.
#[derive(Debug, Object)]
struct OpenAnalysis {
    /// Null when it is not the caller's.
    id: Option<Uuid>,
    state: State,
    progress: ProgressView,
    /// Where it can be followed; null as well then.
    link: Option<String>,
}

/// Who analyses captions, and with what.
#[derive(Debug, Object)]
struct AiHealth {
    /// `ok`; `degraded` when the best at hand is less than what is wanted; `loading` while nothing
    /// answers yet; `down` when no worker is there.
    status: String,
    /// The best tier that answers: rules, lite, full.
    serving: Option<String>,
    /// Workers whose lease is live.
    workers: Vec<AiWorker>,
}

#[OpenApi(prefix_path = "/api/v1/ai", tag = "Tag::Ai")]
impl Ai {
    /// How far a creator's analysis is
    ///
    /// Counted from the stored posts; starts nothing.
    #[oai(path = "/status/profile/:username", method = "get", operation_id = "get_ai_status")]
    async fn status(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        username: Path<String>,
    ) -> Result<Json<AiCoverage>, Problem> {
        let sight = stored(&state, &caller, &username.0).await?;
        let (scope, profile) = (state.common(), &sight.profile);
        let db = scope.read();
        let job = open_job(&state, profile.id).await?;
        let tiers = posts::tiers(db, profile.id).await?;
        let counts = counts(&state, profile.id).await?;
        let status = match (&job, counts) {
            (Some(_), _) => "processing",
            (None, Counts { total: 0, .. }) => "empty",
            (None, counts) if counts.is_complete() => "completed",
            (None, Counts { analyzed: 0, .. }) => "pending",
            (None, _) => "incomplete",
        };
        let job = match job {
            Some(job) => Some(open_analysis(&state, &caller, job).await?),
            None => None,
        };
        Ok(Json(AiCoverage {
            username: profile.username.clone(),
            profile_id: profile.id,
            status: status.to_owned(),
            posts_total: counts.total,
            posts_analyzed: counts.analyzed,
            posts_missing: counts.total - counts.analyzed,
            completeness: counts.share(),
            complete: counts.is_complete(),
            tiers: tiers.into_iter().map(|tier| (tier.tier, tier.posts)).collect(),
            last_analyzed: profile.ai_profile_analyzed_at.map(Time::rfc3339),
            job,
            fix: format!("/api/v1/ai/fix/profile/{}", profile.username),
        }))
    }

    /// Whether a creator's analysis can be relied on
    ///
    /// At least 90 % of the stored posts are analysed, and the stored aggregate is the one that
    /// follows from them; derived anew for every call. What differs is named.
    #[oai(path = "/verify/:username", method = "get", operation_id = "verify_ai")]
    async fn verify(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        username: Path<String>,
    ) -> Result<Json<AiVerification>, Problem> {
        let sight = stored(&state, &caller, &username.0).await?;
        let shown = sight.full();
        let (profile, counts, differences) = compare(&state, &sight.profile).await?;
        let in_progress = open_job(&state, profile.id).await?.is_some();
        let enough_posts = counts.share().is_some_and(|share| share >= VERIFIED_SHARE);
        let aggregate_matches = differences.is_empty();
        let mut problems = vec![];
        if !enough_posts {
            problems.push(match counts.total {
                0 => "no post is stored".to_owned(),
                total => format!("{} of {total} posts are analysed", counts.analyzed),
            });
        }
        if !aggregate_matches {
            let fields: Vec<&str> = differences.iter().map(|d| d.field).collect();
            problems.push(format!("the posts say otherwise about {}", fields.join(", ")));
        }
        let value = |value: Value| Some(value).filter(|value| shown && !value.is_null());
        Ok(Json(AiVerification {
            username: profile.username.clone(),
            profile_id: profile.id,
            verified: enough_posts && aggregate_matches,
            posts_total: counts.total,
            posts_analyzed: counts.analyzed,
            completeness: counts.share(),
            required: VERIFIED_SHARE,
            enough_posts,
            aggregate_matches,
            differences: differences
                .into_iter()
                .map(|difference| AiDifference {
                    field: difference.field.to_owned(),
                    stored: value(difference.stored),
                    expected: value(difference.expected),
                })
                .collect(),
            in_progress,
            problems,
        }))
    }

    /// How the analysis is doing
    ///
    /// What waits, what runs, and what was done within the last hour.
    #[oai(path = "/analysis/status", method = "get", operation_id = "get_ai_activity")]
    async fn activity(
        &self,
        state: Data<&AppState>,
        _caller: Caller,
    ) -> Result<Json<AiActivity>, Problem> {
        let queue = queues::head(&state, Kind::ProfileAnalysis.policy().queue).await?;
        let live = state.live_workers().await?;
        Ok(Json(metrics::analysis(&state, queue, &live).await?))
    }

    /// Who analyses captions, and with what
    ///
    /// As the workers say with every renewal of their leases.
    #[oai(path = "/system/health", method = "get", operation_id = "get_ai_health")]
    async fn health(
        &self,
        state: Data<&AppState>,
        caller: Caller,
    ) -> Result<Json<AiHealth>, Problem> {
        let live = state.live_workers().await?;
        let operator = caller.0.user.role.is_admin();
        let views = live.into_iter().filter_map(|worker| AiWorker::of(worker, operator));
        let workers: Vec<AiWorker> = views.collect();
        let working = || workers.iter().filter(|worker| !worker.draining);
        let says = |word: &str| working().any(|worker| worker.status == word);
        let status = match () {
            () if says("serving") => "ok",
            () if says("degraded") => "degraded",
            () if says("loading") => "loading",
            () => "down",
        };
        let tiers = working().filter_map(|worker| worker.serving.as_deref()?.parse().ok());
        let serving: Option<entity::enums::AiTier> = tiers.max();
        let serving = serving.map(|tier| tier.as_str().to_owned());
        Ok(Json(AiHealth { status: status.to_owned(), serving, workers }))
    }

    /// Analyse what is missing
    ///
    /// Starts a `profile_analysis` job, or joins the one that does the same: posts without an
    /// analysis, or with one by a lower tier than what answers now; then the aggregate.
    #[oai(path = "/fix/profile/:username", method = "post", operation_id = "fix_ai")]
    async fn fix(
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
    ) -> Result<JobAnswer<JobView>, Problem> {
        let wait = rules::prefer_wait(prefer.0.as_deref())?.unwrap_or(0);
        let sight = stored(&state, &caller, &username.0).await?;
        if !sight.full() {
            return Err(no_access(&sight.profile.username));
        }
        let what = ["POST", "fix_ai", sight.profile.username.as_str()];
        let key = idempotency::key(request.headers(), caller.id(), &what)?;
        let job = ProfileAnalysis::missing(sight.profile.id);
        let work = Work::new(&job, &options(&caller, request))?;
        submit::post(&state, &caller, work, key, wait).await
    }
}

async fn stored(state: &AppState, caller: &Caller, username: &str) -> Result<Sight, Problem> {
    let name = handle(username)?;
    let sight = Sight::of(state, caller, name.as_str()).await?;
    sight.ok_or_else(|| not_fetched(&name))
}

/// Posts, and what may be done with them, are for those with access to their creator.
pub(super) fn no_access(username: &str) -> Problem {
    let detail = format!("this needs access to {username}; fetch the profile to get it");
    Problem::new(poem::http::StatusCode::FORBIDDEN, "no_access", detail)
        .with("refresh", refresh_link(username))
}

/// The job that is at a profile's posts: one that runs before one that waits.
async fn open_job(state: &AppState, profile: Uuid) -> Result<Option<Job>, Problem> {
    let (kind, keys) = (Kind::ProfileAnalysis.as_str(), ProfileAnalysis::keys(profile));
    let open = state.open_of(kind, &keys).await?;
    Ok(open.into_iter().min_by_key(|job| job.state != JobState::Running))
}

async fn open_analysis(
    state: &AppState,
    caller: &Caller,
    job: Job,
) -> Result<OpenAnalysis, Problem> {
    let mine = follow::seen(&state.scope(&caller.0), caller.viewer(), &[job.id]).await?;
    let (id, job_state) = ((!mine.is_empty()).then_some(job.id), job.state.into());
    let link = id.map(location);
    let progress =
        view::progress(&Seen { job, children: Children::default(), cost: Cost::default() });
    Ok(OpenAnalysis { id, state: job_state, progress, link })
}
