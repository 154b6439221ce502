//! The front door alone: the role `farm api` without anything that other roles link.

use std::process::ExitCode;

use clap::Parser;

/// Front door of a farm; settings come from the environment (see README).
#[derive(Debug, Parser)]
#[command(name = "api", version)]
struct Args {}

fn main() -> ExitCode {
    Args::parse();
    jobs::process::main("api", api::process::run)
}
