//! Compare what the rows say with what lies in the storage, and have what is missing made again.

use serde::{Deserialize, Serialize};

use crate::catalog::Kind;
use crate::policy::{End, Job, Policy, UPKEEP};

/// Pictures that are made again after one pass, at most; what is left is the next one's.
pub const BUDGET: usize = 2_000;

/// One comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CdnDrift {}

/// What a comparison came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CdnDrifted {
    /// Pictures that were compared.
    pub checked: u64,
    /// Pictures of which a thumbnail is gone, or is of another size.
    pub missing: u64,
    /// Jobs that were started; others were open already.
    pub started: u32,
}

impl Job for CdnDrift {
    const KIND: Kind = Kind::CdnDrift;
    const POLICY: Policy = Policy { end: End::Committed, ..UPKEEP };
    type Output = CdnDrifted;

    fn key(&self) -> Option<String> {
        // Two at once would be in each other's way.
        Some("cdn_drift".to_owned())
    }
}
