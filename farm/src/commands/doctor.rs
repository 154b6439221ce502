//! `farm doctor`: what is wrong with this installation, and what to do about it.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use ::worker::media::codecs::Codecs;
use api::Supabase;
use entity::db::Plans;
use entity::job::integrity;
use entity::{Db, clock, queue_control, schedule, worker};
use jobs::TicketQueue;
use jobs::process::{Failure, Secret};
use jobs::redis::RedisTickets;
use serde_json::json;
use url::{Host, Url};

use super::out;
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
        match settings.common.connect(2, Plans::Kept).await {
            Ok(db) => database(&db, &mut report).await,
            Err(failure) => report.add(Verdict::Bad, "database", failure.0),
        }
    } else {
        report.add(Verdict::Note, "database", "not made yet; farm up makes it");
    }
    redis(settings, &mut report).await;
    identity(settings, &mut report).await;
    provider(settings, &mut report).await;
    files(settings, &mut report).await;
    unprotected(settings, &mut report);
    unlimited(settings, &mut report);
    out::print(&told(&report, json))?;
    let bad = report.lines.iter().filter(|(verdict, ..)| *verdict == Verdict::Bad).count();
    if bad == 0 { Ok(()) } else { Err(Failure::new(format!("{bad} of the checks failed"))) }
}

