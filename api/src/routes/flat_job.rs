//! A job in the words and fields that the existing web client polls.

use entity::enums::JobState;
use entity::job::query::Seen;
use poem_openapi::Object;
use serde_json::Value;
use uuid::Uuid;

use crate::problem::Problem;
use crate::state::AppState;
use crate::view::{self, JobView, State};

/// A job in the words of the existing client.
#[derive(Debug, Object)]
pub struct FlatJob {
    /// Same as `id` of the job view.
    job_id: Uuid,
    /// Same as `kind`.
    job_type: String,
    /// queued, processing, completed, failed, retrying, cancelled.
    status: String,
    /// Counted, never falls; null when it cannot be counted.
    progress_percent: Option<i64>,
    /// What it is doing, or why it waits.
    progress_message: String,
    created_at: String,
    started_at: Option<String>,
    completed_at: Option<String>,
    /// Exact to 1,000, else null.
    queue_position: Option<i64>,
    elapsed_seconds: Option<f64>,
    /// From measured durations, or null.
    estimated_remaining_seconds: Option<f64>,
    /// Seconds until its next attempt may start; null when it is not held back.
    estimated_start_seconds: Option<f64>,
    retry_count: i32,
    result: Option<Value>,
    error_details: Option<FlatError>,
    params: FlatParams,
}

/// Why it failed, in the words of the existing client.
#[derive(Debug, Object)]
struct FlatError {
    /// Begins with `Job failed: `.
    error: String,
    username: Option<String>,
}

/// What it was asked to do.
#[derive(Debug, Object)]
struct FlatParams {
    username: Option<String>,
}

/// Builds it.
pub(crate) async fn flat(state: &AppState, seen: &Seen) -> Result<FlatJob, Problem> {
    let view = view::job_view(state, seen).await?;
    let job = &seen.job;
    let now = state.now().await?;
    let username = view::handle(job);
    let end = job.finished_at.unwrap_or(now);
    let held_back = matches!(job.state, JobState::Queued | JobState::Retrying)
        .then(|| job.run_at.millis_since(now))
        .filter(|ms| *ms > 0);
    Ok(FlatJob {
        job_id: job.id,
        job_type: job.kind.clone(),
        status: view::flat_status(job.state).to_owned(),
        progress_percent: view.progress.percent,
        progress_message: message(&view),
        created_at: view.created_at,
        started_at: view.started_at,
        completed_at: view.finished_at,
        queue_position: state.queue_position(job).await?,
        elapsed_seconds: job.started_at.map(|from| seconds(end.millis_since(from))),
        estimated_remaining_seconds: view.estimated_remaining_ms.map(seconds),
        estimated_start_seconds: held_back.map(seconds),
        retry_count: (job.attempt - 1).max(0),
        result: view.result,
        error_details: view.error.filter(|_| job.state == JobState::Failed).map(|error| {
            FlatError {
                error: format!("Job failed: {}", error.message),
                username: username.clone(),
            }
        }),
        params: FlatParams { username },
    })
}

/// What a job is doing, or why it waits.
pub(crate) fn message(view: &JobView) -> String {
    let doing = || match view.state {
        State::Running => view.progress.stage.clone().unwrap_or_else(|| "running".to_owned()),
        state => view::flat_status(state.into()).to_owned(),
    };
    view.waiting_reason.clone().unwrap_or_else(doing)
}

fn seconds(ms: i64) -> f64 {
    ms.max(0) as f64 / 1_000.0
}
