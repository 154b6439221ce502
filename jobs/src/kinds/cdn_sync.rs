//! Bring the pictures of stored profiles to the CDN.

use serde::{Deserialize, Serialize};

use crate::catalog::Kind;
use crate::policy::{End, Job, Policy, UPKEEP};

/// Profiles of one job, at most; those fetched most recently first.
pub const BUDGET: u32 = 1_000;

/// One go at all stored profiles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CdnSync {}

/// What was started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CdnSynced {
    /// Profiles with pictures that are not on the CDN.
    pub profiles: u32,
    /// Such pictures.
    pub assets: u32,
    /// Jobs that bring them; the job ends with the last of them.
    pub jobs: u32,
}

impl Job for CdnSync {
    const KIND: Kind = Kind::CdnSync;
    const POLICY: Policy = Policy { end: End::Committed, ..UPKEEP };
    type Output = CdnSynced;

    fn key(&self) -> Option<String> {
        // Two at once would be in each other's way.
        Some("cdn_sync".to_owned())
    }
}
