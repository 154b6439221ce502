//! `farm jobs`: the same acts as the API's, straight on the database.

use std::fmt::Write;

use api::view::{self, JobView};
use clap::Subcommand;
use clap::builder::PossibleValuesParser;
use entity::enums::JobState;
use entity::job::cancel::Leaver;
use entity::job::query::{self, Filter, Viewer};
use entity::job::retry::Retried;
use entity::job_event;
use jobs::Kind;
use jobs::process::Failure;
use poem_openapi::types::ToJSON;
use serde_json::json;
use uuid::Uuid;

use super::Desk;
use super::dead::{self, Dead, Redrive};
use super::{BY, out};
use crate::config::Settings;

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Newest jobs.
    List {
        /// Only this kind.
        #[arg(long, value_parser = PossibleValuesParser::new(Kind::words()))]
        kind: Option<String>,
        /// Only this state.
        #[arg(long)]
        state: Option<JobState>,
        /// How many at most.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1_000))]
        limit: u64,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// One job: where it stands, why it is not running, what happened to it.
    Show {
        /// Its id.
        id: Uuid,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Stop a job for everybody who waits for it.
    Cancel {
        /// Its id.
        id: Uuid,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Queue a failed or cancelled job again.
    Retry {
        /// Its id.
        id: Uuid,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Failed jobs by kind and reason, what failed last first.
    Dead(Dead),
    /// Queue failed jobs again, spread over time; says first what would happen.
    Redrive(Redrive),
}

pub(crate) async fn run(settings: &Settings, action: Action) -> Result<(), Failure> {
    out::print(&answer(settings, action).await?)
}

pub(super) async fn answer(settings: &Settings, action: Action) -> Result<String, Failure> {
    let state = super::open(settings).await?;
    match action {
        Action::List { kind, state: wanted, limit, json } => {
            let filter = Filter { kind, state: wanted, ..Filter::default() };
            list(&state, &filter, limit, json).await
        }
        Action::Show { id, json } => show(&state, id, json).await,
        Action::Cancel { id, json } => cancel(&state, id, json).await,
        Action::Retry { id, json } => retry(&state, id, json).await,
        Action::Dead(wanted) => dead::list(&state, wanted).await,
        Action::Redrive(wanted) => dead::redrive(&state, wanted).await,
    }
}

async fn views(state: &Desk, ids: &[Uuid]) -> Result<Vec<JobView>, Failure> {
    let mut views = vec![];
    for seen in query::seen(state.db().read(), Viewer::Admin, ids).await? {
        let view = view::job_view(state, &seen).await;
        views.push(view.map_err(|problem| Failure::new(problem.to_string()))?);
    }
    Ok(views)
}

async fn one(state: &Desk, id: Uuid) -> Result<JobView, Failure> {
    views(state, &[id]).await?.pop().ok_or_else(|| Failure::new(format!("there is no job {id}")))
}

async fn list(state: &Desk, filter: &Filter, limit: u64, json: bool) -> Result<String, Failure> {
    let ids = query::page(state.db().read(), Viewer::Admin, filter, limit).await?;
    let views = views(state, &ids).await?;
    if json {
        return Ok(views.to_json_string());
    }
    let head =
        format!("{:36}  {:16}  {:10}  {:>8}  {:>4}  WAITS", "ID", "KIND", "STATE", "ATTEMPT", "%");
    let lines = views.into_iter().map(|job| {
        let line = format!(
            "{:36}  {:16}  {:10}  {:>8}  {:>4}  {}",
            job.id,
            job.kind,
            JobState::from(job.state).as_str(),
            format!("{}/{}", job.attempt, job.max_attempts),
            job.progress.percent.map_or_else(|| "-".to_owned(), |percent| percent.to_string()),
            job.waiting_reason.unwrap_or_default(),
        );
        line.trim_end().to_owned()
    });
    Ok(std::iter::once(head).chain(lines).collect::<Vec<_>>().join("\n"))
}

async fn show(state: &Desk, id: Uuid, json: bool) -> Result<String, Failure> {
    let job = one(state, id).await?;
    let events = job_event::of(state.db().read(), id).await?;
    if json {
        return Ok(json!({ "job": job.to_json(), "events": events }).to_string());
    }
    let mut text = format!("{}  {}", job.id, job.kind);
    let mut line = |name: &str, value: &str| {
        let _ = write!(text, "\n{name:8}  {value}"); // a String takes everything
    };
    line("state", JobState::from(job.state).as_str());
    if let Some(why) = &job.waiting_reason {
        line("waits", why);
    }
    line("attempt", &format!("{} of {}", job.attempt, job.max_attempts));
    let percent = job.progress.percent.map(|percent| format!(" ({percent} %)"));
    let total = job.progress.total.map_or_else(|| "?".to_owned(), |total| total.to_string());
    let stage = job.progress.stage.clone().map(|stage| format!(", {stage}"));
    let (percent, stage) = (percent.unwrap_or_default(), stage.unwrap_or_default());
    line("progress", &format!("{} of {total}{percent}{stage}", job.progress.done));
    line("created", &job.created_at);
    if let Some(finished) = &job.finished_at {
        line("finished", finished);
    }
    if let Some(error) = &job.error {
        line("error", &format!("{}: {}", error.code, error.message));
    }
    if job.children.total > 0 {
        let c = &job.children;
        line("children", &format!("{}, {} succeeded, {} failed", c.total, c.succeeded, c.failed));
    }
    for event in events {
        let detail: String = event.detail.chars().take(200).collect();
        let _ = write!(text, "\n{}  {}  {detail}", event.at.rfc3339(), event.event);
    }
    Ok(text)
}

async fn cancel(state: &Desk, id: Uuid, json: bool) -> Result<String, Failure> {
    let before = one(state, id).await?;
    if before.done {
        let state = JobState::from(before.state);
        return Err(Failure::new(format!("job {id} has ended already: {state}")));
    }
    state.jobs.cancel(id, Leaver::Operator).await?;
    show(state, id, json).await
}

async fn retry(state: &Desk, id: Uuid, json: bool) -> Result<String, Failure> {
    match state.jobs.retry(id, None, BY).await? {
        Retried::Queued(_) => show(state, id, json).await,
        Retried::NotEnded(job) => Err(Failure::new(format!(
            "only a failed or cancelled job can be retried; {id} is {}",
            job.state
        ))),
        Retried::KeyTaken => {
            Err(Failure::new(format!("another open job does the work of {id}; follow that one")))
        }
        Retried::Missing => Err(Failure::new(format!("there is no job {id}"))),
        Retried::Unpaid(refusal) => {
            Err(Failure::new(format!("who waits for {id} cannot pay for it: {refusal}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use entity::args;
    use serde_json::Value;

    use super::*;
    use crate::commands::story::{Farm, parse};

    async fn say(farm: &Farm, words: &[&str]) -> Result<String, Failure> {
        answer(&farm.settings, parse(words).unwrap()).await
    }

    #[test]
    fn unknown_kinds_and_states_are_wrong_usage_and_the_words_are_told() {
        for (words, says) in [
            (["list", "--kind", "bogus"], "[possible values: profile_fetch, bulk_profiles, "),
            (["list", "--state", "bogus"], "must be one of queued, "),
        ] {
            let refused = parse::<Action>(&words).unwrap_err();
            assert_eq!(refused.exit_code(), 2);
            assert!(refused.to_string().contains(says), "{refused}");
        }
    }

    #[tokio::test]
    async fn a_kind_of_a_newer_version_is_shown() {
        let farm = Farm::new().await;
        let id = farm.waiting(1).await[0];
        farm.set("UPDATE jobs SET kind = 'telepathy' WHERE id = ?", args![id]).await;
        let text = say(&farm, &["list"]).await.unwrap();
        let waits = text.lines().nth(1).unwrap();
        assert!(waits.contains("telepathy") && waits.ends_with("no live worker runs telepathy"));
        let listed = say(&farm, &["list", "--json"]).await.unwrap();
        let listed: Value = serde_json::from_str(&listed).unwrap();
        assert_eq!((&listed[0]["kind"], &listed[0]["id"]), (&json!("telepathy"), &json!(id)));
        let none = say(&farm, &["list", "--kind", "noop"]).await.unwrap();
        assert_eq!(none.lines().count(), 1, "{none}");
    }

    #[tokio::test]
    async fn a_job_is_shown_cancelled_and_retried() {
        let farm = Farm::new().await;
        let id = farm.waiting(1).await[0].to_string();
        let shown = say(&farm, &["show", &id]).await.unwrap();
        assert!(shown.starts_with(&format!("{id}  noop\nstate     queued\nwaits     ")), "{shown}");
        let refused = say(&farm, &["retry", &id]).await.unwrap_err();
        assert!(refused.0.ends_with("is queued"), "{refused}");
        let cancelled = say(&farm, &["cancel", &id]).await.unwrap();
        assert!(cancelled.contains("\nstate     cancelled\n"), "{cancelled}");
        let refused = say(&farm, &["cancel", &id]).await.unwrap_err();
        assert!(refused.0.contains("ended already: cancelled"), "{refused}");
        let again = say(&farm, &["retry", &id, "--json"]).await.unwrap();
        let again: Value = serde_json::from_str(&again).unwrap();
        assert_eq!(again["job"]["state"], "queued");
        assert!(!again["events"].as_array().unwrap().is_empty(), "{again}");
        let missing = say(&farm, &["show", &Uuid::nil().to_string()]).await.unwrap_err();
        assert!(missing.0.contains("there is no job"), "{missing}");
    }
}
