//! Find profiles whose analysis is not what it should be, and have it done: posts that are without
//! one or have one of a lower tier than what answers now, and aggregates older than their posts.
//! It also adds up the credits of all wallets.

use serde::{Deserialize, Serialize};

use crate::catalog::Kind;
use crate::policy::{End, Job, Policy, UPKEEP};

/// Profiles of one scan, at most; what is left is the next one's.
pub const BUDGET: u64 = 500;

/// One scan over all profiles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsistencyScan {}

/// What a scan came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsistencyScanned {
    /// Profiles that were found.
    pub profiles: u32,
    /// Analyses that were started; the others were open already.
    pub started: u32,
    /// Credits by which wallets differ from what was booked on them: 0, unless something is broken.
    #[serde(default)]
    pub ledger_drift_credits: i64,
}

impl Job for ConsistencyScan {
    const KIND: Kind = Kind::ConsistencyScan;
    const POLICY: Policy = Policy { end: End::Committed, ..UPKEEP };
    type Output = ConsistencyScanned;

    fn key(&self) -> Option<String> {
        // Two at once would find the same.
        Some("consistency_scan".to_owned())
    }
}
