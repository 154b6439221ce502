//! `farm jobs`: the same acts as the API's, straight on the database.

use api::view::{self, JobView};
use api::{AppState, Issuer};
use entity::enums::JobState;
use entity::job::cancel::Leaver;
use entity::job::query::{self, Filter, Viewer};
use entity::job::retry::Retried;
use entity::job_event;
use jobs::process::Failure;
use jobs::process::Settings as Common;
use poem_openapi::types::ToJSON;
use serde_json::json;
use uuid::Uuid;

use crate::config::Settings;
use crate::machine::{self, FRESH_FOR};

/// The database behind the same views as the API. Without a Redis its tickets and news go nowhere:
/// the running farm finds what changed within a few seconds.
async fn open(settings: &Settings) -> Result<AppState, Failure> {
    let db = machine::open_existing(settings).await?;
    let jobs = Common::jobs(db, settings.common.redis()?.as_ref());
    // Nothing is signed or checked here.
    let issuer = Issuer::new(b"unused by the command line");
    Ok(AppState::new(jobs, issuer, api::Cors::default(), FRESH_FOR))
}

async fn views(state: &AppState, ids: &[Uuid]) -> Result<Vec<JobView>, Failure> {
    let mut views = vec![];
    for seen in query::seen(state.db().read(), Viewer::Admin, ids).await? {
        let view = view::job_view(state, &seen).await;
        views.push(view.map_err(|problem| Failure::new(problem.to_string()))?);
    }
    Ok(views)
}

async fn one(state: &AppState, id: Uuid) -> Result<JobView, Failure> {
    views(state, &[id]).await?.pop().ok_or_else(|| Failure::new(format!("there is no job {id}")))
}

pub(crate) async fn list(
    settings: &Settings,
    kind: Option<String>,
    wanted: Option<JobState>,
    limit: u64,
    json: bool,
) -> Result<(), Failure> {
    let state = open(settings).await?;
    let filter = Filter { kind, state: wanted, ..Filter::default() };
    let ids = query::page(state.db().read(), Viewer::Admin, &filter, limit).await?;
    let views = views(&state, &ids).await?;
    if json {
        println!("{}", views.to_json().unwrap_or_default());
        return Ok(());
    }
    println!("{:36}  {:16}  {:10}  {:>8}  {:>4}  WAITS", "ID", "KIND", "STATE", "ATTEMPT", "%");
    for job in views {
        println!(
            "{:36}  {:16}  {:10}  {:>8}  {:>4}  {}",
            job.id,
            job.kind,
            JobState::from(job.state).as_str(),
            format!("{}/{}", job.attempt, job.max_attempts),
            job.progress.percent.map_or_else(|| "-".to_owned(), |percent| percent.to_string()),
            job.waiting_reason.unwrap_or_default(),
        );
    }
    Ok(())
}

pub(crate) async fn show(settings: &Settings, id: Uuid, json: bool) -> Result<(), Failure> {
    let state = open(settings).await?;
    print(&state, id, json).await
}

async fn print(state: &AppState, id: Uuid, json: bool) -> Result<(), Failure> {
    let job = one(state, id).await?;
    let events = job_event::of(state.db().read(), id).await?;
    if json {
        println!("{}", json!({ "job": job.to_json(), "events": events }));
        return Ok(());
    }
    println!("{}  {}", job.id, job.kind);
    println!("state     {}", JobState::from(job.state).as_str());
    if let Some(why) = &job.waiting_reason {
        println!("waits     {why}");
    }
    println!("attempt   {} of {}", job.attempt, job.max_attempts);
    let percent = job.progress.percent.map(|percent| format!(" ({percent} %)"));
    let total = job.progress.total.map_or_else(|| "?".to_owned(), |total| total.to_string());
    let stage = job.progress.stage.clone().map(|stage| format!(", {stage}"));
    println!(
        "progress  {} of {total}{}{}",
        job.progress.done,
        percent.unwrap_or_default(),
        stage.unwrap_or_default()
    );
    println!("created   {}", job.created_at);
    if let Some(finished) = &job.finished_at {
        println!("finished  {finished}");
    }
    if let Some(error) = &job.error {
        println!("error     {}: {}", error.code, error.message);
    }
    if job.children.total > 0 {
        let c = &job.children;
        println!("children  {}, {} succeeded, {} failed", c.total, c.succeeded, c.failed);
    }
    for event in events {
        let detail: String = event.detail.chars().take(200).collect();
        println!("{}  {}  {detail}", event.at.rfc3339(), event.event);
    }
    Ok(())
}

pub(crate) async fn cancel(settings: &Settings, id: Uuid, json: bool) -> Result<(), Failure> {
    let state = open(settings).await?;
    let before = one(&state, id).await?;
    if before.done {
        let state = JobState::from(before.state);
        return Err(Failure::new(format!("job {id} has ended already: {state}")));
    }
    state.jobs.cancel(id, Leaver::Operator).await?;
    print(&state, id, json).await
}

pub(crate) async fn retry(settings: &Settings, id: Uuid, json: bool) -> Result<(), Failure> {
    let state = open(settings).await?;
    match state.jobs.retry(id, None, "the command line").await? {
        Retried::Queued(_) => print(&state, id, json).await,
        Retried::NotEnded(job) => Err(Failure::new(format!(
            "only a failed or cancelled job can be retried; {id} is {}",
            job.state
        ))),
        Retried::KeyTaken => {
            Err(Failure::new(format!("another open job does the work of {id}; follow that one")))
        }
        Retried::Missing => Err(Failure::new(format!("there is no job {id}"))),
    }
}
