//! Note how many pictures there are and how many jobs wait, once an hour.

use serde::{Deserialize, Serialize};

use crate::catalog::Kind;
use crate::policy::{End, Job, Policy, UPKEEP};

/// One look at the pictures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CdnStats {}

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CdnCounted {
    /// Pictures there are.
    pub assets: i64,
    /// Of them on the CDN.
    pub completed: i64,
    /// Of them not to be had.
    pub failed: i64,
    /// Jobs that wait.
    pub waiting: i64,
}

impl Job for CdnStats {
    const KIND: Kind = Kind::CdnStats;
    const POLICY: Policy = Policy { end: End::Committed, ..UPKEEP };
    type Output = CdnCounted;

    fn key(&self) -> Option<String> {
        // Two at once would be in each other's way.
        Some("cdn_stats".to_owned())
    }
}
