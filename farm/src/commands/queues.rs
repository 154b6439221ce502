//! `farm queues`: what waits in them and the switch that stops them, straight on the database.

use api::routes::queues::{self, QueueView};
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use entity::enums::Queue;
use entity::{Time, clock, queue_control, time};
use jobs::process::Failure;
use poem_openapi::types::ToJSON;

use super::text::{self, Side};
use super::{BY, out};
use crate::config::Settings;

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Every queue: what waits and runs, what the last hour measured, who paused it.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Start nothing of a queue until it is resumed; what runs goes on.
    Pause {
        #[command(flatten)]
        which: Which,
        /// Shown to everybody whose job waits.
        #[arg(long, default_value = "", hide_default_value = true, value_parser = reason)]
        reason: String,
    },
    /// Open a queue again.
    Resume(Which),
}

#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The queue.
    #[arg(value_parser = PossibleValuesParser::new(Queue::ALL.iter().map(|q| q.as_str())))]
    name: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn reason(text: &str) -> Result<String, &'static str> {
    let rule = "must be one line of at most 200 characters";
    api::query::line("reason", text, 200).map_err(|_| rule)
}

pub(crate) async fn run(settings: &Settings, action: Action) -> Result<(), Failure> {
    out::print(&answer(settings, action).await?)
}

async fn answer(settings: &Settings, action: Action) -> Result<String, Failure> {
    let state = super::open(settings).await?;
    let which = match action {
        Action::List { json } => {
            let views = queues::all(&state).await?;
            if json {
                return Ok(views.to_json_string());
            }
            let now = clock::now(state.db().read()).await?;
            return Ok(table(&views, now).join("\n"));
        }
        Action::Pause { which, reason } => {
            queue_control::pause(state.db().write(), &which.name, BY, &reason).await?;
            which
        }
        Action::Resume(which) => {
            queue_control::resume(state.db().write(), &which.name).await?;
            which
        }
    };
    let queue: Queue = which.name.parse().map_err(Failure::new)?;
    let view = queues::one(&state, queue).await?;
    if which.json {
        return Ok(view.to_json_string());
    }
    let name = which.name;
    Ok(match view.head.paused {
        None => format!("{name} is not paused"),
        Some(pause) => {
            let why = pause.reason.map_or_else(String::new, |why| format!(": {why}"));
            format!("{name} is paused by {} since {}{why}", pause.by, pause.at)
        }
    })
}

/// The queues as a table. Jobs that wait for their children have a column while there are any.
pub(super) fn table(views: &[QueueView], now: Time) -> Vec<String> {
    let parents = views.iter().any(|view| view.head.waiting_for_children > 0);
    let mut columns = vec![
        ("QUEUE", Side::Left),
        ("WAITING", Side::Right),
        ("RUNNING", Side::Right),
        ("PER MIN", Side::Right),
        ("OLDEST", Side::Right),
        ("P95 WAIT", Side::Right),
        ("FAILED", Side::Right),
        ("PAUSED BY", Side::Left),
    ];
    if parents {
        columns.insert(3, ("PARENTS", Side::Right));
    }
    let row = |view: &QueueView| {
        let QueueView { head, measured } = view;
        let mut row = vec![
            text::fit(&head.name, 16),
            (head.queued + head.retrying).to_string(),
            head.running.to_string(),
            text::rate(measured.throughput_per_minute),
            text::span_or_dash(head.oldest_due_ms),
            text::span_or_dash(measured.wait_p95_ms),
            measured.failed.map_or_else(|| "-".to_owned(), |failed| failed.to_string()),
            paused(view, now),
        ];
        if parents {
            row.insert(3, head.waiting_for_children.to_string());
        }
        row
    };
    text::table(&columns, &views.iter().map(row).collect::<Vec<_>>())
}

