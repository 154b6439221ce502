//! Fetch many profiles: one child per name, nothing else.

use std::time::Duration;

use entity::enums::{Priority, Queue};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::backoff::Backoff;
use crate::catalog::Kind;
use crate::handle::Handle;
use crate::policy::{End, Job, Policy};

/// A fetch of many profiles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkProfiles {
    /// Whose profiles, each once.
    pub usernames: Vec<Handle>,
    /// Ask the provider although what is stored is fresh.
    #[serde(default)]
    pub force_refresh: bool,
}

/// The children that were started or joined, in the order of the names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkProfilesStarted {
    /// One job per name.
    pub jobs: Vec<Uuid>,
}

impl Job for BulkProfiles {
    const KIND: Kind = Kind::BulkProfiles;
    const POLICY: Policy = Policy {
        queue: Queue::Fetch,
        priority: Priority::Normal,
        max_attempts: 1,
        backoff: Backoff { first: Duration::from_secs(1), max: Duration::from_secs(1) },
        timeout: Duration::from_secs(60),
        stages: &[],
        end: End::Committed,
        payload_version: 1,
        price: None,
    };
    type Output = BulkProfilesStarted;
}
