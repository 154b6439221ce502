//! `farm doctor`: what is wrong with this installation, and what to do about it.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use entity::job::integrity;
use entity::{Db, clock, queue_control, worker};
use jobs::process::Failure;
use migration::{Migrator, MigratorTrait};
use serde_json::json;

use crate::config::Settings;
use crate::machine;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    Note,
    Bad,
}

#[derive(Debug, Default)]
struct Report {
    lines: Vec<(Verdict, &'static str, String)>,
}

impl Report {
    fn add(&mut self, verdict: Verdict, what: &'static str, text: impl Into<String>) {
        self.lines.push((verdict, what, text.into()));
    }
}

pub(crate) async fn run(settings: &Settings, json: bool) -> Result<(), Failure> {
    let mut report = Report::default();
    data_dir(settings, &mut report);
    if machine::database_exists(settings) {
        match settings.common.connect(2).await {
            Ok(db) => database(&db, &mut report).await,
            Err(failure) => report.add(Verdict::Bad, "database", failure.0),
        }
    } else {
        report.add(Verdict::Note, "database", "not made yet; farm up makes it");
    }
    provider(settings, &mut report).await;
    print(&report, json);
    let bad = report.lines.iter().filter(|(verdict, ..)| *verdict == Verdict::Bad).count();
    if bad == 0 { Ok(()) } else { Err(Failure::new(format!("{bad} of the checks failed"))) }
}

fn print(report: &Report, json: bool) {
    let word = |verdict| match verdict {
        Verdict::Good => "ok",
        Verdict::Note => "note",
        Verdict::Bad => "fail",
    };
    if json {
        let checks: Vec<_> = report
            .lines
            .iter()
            .map(|(verdict, what, text)| json!({"check": what, "verdict": word(*verdict), "text": text}))
            .collect();
        println!("{}", json!({ "checks": checks }));
        return;
    }
    for (verdict, what, text) in &report.lines {
        println!("{:4}  {what:10}  {text}", word(*verdict));
    }
}

fn data_dir(settings: &Settings, report: &mut Report) {
    let dir = &settings.common.data_dir;
    match std::fs::metadata(dir) {
        Ok(meta) if meta.is_dir() => {
            let open = meta.permissions().mode() & 0o007 != 0;
            if open {
                let hint = format!("{0} can be read by others; chmod 700 {0}", dir.display());
                report.add(Verdict::Note, "data", hint);
            } else {
                report.add(Verdict::Good, "data", dir.display().to_string());
            }
        }
        Ok(_) => report.add(Verdict::Bad, "data", format!("{} is no folder", dir.display())),
        Err(_) => {
            let hint = format!("{} does not exist yet; farm up makes it", dir.display());
            report.add(Verdict::Note, "data", hint);
        }
    }
}

async fn database(db: &Db, report: &mut Report) {
    let pending = match Migrator::get_pending_migrations(db.write().pool()).await {
        Ok(pending) => pending.len(),
        Err(error) => return report.add(Verdict::Bad, "database", error.to_string()),
    };
    if pending > 0 {
        let hint = format!("{pending} migrations are pending; run farm migrate");
        return report.add(Verdict::Bad, "database", hint);
    }
    if let Err(error) = clock::now(db.read()).await {
        return report.add(Verdict::Bad, "database", error.to_string());
    }
    report.add(Verdict::Good, "database", "reachable, tables up to date");
    match worker::live(db.read()).await {
        Ok(live) if live.is_empty() => {
            report.add(Verdict::Note, "workers", "none is alive; farm up starts one");
        }
        Ok(live) => report.add(Verdict::Good, "workers", format!("{} alive", live.len())),
        Err(error) => report.add(Verdict::Bad, "workers", error.to_string()),
    }
    if let Ok(paused) = queue_control::paused(db.read()).await {
        for queue in paused {
            let by = queue.paused_by.unwrap_or_default();
            report.add(Verdict::Note, "queues", format!("{} is paused by {by}", queue.queue));
        }
    }
    match integrity::inspect(db.read()).await {
        Ok(findings) if findings.is_clean() => {
            report.add(Verdict::Good, "integrity", "no contradictions");
        }
        Ok(findings) => {
            let text = format!("{findings:?}; a running farm mends this within a minute");
            report.add(Verdict::Bad, "integrity", text);
        }
        Err(error) => report.add(Verdict::Bad, "integrity", error.to_string()),
    }
}

/// Only whether something listens: a real call would cost money.
async fn provider(settings: &Settings, report: &mut Report) {
    let Some(decodo) = &settings.worker.decodo else {
        return report.add(Verdict::Good, "provider", "demo (DECODO_* is not set)");
    };
    let url = &decodo.base_url;
    if url.scheme() == "http"
        && !matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"))
    {
        let hint = "DECODO_BASE_URL is plain http: the credentials travel unprotected";
        report.add(Verdict::Note, "provider", hint);
    }
    let host = url.host_str().unwrap_or_default();
    let address = format!("{host}:{}", url.port_or_known_default().unwrap_or(443));
    let connect = tokio::net::TcpStream::connect(&address);
    match tokio::time::timeout(Duration::from_secs(5), connect).await {
        Ok(Ok(_)) => report.add(Verdict::Good, "provider", format!("{address} answers")),
        Ok(Err(error)) => report.add(Verdict::Bad, "provider", format!("{address}: {error}")),
        Err(_) => report.add(Verdict::Bad, "provider", format!("{address} does not answer")),
    }
}
