//! Fetches a profile from the provider and stores it with its posts.
//!
//! Running it twice is safe: everything it stores is an upsert, and profile, posts, grants and
//! the job's end are one transaction under the fence, and so are the analysis and the ingest of
//! pictures that follow, which are joined when they are open already. A second run that finds the
//! first one's profile fresh asks nobody.

use entity::job::progress;
use entity::job::query::kind_has_worker;
use entity::job_event::{self, EventKind};
use entity::post::{self, analysis};
use entity::{Time, access, clock, job_watcher, profile, related_profile};
use jobs::kinds::profile_analysis::ProfileAnalysis;
use jobs::kinds::profile_fetch::{FetchSource, FetchedAs, ProfileFetch, ProfileFetched};
use jobs::submit::new_job;
use jobs::{Kind, Options};
use serde_json::Value;

use crate::engine::{Checkpoint, Done, JobContext, JobError};
use crate::handlers::profile_rows;
use crate::media::plan;
use crate::provider::{
    CALLS_PER_JOB, CallBudget, CallOutcome, CallRecord, FetchOutcome, FetchReport, FetchedProfile,
};

pub(crate) async fn run(
    job: ProfileFetch,
    ctx: &JobContext<'_>,
) -> Result<Done<ProfileFetched>, JobError> {
    if !job.force_refresh
        && let Some(stored) = fresh_profile(&job, ctx).await?
    {
        return keep(stored, &job, ctx).await;
    }
    ctx.stage("provider");
    let report = fetch(&job, ctx).await?;
    let found = match report.outcome {
        FetchOutcome::Found(found) => found,
        outcome => return Err(failure(outcome, &report.calls, ctx).await),
    };
    ctx.stage("store");
    store(*found, &job, &report.calls, ctx).await
}

async fn fresh_profile(
    job: &ProfileFetch,
    ctx: &JobContext<'_>,
) -> Result<Option<profile::Model>, JobError> {
    let db = ctx.db().read();
    let Some(stored) = profile::by_username(db, job.username.as_str()).await? else {
        return Ok(None);
    };
    let now = clock::now(db).await?;
    let limit = ctx.deps().fresh_for.as_millis() as i64;
    let young = |at: Time| now.millis_since(at) < limit;
    let posts = !job.include_posts || stored.posts_refreshed_at.is_some_and(young);
    Ok((young(stored.last_refreshed) && posts && !stored.partial).then_some(stored))
}

/// What is stored is young enough: only the grants are new.
async fn keep(
    stored: profile::Model,
    job: &ProfileFetch,
    ctx: &JobContext<'_>,
) -> Result<Done<ProfileFetched>, JobError> {
    let output = ProfileFetched {
        profile_id: stored.id,
        username: stored.username.clone(),
        source: FetchSource::Fresh,
        posts_stored: 0,
        outcome: found_as(stored.is_private),
    };
    let checkpoint = ctx.checkpoint().await?;
    let users = job_watcher::users(checkpoint.tx(), ctx.job().id).await?;
    access::grant(checkpoint.tx(), &users, stored.id).await?;
    end(checkpoint, &output, &stored, job, ctx).await
}

/// Ends the job, after the analysis of posts that are without one, and after its pictures are on
/// the CDN.
async fn end(
    checkpoint: Checkpoint<'_>,
    output: &ProfileFetched,
    stored: &profile::Model,
    job: &ProfileFetch,
    ctx: &JobContext<'_>,
) -> Result<Done<ProfileFetched>, JobError> {
    let mut children = vec![];
    let deps = ctx.deps();
    // By then the profile is to be fetched again, and this job would be in the way.
    let fresh_ms = deps.fresh_for.as_millis() as i64;
    let deadline = Time(clock::now(checkpoint.tx()).await?.0 + fresh_ms);
    let options = Options { deadline_at: Some(deadline), ..Options::under(ctx.job()) };
    let mut later = vec![];
    if deps.thumbnails {
        let due = plan::due(checkpoint.tx(), stored).await?;
        if kind_has_worker(checkpoint.tx(), Kind::ImageIngest.as_str()).await? {
            children = plan::ingests(&due, false, &options)?;
        } else {
            // Nobody waits for what nobody works on: it is done when somebody does.
            let options = Options { parent_id: None, ..options.clone() };
            later = plan::ingests(&due, false, &options)?;
        }
    }
    if deps.analyze && job.include_posts {
        let missing = analysis::missing(checkpoint.tx(), stored.id).await?;
        if missing > 0 {
            let mut child = new_job(&ProfileAnalysis::missing(stored.id), &options)?;
            child.progress_total = Some(missing as i32);
            children.push(child);
        }
    }
    let mut commit = checkpoint.commit_followed_by(output, &children).await?;
    commit.start(&later).await?;
    commit.done().await
}

