//! `farm ai`: how good analyses are.

mod analyzer;
mod cases;
mod eval;
mod report;
#[cfg(test)]
mod tests;

use clap::Subcommand;
use jobs::process::Failure;

use super::out;
use crate::config::Settings;

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Analyse captions with known answers, and say how often a tier finds them.
    Eval(eval::Eval),
}

pub(crate) async fn run(settings: &Settings, action: Action) -> Result<(), Failure> {
    match action {
        Action::Eval(asked) => {
            let store = settings.worker.models(&settings.common.data_dir)?;
            out::print(&eval::run(&store, &asked).await?)
        }
    }
}
