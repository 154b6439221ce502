//! `farm up`: everything in one process.

use std::os::unix::fs::symlink;
use std::path::Path;

use jobs::process::{End, Failure, MetricsServer, drained, until_stopped};
use models::load::BEST;
use models::store::Store;
use models::{Tier, Wanted};
use worker::settings::WorkerSettings;

use super::out;
use crate::config::Settings;
use crate::machine::Machine;
use crate::seed::{self, DEMO_PASSWORD, DEMO_USERS};

/// Runs until told to stop, or until the process must be replaced.
pub(crate) async fn run(settings: &Settings, workers: usize) -> Result<End, Failure> {
    // A registry of models that breaks a rule is told before anything is started.
    let models = settings.worker.models(&settings.common.data_dir)?;
    let metrics = settings.common.tell_metrics().await?;
    let machine = Machine::start(settings, workers).await?;
    link(models.cache(), &settings.common.data_dir.join("models"));
    greet(settings, &machine, &models, &metrics);
    let end = until_stopped(machine.stuck()).await?;
    drained(end, machine.shutdown()).await
}

/// One write, so that no log line gets in between.
fn greet(settings: &Settings, machine: &Machine, models: &Store, metrics: &MetricsServer) {
    let at = format!("http://{}", machine.http);
    let mut lines = vec![
        "farm is up.".to_owned(),
        format!("  docs      {at}/docs"),
        format!("  health    {at}/api/health, for Prometheus http://{}/metrics", metrics.addr),
        format!("  data      {}", settings.common.data_dir.display()),
    ];
    if let Some(demo) = &machine.demo {
        lines.push(format!("  provider  demo, {}", demo.base_url()));
    }
    lines.push(format!("  analysis  {}", analysis(&settings.worker, models.available(), BEST)));
    lines.push(format!("  pictures  {}", pictures(settings, machine, &at)));
    lines.push(format!("  identity  {}", identity(settings)));
    if seed::wanted(settings) {
        let users: Vec<&str> = DEMO_USERS.iter().map(|(email, ..)| *email).collect();
        lines.push(format!("  sign in   {} (password {DEMO_PASSWORD})", users.join(", ")));
        lines.push(format!("  token     farm token --email {}", DEMO_USERS[0].0));
        lines.push(String::new());
        lines.push("Fetch a profile and follow its job:".to_owned());
        lines.push(format!("  {}", curl_line(&at, DEMO_USERS[0].0, DEMO_PASSWORD)));
    } else if settings.api.supabase.is_some() {
        lines.push(format!("  sign in   POST {at}/api/v1/auth/login"));
        lines
            .push("  operator  farm admin create --email YOU, after your first sign-in".to_owned());
    } else {
        lines.push(
            "  token     farm admin create --email YOU, then farm token --email YOU".to_owned(),
        );
    }
    lines.push(String::new());
    lines.push("Ctrl-C drains and stops.".to_owned());
    // A farm that nobody listens to works all the same.
    let _ = out::print(&lines.join("\n"));
}

/// Lets people find the models beside the data. A link that cannot be made is not missed.
fn link(cache: &Path, at: &Path) {
    if cache != at && at.symlink_metadata().is_err() {
        let _ = std::path::absolute(cache).and_then(|cache| symlink(cache, at));
    }
}

/// Where it is known who somebody is.
fn identity(settings: &Settings) -> String {
    match &settings.api.supabase {
        None => "the local issuer (SUPABASE_URL is not set)".to_owned(),
        Some(supabase) => format!("Supabase, {}", supabase.url),
    }
}

/// Where pictures are to be seen, or why they are not.
fn pictures(settings: &Settings, machine: &Machine, at: &str) -> String {
    if machine.pictures {
        return format!("{at}/cdn, from {}", machine.storage);
    }
    if settings.worker.thumbnails {
        return "off: the program codec is not beside farm; make build".to_owned();
    }
    "off (ENABLE_THUMBNAILS)".to_owned()
}

