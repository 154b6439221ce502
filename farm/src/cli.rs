//! The command line. Exit codes: 0 done, 1 failed (one sentence on standard error), 2 wrong usage.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use jobs::process::{self, End, Env, Failure};
use worker::process::WorkerArgs;

use crate::bench;
use crate::commands;
use crate::config::Settings;

/// A worker farm for creator analytics.
#[derive(Debug, Parser)]
#[command(name = "farm", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything on this machine: API, worker, scheduler, demo provider.
    Up(Up),
    /// Run a cluster on this machine: private Postgres and Redis, every role a process of its own.
    Cluster(Cluster),
    /// Role of a cluster: the front door.
    Api,
    /// Role of a cluster: run jobs.
    Worker(WorkerArgs),
    /// Role of a cluster: schedule, upkeep.
    Scheduler,
    /// Bring the database's tables up to date, back, or say where they are.
    Migrate {
        /// What to do.
        #[arg(value_enum, default_value = "up")]
        action: commands::migrate::Action,
    },
    /// Print an access token of an existing user.
    Token {
        /// Whose.
        #[arg(long)]
        email: String,
        /// How long it is good for, e.g. 90s, 30m, 1h.
        #[arg(long, default_value = "1h", value_parser = commands::token::parse_ttl)]
        ttl: i64,
    },
    /// Operators' accounts.
    Admin {
        #[command(subcommand)]
        action: Admin,
    },
    /// Look at jobs and act on them.
    Jobs {
        #[command(subcommand)]
        action: commands::jobs::Action,
    },
    /// Look at queues and stop or open them.
    Queues {
        #[command(subcommand)]
        action: commands::queues::Action,
    },
    /// Look at the schedule and act on its entries.
    Schedules {
        #[command(subcommand)]
        action: commands::schedules::Action,
    },
    /// Look after the ledger of credits.
    Credits {
        #[command(subcommand)]
        action: commands::credits::Action,
    },
    /// Watch queues and workers, drawn anew every second; q quits.
    Top(commands::top::Top),
    /// The models that analyse captions: list, fetch, check, prepare them.
    Models {
        #[command(subcommand)]
        action: commands::models::Action,
    },
    /// How captions are analysed.
    Ai {
        #[command(subcommand)]
        action: commands::ai::Action,
    },
    /// Check this installation and say what is wrong with it.
    Doctor {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Measure how fast this machine runs the farm.
    Bench {
        #[command(subcommand)]
        what: bench::Bench,
    },
    /// Run the demo provider alone.
    DemoProvider {
        /// Address to listen on; others than the default let other machines in.
        #[arg(long, default_value = "127.0.0.1")]
        host: IpAddr,
        /// Port.
        #[arg(long, default_value_t = crate::machine::DEMO_PORT)]
        port: u16,
        /// Folder of recorded answers, served as they are.
        #[arg(long)]
        recorded: Option<PathBuf>,
        /// Milliseconds before every answer.
        #[arg(long, default_value_t = 150)]
        latency_ms: u64,
    },
    /// Print the OpenAPI document.
    Openapi,
}

#[derive(Debug, Args)]
struct Up {
    /// Port of the API on 127.0.0.1.
    #[arg(long)]
    port: Option<u16>,
    /// Where everything is kept.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Workers in this process.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    workers: u8,
}

#[derive(Debug, Args)]
struct Cluster {
    /// Worker processes.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    workers: u8,
    /// Port of the API on 127.0.0.1; 0 takes a free one.
    #[arg(long)]
    port: Option<u16>,
    /// Milliseconds before every answer of the demo provider.
    #[arg(long, default_value_t = 150)]
    demo_latency_ms: u64,
}

#[derive(Debug, Subcommand)]
enum Admin {
    /// Make a user an admin, with a new account when there is none.
    Create {
        /// Address of the account.
        #[arg(long)]
        email: String,
        /// At least 8 characters; generated and printed when left out of a new account.
        #[arg(long)]
        password: Option<String>,
    },
}

/// Whether this is a command line of the farm, its own name first; nothing is run.
///
/// # Errors
/// What a person would be told.
pub fn check<'a>(line: impl IntoIterator<Item = &'a str>) -> Result<(), String> {
    Cli::try_parse_from(line).map(drop).map_err(|error| error.to_string())
}

/// Parses the command line and runs it.
pub fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Not eprintln, which panics when nobody reads it.
            let _ = writeln!(std::io::stderr(), "farm: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut command: Command) -> Result<(), Failure> {
    if matches!(command, Command::Openapi) {
        return commands::out::print(&api::openapi());
    }
    let env = Env::of_process()?;
    let common = process::Settings::read(&env)?;
    match command {
        Command::Api => return process::run(&common.clone(), api::process::run(env, common)),
        Command::Worker(args) => {
            return process::run(&common.clone(), worker::process::run(args, env, common));
        }
        Command::Scheduler => {
            return process::run(&common.clone(), scheduler::process::run(env, common));
        }
        _ => {}
    }
    let mut settings = Settings::read(&env)?;
    if let Command::Up(Up { port: Some(port), .. })
    | Command::Cluster(Cluster { port: Some(port), .. }) = &command
    {
        settings.api.http_addr = SocketAddr::new(settings.api.http_addr.ip(), *port);
    }
    if let Command::Up(Up { data_dir: Some(dir), .. }) = &command {
        settings.common.data_dir.clone_from(dir);
    }
    if let Command::Top(top) = &mut command {
        // What is no terminal, or one that only prints, cannot be drawn on.
        top.once |= matches!(env.text("TERM"), None | Some("dumb"));
    }
    let quiet = !matches!(command, Command::Up(_) | Command::DemoProvider { .. });
    if quiet && settings.common.rust_log.is_none() {
        // What `top` cannot read it says on its page; a log would be drawn over it.
        let level = if matches!(command, Command::Top(_)) { "off" } else { "error" };
        settings.common.rust_log = Some(level.to_owned());
    }
    process::run(&settings.common.clone(), dispatch(command, settings))
}

async fn dispatch(command: Command, settings: Settings) -> Result<End, Failure> {
    match command {
        Command::Up(up) => return commands::up::run(&settings, usize::from(up.workers)).await,
        Command::Cluster(cluster) => {
            commands::cluster::run(settings, cluster.workers, cluster.demo_latency_ms).await?;
        }
        Command::Migrate { action } => commands::migrate::run(&settings, action).await?,
        Command::Token { email, ttl } => commands::token::run(&settings, &email, ttl).await?,
        Command::Admin { action: Admin::Create { email, password } } => {
            commands::admin::create(&settings, &email, password).await?;
        }
        Command::Jobs { action } => commands::jobs::run(&settings, action).await?,
        Command::Queues { action } => commands::queues::run(&settings, action).await?,
        Command::Schedules { action } => commands::schedules::run(&settings, action).await?,
        Command::Credits { action } => commands::credits::run(&settings, action).await?,
        Command::Top(top) => commands::top::run(&settings, &top).await?,
        Command::Models { action } => commands::models::run(&settings, action).await?,
        Command::Ai { action } => commands::ai::run(&settings, action).await?,
        Command::Doctor { json } => commands::doctor::run(&settings, json).await?,
        Command::Bench { what } => bench::run(&settings, &what).await?,
        Command::DemoProvider { host, port, recorded, latency_ms } => {
            commands::demo_provider::run(host, port, recorded, latency_ms).await?;
        }
        // Run before the settings of all roles are read.
        Command::Api | Command::Worker(_) | Command::Scheduler | Command::Openapi => {}
    }
    Ok(End::Done)
}