fn paused(view: &QueueView, now: Time) -> String {
    let Some(pause) = &view.head.paused else { return String::new() };
    let since = time::parse_rfc3339(&pause.at).map_or(0, |at| now.millis_since(at));
    let why = pause.reason.as_deref().map_or_else(String::new, |why| format!(": {why}"));
    format!("{}, {}{why}", pause.by, text::span(since))
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;
    use serde_json::{Value, json};

    use super::*;
    use crate::commands::story::{Farm, parse};

    async fn say(farm: &Farm, words: &[&str]) -> String {
        answer(&farm.settings, parse(words).unwrap()).await.unwrap()
    }

    async fn say_json(farm: &Farm, words: &[&str]) -> Value {
        let words: Vec<&str> = words.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(&say(farm, &words).await).unwrap()
    }

    #[test]
    fn an_unknown_queue_is_wrong_usage_and_the_names_are_told() {
        for act in ["pause", "resume"] {
            let refused = parse::<Action>(&[act, "fetsh"]).unwrap_err();
            assert_eq!((refused.kind(), refused.exit_code()), (ErrorKind::InvalidValue, 2));
            let names = "[possible values: fetch, ai, media, export, upkeep]";
            assert!(refused.to_string().contains(names), "{refused}");
            assert!(parse::<Action>(&[act]).is_err(), "{act} needs a name");
        }
        for reason in ["x".repeat(201).as_str(), "a\nb"] {
            let refused = parse::<Action>(&["pause", "ai", "--reason", reason]).unwrap_err();
            assert_eq!(refused.exit_code(), 2);
            assert!(refused.to_string().contains("at most 200 characters"), "{refused}");
        }
    }

    #[tokio::test]
    async fn queues_are_listed_as_the_api_lists_them() {
        let farm = Farm::new().await;
        farm.waiting(3).await;
        farm.failed(2).await;
        let listed = say_json(&farm, &["list"]).await;
        let names: Vec<&Value> = listed.as_array().unwrap().iter().map(|q| &q["name"]).collect();
        assert_eq!(names, ["fetch", "ai", "media", "export", "upkeep"]);
        let upkeep = &listed[4];
        assert_eq!((&upkeep["queued"], &upkeep["due"]), (&json!(3), &json!(3)));
        assert_eq!((&upkeep["measured"]["failed"], &upkeep["paused"]), (&json!(2), &Value::Null));
        let text = say(&farm, &["list"]).await;
        assert_eq!(text.lines().count(), 6, "{text}");
        let upkeep: Vec<&str> = text.lines().last().unwrap().split_whitespace().collect();
        assert_eq!((&upkeep[..4], upkeep[6]), (&["upkeep", "3", "0", "0.4"][..], "2"), "{text}");
        assert!(!text.contains("PARENTS"), "{text}");
    }

    #[tokio::test]
    async fn jobs_that_wait_for_their_children_are_shown() {
        let farm = Farm::new().await;
        farm.waiting(2).await;
        farm.set("UPDATE jobs SET state = 'running', children_open = 1", vec![]).await;
        let text = say(&farm, &["list"]).await;
        assert!(text.contains("PARENTS"), "{text}");
        let upkeep: Vec<&str> = text.lines().last().unwrap().split_whitespace().collect();
        assert_eq!(upkeep[..4], ["upkeep", "0", "0", "2"], "{text}");
    }

    #[tokio::test]
    async fn a_queue_is_paused_and_resumed() {
        let farm = Farm::new().await;
        let paused = say(&farm, &["pause", "fetch", "--reason", "the provider is sick"]).await;
        assert!(paused.starts_with("fetch is paused by the command line since 20"), "{paused}");
        assert!(paused.ends_with(": the provider is sick"), "{paused}");
        let listed = say_json(&farm, &["list"]).await;
        assert_eq!(listed[0]["paused"]["by"], BY);
        assert_eq!(listed[0]["paused"]["reason"], "the provider is sick");
        let text = say(&farm, &["list"]).await;
        let fetch = text.lines().find(|line| line.starts_with("fetch")).unwrap();
        assert!(fetch.contains("the command line, ") && fetch.ends_with(" is sick"), "{fetch}");
        // Pausing again replaces the reason.
        let again = say_json(&farm, &["pause", "fetch"]).await;
        assert_eq!(again["paused"]["reason"], Value::Null);
        for _ in 0..2 {
            assert_eq!(say(&farm, &["resume", "fetch"]).await, "fetch is not paused");
        }
        assert_eq!(say_json(&farm, &["resume", "fetch"]).await["paused"], Value::Null);
    }
}
