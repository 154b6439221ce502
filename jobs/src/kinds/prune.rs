//! Delete what has had its time: finished jobs, expired results and keys, workers long gone.

use std::time::Duration;

use entity::enums::{Priority, Queue};
use serde::{Deserialize, Serialize};

use crate::backoff::Backoff;
use crate::catalog::Kind;
use crate::policy::{End, Job, Policy};

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
    const POLICY: Policy = Policy {
        queue: Queue::Upkeep,
        priority: Priority::Bulk,
        max_attempts: 2,
        backoff: Backoff { first: Duration::from_secs(5), max: Duration::from_secs(60) },
        timeout: Duration::from_secs(15 * 60),
        stages: &[],
        end: End::Batched,
        payload_version: 1,
        price: None,
    };
    type Output = Pruned;

    fn key(&self) -> Option<String> {
        // Two passes at once would only be in each other's way.
        Some("prune".to_owned())
    }
}