fn told(report: &Report, json: bool) -> String {
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
        return json!({ "checks": checks }).to_string();
    }
    let lines = report.lines.iter();
    let lines =
        lines.map(|(verdict, what, text)| format!("{:4}  {what:10}  {text}", word(*verdict)));
    lines.collect::<Vec<_>>().join("\n")
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
    match entity::db::is_migrated(db.read()).await {
        Ok(true) => {}
        Ok(false) => {
            let hint = "tables are missing or old; run farm migrate";
            return report.add(Verdict::Bad, "database", hint);
        }
        Err(error) => return report.add(Verdict::Bad, "database", error.to_string()),
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
    if let Ok(entries) = schedule::list(db.read()).await {
        for entry in entries.into_iter().filter(|entry| entry.paused) {
            let by = entry.paused_by.unwrap_or_default();
            let since = entry.paused_at.map(|at| format!(" since {}", at.rfc3339()));
            let text = format!("{} is paused by {by}{}", entry.name, since.unwrap_or_default());
            report.add(Verdict::Note, "schedules", text);
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

/// Whether tickets get through; apart from the database, which may be away at the same time.
async fn redis(settings: &Settings, report: &mut Report) {
    let redis = match settings.common.redis() {
        Ok(None) => return,
        Ok(Some(redis)) => redis,
        Err(failure) => return report.add(Verdict::Bad, "redis", failure.0),
    };
    match RedisTickets::new(redis).check().await {
        Ok(()) => report.add(Verdict::Good, "redis", "reachable"),
        Err(why) => report.add(Verdict::Bad, "redis", format!("{why}; see REDIS_URL")),
    }
}

/// What crosses a network that anybody on the way can read.
fn unprotected(settings: &Settings, report: &mut Report) {
    let parse = |url: &Option<Secret>| Url::parse(url.as_ref()?.expose()).ok();
    if parse(&settings.common.database_url).is_some_and(|url| plain_postgres(&url)) {
        let hint = "DATABASE_URL does not insist on TLS: the password and every row may travel \
                    unprotected; add sslmode=verify-full, or sslmode=require";
        report.add(Verdict::Note, "database", hint);
    }
    if parse(&settings.common.redis_url).is_some_and(|url| plain_redis(&url)) {
        let hint = "REDIS_URL is redis://: the password travels unprotected; use rediss://";
        report.add(Verdict::Note, "redis", hint);
    }
}

/// What nobody is kept from.
fn unlimited(settings: &Settings, report: &mut Report) {
    if !settings.api.rate_limits {
        let hint = "off (FARM_RATE_LIMITS): nobody is limited, strangers included";
        report.add(Verdict::Note, "limits", hint);
    }
}

/// To another machine, without insisting on TLS.
fn plain_postgres(url: &Url) -> bool {
    let parameter = |names: &[&str]| {
        let found = url.query_pairs().filter(|(name, _)| names.contains(&name.as_ref()));
        found.last().map(|(_, value)| value.into_owned())
    };
    // The driver takes these over the host of the URL; a path is a socket of this machine.
    let local = match parameter(&["host", "hostaddr"]) {
        Some(host) => host.starts_with('/') || is_loopback(&host),
        None => url.host_str().is_some_and(|host| host.starts_with("%2F") || is_loopback(host)),
    };
    let mode = parameter(&["sslmode", "ssl-mode"]).unwrap_or_default();
    let insists = matches!(mode.as_str(), "require" | "verify-ca" | "verify-full");
    url.scheme().starts_with("postgres") && !local && !insists
}

fn plain_redis(url: &Url) -> bool {
    url.scheme() == "redis" && !url.host_str().is_some_and(is_loopback)
}

fn is_loopback(host: &str) -> bool {
    match Host::parse(host) {
        Ok(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Ok(Host::Ipv4(address)) => address.is_loopback(),
        Ok(Host::Ipv6(address)) => address.is_loopback(),
        Err(_) => false,
    }
}

/// Whether the hosted issuer publishes its keys.
async fn identity(settings: &Settings, report: &mut Report) {
    let Some(supabase) = &settings.api.supabase else {
        return report.add(Verdict::Good, "identity", "the local issuer (SUPABASE_URL is not set)");
    };
    let url = &supabase.url;
    if url.scheme() == "http" && !url.host_str().is_some_and(is_loopback) {
        let hint = "SUPABASE_URL is plain http: passwords travel unprotected";
        report.add(Verdict::Note, "identity", hint);
    }
    let keys = match Supabase::new(supabase) {
        Ok(supabase) => supabase.keys().await,
        Err(failure) => Err(failure.0),
    };
    match keys {
        Ok(0) if supabase.jwt_secret.is_none() => {
            let hint = "the project publishes no keys; set SUPABASE_JWT_SECRET";
            report.add(Verdict::Bad, "identity", hint);
        }
        Ok(keys) => report.add(Verdict::Good, "identity", format!("{url} answers, {keys} keys")),
        Err(why) => report.add(Verdict::Bad, "identity", format!("{url}: {why}")),
    }
}

/// Only whether something listens: a real call would cost money.
async fn provider(settings: &Settings, report: &mut Report) {
    let Some(decodo) = &settings.worker.decodo else {
        return report.add(Verdict::Good, "provider", "demo (DECODO_* is not set)");
    };
    let url = &decodo.base_url;
    if url.scheme() == "http" && !url.host_str().is_some_and(is_loopback) {
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

/// Whether files can be kept, and pictures decoded.
async fn files(settings: &Settings, report: &mut Report) {
    let common = &settings.common;
    // A folder that is not there yet is made by whoever needs it.
    let made = common.storage.is_shared() || common.data_dir.exists();
    match common.open_storage() {
        _ if !made => report.add(Verdict::Note, "storage", "not made yet; farm up makes it"),
        Err(failure) => report.add(Verdict::Bad, "storage", failure.0),
        Ok(storage) => match storage.put_placeholders().await {
            Ok(()) => report.add(Verdict::Good, "storage", storage.to_string()),
            Err(error) => report.add(Verdict::Bad, "storage", error.to_string()),
        },
    }
    if !common.is_demo() && !common.storage.is_shared() {
        let hint = "a folder of this machine: every api and worker must see the same one; \
             STORAGE_URL=s3://… is seen by all";
        report.add(Verdict::Note, "storage", hint);
    }
    match (settings.worker.thumbnails, Codecs::beside_us()) {
        (false, _) => report.add(Verdict::Note, "pictures", "off (ENABLE_THUMBNAILS)"),
        (true, Some(program)) => {
            report.add(Verdict::Good, "pictures", program.display().to_string());
        }
        (true, None) => {
            let hint = "the program codec is not beside this one; make build makes both";
            report.add(Verdict::Bad, "pictures", hint);
        }
    }
}

#[cfg(test)]
mod tests {
    use entity::args;
    use jobs::process::Env;

    use super::*;
    use crate::commands::story::Farm;

    fn with(vars: &[(&str, &str)]) -> Settings {
        let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Settings::read(&Env::of(vars).unwrap()).unwrap()
    }

    #[test]
    fn what_is_not_protected_on_its_way_is_noted() {
        for (database, noted) in [
            ("postgres://u:p@db.example.test/farm", true),
            ("postgresql://u:p@10.0.0.7/farm?sslmode=prefer", true),
            ("postgres://u:p@10.0.0.7/farm?sslmode=disable", true),
            ("postgres://u:p@db.example.test/farm?sslmode=require", false),
            ("postgres://u:p@db.example.test/farm?sslmode=verify-full&pgbouncer=true", false),
            ("postgres://u:p@localhost/farm", false),
            ("postgres://u:p@127.0.0.9:5433/farm", false),
            ("postgres://u:p@[::1]/farm", false),
            ("postgres://u:p@%2Frun%2Fpostgresql/farm", false),
            ("postgres://u:p@localhost/farm?host=/run/postgresql", false),
            ("postgres://u:p@localhost/farm?host=db.example.test", true),
        ] {
            let mut report = Report::default();
            unprotected(&with(&[("DATABASE_URL", database)]), &mut report);
            assert_eq!(!report.lines.is_empty(), noted, "{database}: {:?}", report.lines);
        }
        for (redis, noted) in [
            ("redis://:hush@cache.example.test:6379/0", true),
            ("rediss://:hush@cache.example.test:6379/0", false),
            ("redis://localhost:6379", false),
            ("redis://[::1]:6379", false),
            ("redis://localhost.example.test:6379", true),
        ] {
            let mut report = Report::default();
            let settings =
                with(&[("DATABASE_URL", "postgres://localhost/x"), ("REDIS_URL", redis)]);
            unprotected(&settings, &mut report);
            assert_eq!(!report.lines.is_empty(), noted, "{redis}");
            let told = told(&report, true);
            assert!(!told.contains("hush") && !told.contains("fail"), "{told}");
        }
    }

    #[test]
    fn limits_that_are_off_are_noted() {
        for (vars, noted) in [(&[][..], ""), (&[("FARM_RATE_LIMITS", "off")], "note  limits")] {
            let mut report = Report::default();
            unlimited(&with(vars), &mut report);
            let told = told(&report, false);
            assert!(told.starts_with(noted) && told.is_empty() == noted.is_empty(), "{told}");
        }
    }

    #[tokio::test]
    async fn a_redis_that_is_away_is_a_failure() {
        let mut report = Report::default();
        redis(&with(&[]), &mut report).await;
        assert_eq!(told(&report, false), "", "none is needed on one machine");
        // A port that was free a moment ago.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("redis://:hush@127.0.0.1:{port}");
        let settings = with(&[("DATABASE_URL", "postgres://localhost/x"), ("REDIS_URL", &url)]);
        redis(&settings, &mut report).await;
        assert_eq!(report.lines[0].0, Verdict::Bad);
        let told = told(&report, false);
        assert!(told.contains("see REDIS_URL") && !told.contains("hush"), "{told}");
    }

    #[tokio::test]
    async fn an_issuer_that_is_away_is_a_failure_and_its_key_is_not_told() {
        let mut report = Report::default();
        identity(&with(&[]), &mut report).await;
        assert!(told(&report, false).contains("ok    identity    the local issuer"));
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("http://127.0.0.1:{port}");
        let mut report = Report::default();
        let settings = with(&[("SUPABASE_URL", &url), ("SUPABASE_ANON_KEY", "hush")]);
        identity(&settings, &mut report).await;
        assert_eq!(report.lines[0].0, Verdict::Bad);
        let told = told(&report, false);
        assert!(told.contains(&url) && !told.contains("hush"), "{told}");
    }

    #[tokio::test]
    async fn what_is_paused_is_noted() {
        let farm = Farm::new().await;
        let entry = "INSERT INTO schedules (name, paused, paused_at, paused_by) \
                     VALUES (?, TRUE, {now}, 'ann')";
        farm.set(entry, args!["prune"]).await;
        queue_control::pause(farm.state.db().write(), "ai", "ben", "").await.unwrap();
        let mut report = Report::default();
        database(farm.state.db(), &mut report).await;
        let told = told(&report, false);
        assert!(told.contains("note  schedules   prune is paused by ann since 20"), "{told}");
        assert!(told.contains("note  queues      ai is paused by ben"), "{told}");
        assert!(told.contains("ok    integrity"), "{told}");
    }
}
