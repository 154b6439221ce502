//! Remove thumbnails that no picture shows any more, and files nobody knows of.

use serde::{Deserialize, Serialize};

use crate::catalog::Kind;
use crate::policy::{End, Job, Policy, UPKEEP};

/// Objects younger than this are left alone: their rows may still be on their way. 24 h.
pub const GRACE_MS: i64 = 24 * 3_600_000;
/// Objects removed in one pass, at most; what is left is the next one's.
pub const BUDGET: usize = 5_000;

/// One pass over the storage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CdnCleanup {}

/// What a pass removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CdnCleaned {
    /// Thumbnails that were replaced.
    pub replaced: u64,
    /// Files without a row.
    pub strays: u64,
}

impl Job for CdnCleanup {
    const KIND: Kind = Kind::CdnCleanup;
    const POLICY: Policy = Policy { end: End::Committed, ..UPKEEP };
    type Output = CdnCleaned;

    fn key(&self) -> Option<String> {
        // Two at once would be in each other's way.
        Some("cdn_cleanup".to_owned())
    }
}
