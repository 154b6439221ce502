//! Remove exports whose time is over.

use serde::{Deserialize, Serialize};

use crate::catalog::Kind;
use crate::policy::{End, Job, Policy, UPKEEP};

/// One sweep.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpirySweep {}

/// What a sweep removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swept {
    /// Files of exports.
    pub exports: u64,
}

impl Job for ExpirySweep {
    const KIND: Kind = Kind::ExpirySweep;
    const POLICY: Policy = Policy { end: End::Committed, ..UPKEEP };
    type Output = Swept;

    fn key(&self) -> Option<String> {
        // Two at once would be in each other's way.
        Some("expiry_sweep".to_owned())
    }
}
