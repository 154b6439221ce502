//! `farm schedules`: what runs by the clock, straight on the database.

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use entity::{Time, schedule};
use jobs::Jobs;
use jobs::process::{Failure, Settings as Common};
use scheduler::{ENTRIES, Entry, Schedule};
use serde_json::{Value, json};

use super::{BY, out};
use crate::config::Settings;
use crate::machine;

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Every entry: its ticks (UTC), the last result, who paused it.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Enqueue an entry's job now, and print the job's id.
    Run(Which),
    /// Take no ticks of an entry until it is resumed.
    Pause(Which),
    /// Take an entry's ticks again; of those missed, the latest runs.
    Resume(Which),
}

#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The entry.
    #[arg(value_parser = PossibleValuesParser::new(scheduler::names()))]
    name: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(settings: &Settings, action: Action) -> Result<(), Failure> {
    out::print(&answer(settings, action).await?)
}

async fn answer(settings: &Settings, action: Action) -> Result<String, Failure> {
    let db = machine::open_existing(settings).await?;
    let jobs = Common::jobs(db, settings.common.redis()?.as_ref());
    let ours = Schedule::new(jobs.clone(), ENTRIES).map_err(Failure::during("the schedule"))?;
    Ok(match action {
        Action::List { json } => {
            let now = entity::clock::now(jobs.db().read()).await?;
            let mut shown = vec![];
            for entry in ENTRIES {
                let next: Vec<Time> = ours.ticks_after(entry.name, now).take(3).collect();
                shown.push(Shown { entry, next, row: row(&jobs, entry.name).await? });
            }
            if json {
                shown.iter().map(Shown::json).collect::<Value>().to_string()
            } else {
                shown.iter().map(Shown::text).collect::<Vec<_>>().join("\n\n")
            }
        }
        Action::Run(which) => {
            let job = ours.run_now(&which.name).await?;
            let job = job.ok_or_else(|| Failure::new("there is no such entry"))?;
            if which.json {
                json!({ "name": which.name, "job": job.id, "created": job.created }).to_string()
            } else {
                job.id.to_string()
            }
        }
        Action::Pause(which) => {
            // Before any scheduler ran there is no row to pause.
            ours.register().await?;
            schedule::pause(jobs.db().write(), &which.name, BY).await?;
            state(&jobs, &which).await?
        }
        Action::Resume(which) => {
            schedule::resume(jobs.db().write(), &which.name).await?;
            state(&jobs, &which).await?
        }
    })
}

async fn row(jobs: &Jobs, name: &str) -> Result<Option<schedule::Schedule>, Failure> {
    let rows = schedule::list(jobs.db().read()).await?;
    Ok(rows.into_iter().find(|row| row.name == name))
}

/// Paused or not, and by whom, after an act.
async fn state(jobs: &Jobs, which: &Which) -> Result<String, Failure> {
    let row = row(jobs, &which.name).await?;
    let paused = row.as_ref().and_then(paused);
    Ok(if which.json {
        let row = row.filter(|row| row.paused);
        json!({
            "name": which.name,
            "paused": row.is_some(),
            "paused_by": row.as_ref().and_then(|row| row.paused_by.clone()),
            "paused_at": row.and_then(|row| row.paused_at).map(Time::rfc3339),
        })
        .to_string()
    } else {
        format!("{} is {}", which.name, paused.unwrap_or_else(|| "not paused".to_owned()))
    })
}

fn paused(row: &schedule::Schedule) -> Option<String> {
    let by = row.paused_by.as_deref().unwrap_or("somebody");
    let at = row.paused_at.map_or_else(String::new, |at| format!(" since {}", at.rfc3339()));
    row.paused.then(|| format!("paused by {by}{at}"))
}

/// An entry with its row, when it has one yet.
struct Shown<'a> {
    entry: &'a Entry,
    next: Vec<Time>,
    row: Option<schedule::Schedule>,
}

