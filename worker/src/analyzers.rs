//! Who analyses captions in this process: the engine, and where its analyzers come from.

use models::engine::{Engine, Loader, Settings};
use models::rules::RulesAnalyzer;
use models::{Tier, Wanted};

use crate::settings::AiSettings;

/// The best tier that [`loaders`] can bring.
pub const BEST: Tier = Tier::Rules;

/// The engine of a process whose workers analyse captions; `None` when they are told not to.
pub fn engine(settings: &AiSettings) -> Option<Engine> {
    let defaults = Settings::default();
    let how = Settings {
        threads: settings.threads.unwrap_or(defaults.threads),
        batch: settings.batch.unwrap_or(defaults.batch),
        ..defaults
    };
    settings.enabled.then(|| Engine::start(loaders(settings), how))
}

/// One loader for each tier that is wanted, or that stands in for one.
pub fn loaders(settings: &AiSettings) -> Vec<Loader> {
    let wanted = |tier| match settings.tier {
        Wanted::Auto => true,
        Wanted::Tier(most) => tier <= most,
    };
    let all = [Loader::new(Tier::Rules, |_| Ok(Box::new(RulesAnalyzer::new())))];
    all.into_iter().filter(|loader| wanted(loader.tier)).collect()
}