fn found_as(is_private: Option<bool>) -> FetchedAs {
    if is_private == Some(true) { FetchedAs::Private } else { FetchedAs::Ok }
}

/// Asks the provider within what is left of the job's budget. One call is counted before the
/// first is made, so that a worker that dies in between has not called for free.
async fn fetch(job: &ProfileFetch, ctx: &JobContext<'_>) -> Result<FetchReport, JobError> {
    let used = ctx.job().calls_made.max(0) as u32;
    if used >= CALLS_PER_JOB {
        let message = format!("{used} provider calls were made without a usable answer");
        return Err(JobError::fatal("provider_unavailable", message));
    }
    let before: Vec<CallRecord> =
        serde_json::from_value(ctx.job().calls.clone()).unwrap_or_default();
    let empties = before.iter().rev().take_while(|c| c.outcome == CallOutcome::Empty).count();
    count_calls(ctx, 1, &[]).await?;
    let budget = CallBudget::for_job(used, empties as u32);
    let provider = &ctx.deps().provider;
    let report = provider.fetch_profile(job.username.as_str(), budget, ctx.cancel()).await;
    let records: Vec<Value> =
        report.calls.iter().map(serde_json::to_value).collect::<Result<_, _>>()?;
    count_calls(ctx, report.calls.len() as i32 - 1, &records).await?;
    Ok(report)
}

async fn count_calls(ctx: &JobContext<'_>, made: i32, records: &[Value]) -> Result<(), JobError> {
    let checkpoint = ctx.checkpoint().await?;
    if !progress::record_calls(checkpoint.tx(), ctx.fence(), made, records).await? {
        return Err(JobError::FenceLost);
    }
    checkpoint.done().await
}

/// The provider's final classes as ends of the attempt.
async fn failure(outcome: FetchOutcome, calls: &[CallRecord], ctx: &JobContext<'_>) -> JobError {
    match outcome {
        FetchOutcome::NotFound => {
            JobError::fatal("not_found", "no Instagram profile has this handle")
        }
        FetchOutcome::Unavailable { reason, retry_after } => {
            let used = ctx.job().calls_made.max(0) as u32 + calls.len() as u32;
            if used >= CALLS_PER_JOB {
                let message = format!("{reason}; the budget of {CALLS_PER_JOB} calls is used up");
                return JobError::fatal("provider_unavailable", message);
            }
            match retry_after {
                Some(after) => {
                    JobError::RetryAfter { code: "provider_unavailable", message: reason, after }
                }
                None => JobError::retry("provider_unavailable", reason),
            }
        }
        FetchOutcome::AuthBroken => {
            tracing::error!(
                "the provider refuses our credentials: check DECODO_USERNAME and _PASSWORD"
            );
            JobError::fatal("auth_broken", "the provider refuses the farm's credentials")
        }
        FetchOutcome::BadShape { reason, raw } => {
            let kept =
                job_event::add(ctx.db().write(), ctx.job().id, EventKind::BadShape, &raw).await;
            if let Err(error) = kept {
                tracing::warn!(%error, "an unreadable answer was not kept");
            }
            JobError::fatal("bad_shape", reason)
        }
        FetchOutcome::Cancelled => JobError::Cancelled,
        FetchOutcome::Found(_) => JobError::fatal("internal", "a found profile is no failure"),
    }
}

async fn store(
    found: FetchedProfile,
    job: &ProfileFetch,
    calls: &[CallRecord],
    ctx: &JobContext<'_>,
) -> Result<Done<ProfileFetched>, JobError> {
    let posts = if job.include_posts { profile_rows::posts(&found) } else { vec![] };
    let row = profile_rows::profile(&found, job.include_posts);
    let related = profile_rows::related(&found);
    let mut output = ProfileFetched {
        profile_id: uuid::Uuid::nil(),
        username: row.username.clone(),
        source: FetchSource::Fetched,
        posts_stored: posts.len() as u32,
        outcome: found_as(found.is_private),
    };
    let checkpoint = ctx.checkpoint().await?;
    let tx = checkpoint.tx();
    let stored = profile::upsert(tx, &row).await?;
    post::upsert(tx, stored.id, &posts, found.partial).await?;
    let figures = post::figures(tx, stored.id).await?;
    profile::set_scores(tx, stored.id, &profile_rows::scores(&stored, &figures)).await?;
    if !found.related.is_empty() || !found.partial {
        related_profile::replace(tx, stored.id, &related).await?;
    }
    let users = job_watcher::users(tx, ctx.job().id).await?;
    access::grant(tx, &users, stored.id).await?;
    output.profile_id = stored.id;
    tracing::debug!(calls = calls.len(), posts = posts.len(), "profile stored");
    end(checkpoint, &output, &stored, job, ctx).await
}