impl Shown<'_> {
    fn json(&self) -> Value {
        let row = self.row.as_ref();
        let result = row.and_then(|row| {
            let error = row.job_error_code.as_ref();
            Some(json!({
                "state": row.job_state?.as_str(),
                "error": error.map(|code| json!({"code": code, "message": row.job_error_message})),
                "finished_at": row.job_finished_at.map(Time::rfc3339),
            }))
        });
        json!({
            "name": self.entry.name,
            "cron": self.entry.cron,
            "next": self.next.iter().map(|tick| tick.rfc3339()).collect::<Vec<_>>(),
            "last_tick": row.and_then(|row| row.last_tick).map(Time::rfc3339),
            "taken_at": row.and_then(|row| row.taken_at).map(Time::rfc3339),
            "last_job": row.and_then(|row| row.last_job),
            "last_result": result,
            "paused": row.is_some_and(|row| row.paused),
            "paused_by": row.and_then(|row| row.paused_by.clone()),
            "paused_at": row.and_then(|row| row.paused_at).map(Time::rfc3339),
        })
    }

    fn text(&self) -> String {
        let name = self.entry.name;
        let next: Vec<String> = self.next.iter().map(|tick| tick.rfc3339()).collect();
        let mut lines =
            vec![name.to_owned(), format!("  cron    {} (second first, UTC)", self.entry.cron)];
        lines.push(format!("  next    {}", next.join("  ")));
        // A row without a job was registered and has only let ticks pass.
        if let Some((row, tick, job)) =
            self.row.as_ref().and_then(|row| Some((row, row.last_tick?, row.last_job?)))
        {
            lines.push(format!("  last    {}  job {job}", tick.rfc3339()));
            lines.push(format!("  result  {}", result(row)));
        } else {
            lines.push("  last    never".to_owned());
        }
        lines.extend(self.row.as_ref().and_then(paused).map(|paused| format!("  {paused}")));
        lines.join("\n")
    }
}

fn result(row: &schedule::Schedule) -> String {
    let Some(state) = row.job_state else { return "its job is gone".to_owned() };
    let at = row.job_finished_at.map_or_else(String::new, |at| format!(" at {}", at.rfc3339()));
    let code = row.job_error_code.as_deref();
    let why = code.map_or_else(String::new, |code| {
        format!(", {code}: {}", row.job_error_message.as_deref().unwrap_or_default())
    });
    format!("{state}{at}{why}")
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::*;
    use crate::commands::story::{parse, settings};

    async fn say(settings: &Settings, words: &[&str]) -> Result<String, Failure> {
        answer(settings, parse(words).unwrap()).await
    }

    async fn say_json(settings: &Settings, words: &[&str]) -> Value {
        let words: Vec<&str> = words.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(&say(settings, &words).await.unwrap()).unwrap()
    }

    #[test]
    fn an_unknown_name_is_wrong_usage_and_the_names_are_told() {
        for act in ["run", "pause", "resume"] {
            let refused = parse::<Action>(&[act, "prun"]).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidValue);
            assert_eq!(refused.exit_code(), 2);
            assert!(refused.to_string().contains("[possible values: prune"), "{refused}");
            assert!(parse::<Action>(&[act]).is_err(), "{act} needs a name");
        }
    }

    #[tokio::test]
    async fn without_a_database_it_says_what_makes_one() {
        let dir = tempfile::tempdir().unwrap();
        let refused = say(&settings(dir.path()), &["list"]).await.unwrap_err();
        assert!(refused.0.contains("farm up makes one"), "{refused}");
    }

    #[tokio::test]
    async fn an_entry_is_listed_paused_resumed_and_run() {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(dir.path());
        machine::open_database(&settings).await.unwrap();
        let fresh = say_json(&settings, &["list"]).await;
        assert_eq!(
            (&fresh[0]["name"], &fresh[0]["cron"]),
            (&json!("prune"), &json!("0 45 * * * *"))
        );
        assert_eq!(fresh[0]["next"].as_array().unwrap().len(), 3);
        for field in ["last_tick", "last_job", "last_result", "paused_by"] {
            assert_eq!(fresh[0][field], Value::Null, "{field}");
        }
        let text = say(&settings, &["list"]).await.unwrap();
        assert!(text.contains("cron    0 45 * * * *") && text.contains("last    never"), "{text}");

        // No scheduler has run yet.
        let paused = say(&settings, &["pause", "prune"]).await.unwrap();
        assert!(paused.starts_with("prune is paused by the command line since 20"), "{paused}");
        assert_eq!(say(&settings, &["pause", "prune"]).await.unwrap(), paused, "the first counts");
        let listed = say_json(&settings, &["list"]).await;
        assert_eq!(listed[0]["paused"], true);
        assert_eq!(listed[0]["paused_by"], BY);
        assert!(say(&settings, &["list"]).await.unwrap().contains(BY));
        for _ in 0..2 {
            let resumed = say_json(&settings, &["resume", "prune"]).await;
            assert_eq!((&resumed["paused"], &resumed["paused_by"]), (&json!(false), &Value::Null));
        }

        let job = say(&settings, &["run", "prune"]).await.unwrap();
        assert!(job.parse::<uuid::Uuid>().is_ok(), "only the id: {job}");
        let again = say_json(&settings, &["run", "prune"]).await;
        assert_eq!((&again["job"], &again["created"]), (&json!(job), &json!(false)), "joined");
    }
}
