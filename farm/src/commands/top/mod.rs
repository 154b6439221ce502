//! `farm top`: queues and workers on one page, drawn anew every second.
//!
//! [`snapshot`] looks, [`page`] says what the page is, [`screen`] is the terminal.

mod page;
mod screen;
mod snapshot;

use std::io::{IsTerminal, Read};
use std::time::{Duration, Instant};

use clap::Args;
use jobs::process::Failure;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use self::screen::Screen;
use self::snapshot::{Looker, Snapshot};
use super::{out, text};
use crate::config::Settings;

/// How often the page is drawn.
const EVERY: Duration = Duration::from_secs(1);
/// From then on a page says how old it is.
const STALE: Duration = Duration::from_secs(3);
/// Longest look.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(crate) struct Top {
    /// Print one page and end, as when standard output is no terminal.
    #[arg(long)]
    pub(crate) once: bool,
    /// Print JSON, once.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(settings: &Settings, top: &Top) -> Result<(), Failure> {
    if top.once || top.json || !std::io::stdout().is_terminal() {
        return out::print(&once(settings, top.json).await?);
    }
    let mut looker = Looker::new(super::open(settings).await?);
    let first = looker.look().await?;
    watch(looker, first).await
}

async fn once(settings: &Settings, json: bool) -> Result<String, Failure> {
    let seen = Looker::new(super::open(settings).await?).look().await?;
    if json {
        return Ok(seen.json().to_string());
    }
    // A terminal's width, where there is one; whoever reads a file can turn its lines.
    let (width, _) = screen::size(&std::io::stdout()).unwrap_or((usize::MAX, usize::MAX));
    let lines = page::page(&seen, "", width, usize::MAX);
    Ok(lines.into_iter().map(|line| line.text).collect::<Vec<_>>().join("\n"))
}

/// Draws until told to stop.
async fn watch(looker: Looker, first: Snapshot) -> Result<(), Failure> {
    // Heard from before the terminal is taken, so that none ends the process in between.
    let listen = |kind| signal(kind).map_err(Failure::during("signals cannot be heard"));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut resized = listen(SignalKind::window_change())?;
    let mut looks = looks(looker);
    let mut tick = tokio::time::interval(EVERY);
    let (mut seen, mut at, mut trouble) = (first, Instant::now(), None);
    let mut screen = Screen::open(&std::io::stdout())
        .map_err(Failure::during("the terminal cannot be drawn on; try --once"))?;
    let mut quit = keys();
    loop {
        let size = screen.size();
        let note = note(at.elapsed(), trouble.as_deref());
        if !screen.draw(&page::page(&seen, &note, size.0, size.1), size) {
            return Err(Failure::new("the terminal is gone"));
        }
        tokio::select! {
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            Some(()) = quit.recv() => return Ok(()),
            _ = resized.recv() => {}
            _ = tick.tick() => {}
            Some(look) = looks.recv() => match look {
                Ok(fresh) => (seen, at, trouble) = (*fresh, Instant::now(), None),
                Err(why) => trouble = Some(why.0),
            },
        }
    }
}

/// What the page says of itself.
fn note(age: Duration, trouble: Option<&str>) -> String {
    if age < STALE {
        return "q quits".to_owned();
    }
    let age = text::span(age.as_millis() as i64);
    format!("!! {age} old: {}", trouble.unwrap_or("the database does not answer"))
}

/// Looks for ever, apart from the drawing: a database that hangs must not stop the keys.
fn looks(mut looker: Looker) -> mpsc::Receiver<Result<Box<Snapshot>, Failure>> {
    let (looks, seen) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(EVERY).await;
            let look = match tokio::time::timeout(PATIENCE, looker.look()).await {
                Ok(look) => look.map(Box::new),
                Err(_) => Err(Failure::new("the database does not answer")),
            };
            if looks.send(look).await.is_err() {
                return;
            }
        }
    });
    seen
}

/// Hears `q`. On a thread of its own that ends with the process: a read cannot be called off, and
/// making it non-blocking would stay with the terminal.
fn keys() -> mpsc::Receiver<()> {
    let (pressed, quit) = mpsc::channel(1);
    if std::io::stdin().is_terminal() {
        std::thread::spawn(move || {
            let mut key = [0];
            while matches!(std::io::stdin().read(&mut key), Ok(1)) {
                if key[0].eq_ignore_ascii_case(&b'q') && pressed.blocking_send(()).is_err() {
                    return;
                }
            }
        });
    }
    quit
}

#[cfg(test)]
mod tests {
    use clap::Subcommand;
    use entity::worker::{self, NewWorker};
    use entity::{args, queue_control};
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;
    use crate::commands::story::{Farm, parse};

    #[derive(Debug, Subcommand)]
    enum Action {
        Top(Top),
    }

    #[tokio::test]
    async fn one_page_is_printed() {
        let farm = Farm::new().await;
        let Action::Top(top) = parse(&["top", "--once", "--json"]).unwrap();
        assert!(top.once && top.json);
        let empty = once(&farm.settings, false).await.unwrap();
        assert!(empty.contains("no worker is there"), "{empty}");

        let ids = farm.waiting(2).await;
        farm.failed(3).await;
        queue_control::pause(farm.state.db().write(), "ai", "ann", "hot").await.unwrap();
        let id = Uuid::now_v7();
        let tx = farm.state.db().begin().await.unwrap();
        let new = NewWorker {
            id,
            host: "box:7",
            version: "0.1.0",
            kinds: &["noop"],
            slots: 4,
            lease_ms: 60_000,
        };
        worker::register(&tx, &new).await.unwrap();
        tx.commit().await.unwrap();
        let run = "UPDATE jobs SET state = 'running', worker = ?, claimed_at = {now} WHERE id = ?";
        farm.set(run, args![id, ids[0]]).await;

        let text = once(&farm.settings, false).await.unwrap();
        assert!(text.starts_with("farm  20"), "{text}");
        assert!(text.contains("open 2") && text.contains("dead 3"), "{text}");
        assert!(text.contains("ann, ") && text.contains(": hot"), "{text}");
        assert!(text.contains("box:7") && text.contains("1/4"), "{text}");
        assert!(text.contains(&ids[0].to_string()), "{text}");
        assert!(!text.contains("q quits"), "nobody can press it: {text}");
        let json: Value = serde_json::from_str(&once(&farm.settings, true).await.unwrap()).unwrap();
        assert_eq!((&json["jobs_open"], &json["dead"]), (&json!(2), &json!(3)));
        assert_eq!(
            (&json["queues"][1]["name"], &json["queues"][1]["paused"]["by"]),
            (&json!("ai"), &json!("ann"))
        );
        assert_eq!(json["workers"][0]["jobs"][0]["id"], json!(ids[0]));
        assert_eq!(json["integrity"]["clean"], true);
    }

    #[test]
    fn a_page_that_is_old_says_so() {
        assert_eq!(note(Duration::from_millis(900), Some("x")), "q quits");
        assert_eq!(note(Duration::from_secs(12), Some("x")), "!! 12s old: x");
        let hangs = note(Duration::from_secs(4), None);
        assert_eq!(hangs, "!! 4.0s old: the database does not answer");
    }
}
