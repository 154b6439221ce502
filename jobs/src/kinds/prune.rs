//! Delete what has had its time: finished jobs, expired results and keys, workers long gone.

use serde::{Deserialize, Serialize};

use crate::catalog::Kind;
use crate::policy::{Job, Policy, UPKEEP};

/// One pass of retention over all tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prune {}

/// What a pass came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pruned {
    /// Rows deleted or emptied.
    pub rows: u64,
}

impl Job for Prune {
    const KIND: Kind = Kind::Prune;
    const POLICY: Policy = UPKEEP;
    type Output = Pruned;

    fn key(&self) -> Option<String> {
        // Two passes at once would only be in each other's way.
        Some("prune".to_owned())
    }
}
