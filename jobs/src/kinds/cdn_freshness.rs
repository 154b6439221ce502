//! Look again at pictures that were not looked at for a week, and take up those that were left
//! waiting.

use serde::{Deserialize, Serialize};

use crate::catalog::Kind;
use crate::policy::{End, Job, Policy, UPKEEP};

/// A picture is looked at again after so long: 7 days.
pub const CHECKED_MS: i64 = 7 * 24 * 3_600_000;
/// One that waits for so long was left behind: 1 h.
pub const WAITING_MS: i64 = 3_600_000;
/// Attempts after which one that is left behind again is given up.
pub const ATTEMPTS: i32 = 9;
/// Pictures of one pass, at most; what is left is the next one's.
pub const BUDGET: u32 = 2_000;

/// One pass over the pictures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CdnFreshness {}

/// What a pass came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CdnFreshened {
    /// Pictures that are looked at again.
    pub unchecked: u32,
    /// Pictures that were left waiting.
    pub waiting: u32,
    /// Pictures that were tried often enough.
    pub given_up: u32,
    /// Jobs that were started; others were open already.
    pub started: u32,
}

impl Job for CdnFreshness {
    const KIND: Kind = Kind::CdnFreshness;
    const POLICY: Policy = Policy { end: End::Committed, ..UPKEEP };
    type Output = CdnFreshened;

    fn key(&self) -> Option<String> {
        // Two at once would be in each other's way.
        Some("cdn_freshness".to_owned())
    }
}
