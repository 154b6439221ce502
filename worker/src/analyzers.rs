//! Who analyses captions in this process: the engine, and where its analyzers come from.

use jobs::process::Failure;
use models::engine::{Engine, Loader, Settings as EngineSettings};
use models::isolated::Limits;
use models::store::Store;
use models::{Tier, Wanted, load};

use crate::settings::{AiSettings, WorkerSettings};

/// The engine of a process whose workers analyse captions; `None` when they are told not to.
///
/// # Errors
/// When an operator's registry of models cannot be read or breaks a rule.
pub fn engine(
    settings: &WorkerSettings,
    data_dir: &std::path::Path,
) -> Result<Option<Engine>, Failure> {
    let store = settings.models(data_dir)?;
    let ai = &settings.ai;
    let defaults = EngineSettings::default();
    let how = EngineSettings {
        threads: ai.threads.unwrap_or(defaults.threads),
        batch: ai.batch.unwrap_or(defaults.batch),
        ..defaults
    };
    Ok(ai.enabled.then(|| Engine::start(loaders(ai, &store, &how), how)))
}

/// One loader for each tier that is wanted, or that stands in for one. Left to us (`auto`), a tier
/// is wanted when its models are on this machine; one that was asked for is missed aloud.
pub fn loaders(settings: &AiSettings, store: &Store, how: &EngineSettings) -> Vec<Loader> {
    let wanted = |tier: &Tier| match settings.tier {
        Wanted::Auto => *tier <= load::BEST && store.present(*tier),
        Wanted::Tier(most) => *tier <= most,
    };
    let tiers = [Tier::Rules, Tier::Lite, Tier::Full];
    let loader = |tier| {
        if settings.isolated {
            let registry = settings.models_file.clone();
            return load::isolated(store, registry, tier, Limits::within(how));
        }
        load::loader(store, tier)
    };
    tiers.into_iter().filter(wanted).map(loader).collect()
}
