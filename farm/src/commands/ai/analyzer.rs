//! The analyzers of this machine.

use jobs::process::Failure;
use models::rules::RulesAnalyzer;
use models::store::Store;
use models::{Analyzer, Tier};

/// The analyzer of a tier whose models are here; of no other tier.
pub(super) fn analyzer_for(tier: Tier, store: &Store) -> Result<Box<dyn Analyzer>, Failure> {
    for model in store.models(tier) {
        store.check(model).map_err(|error| {
            Failure::new(format!("{error}; farm models pull {tier} fetches the {tier} models"))
        })?;
    }
    match tier {
        Tier::Rules => Ok(Box::new(RulesAnalyzer::new())),
        Tier::Lite | Tier::Full => {
            Err(Failure::new(format!("this build has no analyzer of the {tier} tier")))
        }
    }
}
