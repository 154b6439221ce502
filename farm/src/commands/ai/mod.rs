//! `farm ai`: how good analyses are, and having better ones made.

mod analyzer;
mod cases;
mod eval;
mod report;
#[cfg(test)]
mod tests;
mod upgrade;

use clap::Subcommand;
use jobs::process::{Failure, Settings as Common};

use super::out;
use crate::config::Settings;
use crate::machine;

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Analyse captions with known answers, and say how often a tier finds them.
    Eval(eval::Eval),
    /// Have the posts analysed again that a lower tier has analysed, and those that none has.
    Upgrade(upgrade::Upgrade),
}

pub(crate) async fn run(settings: &Settings, action: Action) -> Result<(), Failure> {
    match action {
        Action::Eval(asked) => {
            let store = settings.worker.models(&settings.common.data_dir)?;
            out::print(&eval::run(&store, &asked).await?)
        }
        Action::Upgrade(asked) => {
            let db = machine::open_existing(settings).await?;
            let jobs = Common::jobs(db, settings.common.redis()?.as_ref());
            out::print(&upgrade::run(&jobs, &asked).await?)
        }
    }
}
