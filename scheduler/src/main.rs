//! The scheduler alone: the role `farm scheduler` without anything that other roles link.

use std::process::ExitCode;

use clap::Parser;

/// Scheduler and upkeep of a farm; settings come from the environment (see README).
#[derive(Debug, Parser)]
#[command(name = "scheduler", version)]
struct Args {}

fn main() -> ExitCode {
    Args::parse();
    jobs::process::main("scheduler", scheduler::process::run)
}
