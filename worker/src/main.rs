//! The worker alone: the role `farm worker`.

use std::process::ExitCode;

use clap::Parser;
use worker::process::WorkerArgs;

/// Worker of a farm; settings come from the environment (see README).
#[derive(Debug, Parser)]
#[command(name = "worker", version)]
struct Cli {
    #[command(flatten)]
    args: WorkerArgs,
}

fn main() -> ExitCode {
    if let Some(end) = models::isolated::child::main() {
        return end;
    }
    let args = Cli::parse().args;
    jobs::process::main("worker", |env, settings| worker::process::run(args, env, settings))
}
