//! Try failed pictures again.

use serde::{Deserialize, Serialize};

use crate::catalog::Kind;
use crate::policy::{End, Job, Policy, UPKEEP};

/// Pictures of one job, at most, those that failed longest ago first.
pub const BUDGET: u32 = 1_000;

/// One go at all failed pictures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CdnRetry {}

/// What was started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CdnRetried {
    /// Pictures that are tried again.
    pub assets: u32,
    /// Jobs that do it; the job ends with the last of them.
    pub jobs: u32,
}

impl Job for CdnRetry {
    const KIND: Kind = Kind::CdnRetry;
    const POLICY: Policy = Policy { end: End::Committed, ..UPKEEP };
    type Output = CdnRetried;

    fn key(&self) -> Option<String> {
        // Two at once would be in each other's way.
        Some("cdn_retry".to_owned())
    }
}
