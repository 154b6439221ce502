//! `farm up`: everything in one process.

use std::os::unix::process::CommandExt;

use crate::commands::told_to_stop;
use crate::config::Settings;
use crate::failure::Failure;
use crate::machine::Machine;
use crate::seed::{DEMO_PASSWORD, DEMO_USERS};

/// Runs until told to stop; true when the process must be replaced.
pub(crate) async fn run(settings: &Settings, workers: usize) -> Result<bool, Failure> {
    let machine = Machine::start(settings, workers).await?;
    greet(settings, &machine);
    let again = tokio::select! {
        stopped = told_to_stop() => {
            stopped?;
            eprintln!("farm: stopping; running jobs have 25 s to finish, the rest goes back");
            false
        }
        () = machine.stuck() => {
            tracing::error!("a job cannot be stopped; draining and starting afresh");
            true
        }
    };
    // A second signal ends the process at once: what it ran is rescued when it is back.
    let done = tokio::select! {
        () = machine.shutdown() => true,
        stopped = told_to_stop() => { stopped?; false }
    };
    if !done {
        return Err(Failure::new("stopped without draining; running jobs will be rescued"));
    }
    Ok(again)
}

/// Starts this program anew in place of itself, with the same arguments.
#[allow(clippy::disallowed_methods)]
pub(crate) fn replace_process() -> Result<(), Failure> {
    let program =
        std::env::current_exe().map_err(Failure::during("the program cannot be found"))?;
    let error = std::process::Command::new(program).args(std::env::args_os().skip(1)).exec();
    Err(Failure::new(format!("the process could not be replaced: {error}")))
}

fn greet(settings: &Settings, machine: &Machine) {
    let at = format!("http://{}", machine.http);
    println!("farm is up.");
    println!("  docs      {at}/docs");
    println!("  data      {}", settings.data_dir.display());
    if let Some(demo) = &machine.demo {
        println!("  provider  demo, {}", demo.base_url());
    }
    if settings.is_demo() {
        let users: Vec<&str> = DEMO_USERS.iter().map(|(email, ..)| *email).collect();
        println!("  sign in   {} (password {DEMO_PASSWORD})", users.join(", "));
    }
    println!("  token     farm token --email {}", DEMO_USERS[0].0);
    println!();
    println!("Fetch a profile and follow its job:");
    println!("  {}", curl_line(&at));
    println!();
    println!("Ctrl-C drains and stops.");
}

/// One line for a shell with nothing but curl: signs in, starts the fetch, waits for its end,
/// reads the stored profile.
fn curl_line(at: &str) -> String {
    let email = DEMO_USERS[0].0;
    let field = |name: &str| format!("grep -o '\"{name}\":\"[^\"]*' | head -1 | cut -d'\"' -f4");
    format!(
        "T=$(curl -s {at}/api/v1/auth/login -H 'Content-Type: application/json' \
         -d '{{\"email\":\"{email}\",\"password\":\"{DEMO_PASSWORD}\"}}' | {token}); \
         J=$(curl -s -X POST {at}/api/v1/instagram/profile/demo_travel/refresh \
         -H \"Authorization: Bearer $T\" | {id}); \
         for i in 1 2 3 4 5 6; do curl -s {at}/api/v1/jobs/$J -H \"Authorization: Bearer $T\" \
         -H 'Prefer: wait=10' | tee /dev/stderr | grep -q '\"done\":true' && break; done; echo; \
         curl -s {at}/api/profile/demo_travel -H \"Authorization: Bearer $T\"",
        token = field("access_token"),
        id = field("id"),
    )
}
