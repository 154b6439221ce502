//! The analyzers of this machine.

use jobs::process::Failure;
use models::engine::Progress;
use models::store::Store;
use models::{Analyzer, Tier, load};

/// The analyzer of a tier whose models are here; of no other tier.
pub(super) fn analyzer_for(tier: Tier, store: &Store) -> Result<Box<dyn Analyzer>, Failure> {
    load::analyzer(store, tier, &Progress::default())
        .map_err(Failure::during(format!("the {tier} tier cannot be loaded")))
}