/// By what captions are analysed, and what would make it better.
fn analysis(settings: &WorkerSettings, here: Tier, best: Tier) -> String {
    if !settings.ai.enabled {
        return "off (ENABLE_AI_ANALYSIS)".to_owned();
    }
    let most = match settings.ai.tier {
        Wanted::Auto => Tier::Full,
        Wanted::Tier(tier) => tier,
    };
    // Of models that nobody here asks there is nothing to say.
    let most = most.min(best);
    let used = most.min(here);
    let by = match used {
        Tier::Rules => "by rules",
        Tier::Lite => "by the lite models",
        Tier::Full => "by the full models",
    };
    match (used < most, most, here) {
        (false, ..) => by.to_owned(),
        (true, Tier::Full, Tier::Lite) => {
            format!("{by}; farm models pull full (about 3.2 GB) adds large ones")
        }
        _ => format!("{by}; farm models pull lite (91 MB) adds small models"),
    }
}

/// One line for a shell with nothing but curl: signs in, starts the fetch, waits for its end,
/// reads the stored profile.
pub(crate) fn curl_line(at: &str, email: &str, password: &str) -> String {
    let field = |name: &str| format!("grep -o '\"{name}\":\"[^\"]*' | head -1 | cut -d'\"' -f4");
    format!(
        "T=$(curl -s {at}/api/v1/auth/login -H 'Content-Type: application/json' \
         -d '{{\"email\":\"{email}\",\"password\":\"{password}\"}}' | {token}); \
         J=$(curl -s -X POST {at}/api/v1/instagram/profile/demo_travel/refresh \
         -H \"Authorization: Bearer $T\" | {id}); \
         for i in 1 2 3 4 5 6; do curl -s {at}/api/v1/jobs/$J -H \"Authorization: Bearer $T\" \
         -H 'Prefer: wait=10' | tee /dev/stderr | grep -q '\"done\":true' && break; done; echo; \
         curl -s {at}/api/profile/demo_travel -H \"Authorization: Bearer $T\"",
        token = field("access_token"),
        id = field("id"),
    )
}

#[cfg(test)]
mod tests {
    use jobs::process::Env;

    use super::*;

    #[test]
    fn the_greeting_says_who_knows_people_and_demo_users_are_for_the_local_issuer() {
        let read = |vars: &[(&str, &str)]| {
            let vars = vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            Settings::read(&Env::of(vars).unwrap()).unwrap()
        };
        let hosted = [("SUPABASE_URL", "https://p.supabase.co"), ("SUPABASE_ANON_KEY", "a")];
        let (local, hosted) = (read(&[]), read(&hosted));
        assert!(identity(&local).contains("local issuer") && seed::wanted(&local));
        assert_eq!(identity(&hosted), "Supabase, https://p.supabase.co/");
        assert!(!seed::wanted(&hosted));
    }

    #[test]
    fn the_greeting_says_by_what_captions_are_analysed() {
        for (vars, here, want) in [
            (&[][..], Tier::Rules, "by rules; farm models pull lite (91 MB) adds small models"),
            (&[], Tier::Lite, "by the lite models; farm models pull full (about 3.2 GB) adds"),
            (&[], Tier::Full, "by the full models"),
            (&[("AI_TIER", "rules")], Tier::Full, "by rules"),
            (&[("AI_TIER", "lite")], Tier::Full, "by the lite models"),
            (&[("AI_TIER", "lite")], Tier::Rules, "by rules; farm models pull lite"),
            (&[("ENABLE_AI_ANALYSIS", "false")], Tier::Full, "off (ENABLE_AI_ANALYSIS)"),
        ] {
            let vars = vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            let settings = WorkerSettings::read(&Env::of(vars).unwrap()).unwrap();
            let told = analysis(&settings, here, Tier::Full);
            assert!(told.starts_with(want), "{told}");
            assert_eq!(told.contains(';'), want.contains(';'), "{told}");
        }
    }
}
