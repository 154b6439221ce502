//! `farm up`: everything in one process.

use jobs::process::{End, Failure, drained, until_stopped};

use super::out;
use crate::config::Settings;
use crate::machine::Machine;
use crate::seed::{DEMO_PASSWORD, DEMO_USERS};

/// Runs until told to stop, or until the process must be replaced.
pub(crate) async fn run(settings: &Settings, workers: usize) -> Result<End, Failure> {
    let machine = Machine::start(settings, workers).await?;
    greet(settings, &machine);
    let end = until_stopped(machine.stuck()).await?;
    drained(end, machine.shutdown()).await
}

/// One write, so that no log line gets in between.
fn greet(settings: &Settings, machine: &Machine) {
    let at = format!("http://{}", machine.http);
    let mut lines = vec![
        "farm is up.".to_owned(),
        format!("  docs      {at}/docs"),
        format!("  data      {}", settings.common.data_dir.display()),
    ];
    if let Some(demo) = &machine.demo {
        lines.push(format!("  provider  demo, {}", demo.base_url()));
    }
    if settings.common.is_demo() {
        let users: Vec<&str> = DEMO_USERS.iter().map(|(email, ..)| *email).collect();
        lines.push(format!("  sign in   {} (password {DEMO_PASSWORD})", users.join(", ")));
        lines.push(format!("  token     farm token --email {}", DEMO_USERS[0].0));
        lines.push(String::new());
        lines.push("Fetch a profile and follow its job:".to_owned());
        lines.push(format!("  {}", curl_line(&at, DEMO_USERS[0].0, DEMO_PASSWORD)));
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
