//! Begin the months of wallets that have come, and take the credits whose time is over.

use serde::{Deserialize, Serialize};

use crate::catalog::Kind;
use crate::policy::{End, Job, Policy, UPKEEP};

/// One scan of all wallets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditReset {}

/// What a scan came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditsReset {
    /// Wallets that were due.
    pub wallets: u64,
    /// Months that began.
    pub months: u64,
    /// Credits that packages gave.
    pub granted: i64,
    /// Credits whose time was over.
    pub expired: i64,
}

impl Job for CreditReset {
    const KIND: Kind = Kind::CreditReset;
    // People wait for their credits: not only until the next tick.
    const POLICY: Policy = Policy { max_attempts: 10, end: End::Committed, ..UPKEEP };
    type Output = CreditsReset;

    fn key(&self) -> Option<String> {
        // Two at once would only wait for each other.
        Some("credit_reset".to_owned())
    }
}
