//! Fetch a creator's profile and newest posts from the provider and store them.

use std::time::Duration;

use entity::enums::{Priority, Queue};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::backoff::Backoff;
use crate::catalog::Kind;
use crate::handle::Handle;
use crate::policy::{End, Job, Policy};

/// A stored profile younger than this is fresh: it is not fetched again unless forced. 24 h.
pub const FRESH_FOR: Duration = Duration::from_secs(24 * 3_600);

/// A fetch of one profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileFetch {
    /// Whose profile.
    pub username: Handle,
    /// Ask the provider although what is stored is fresh.
    #[serde(default)]
    pub force_refresh: bool,
    /// Store posts too.
    #[serde(default = "yes")]
    pub include_posts: bool,
    /// How far related profiles are followed; 0 = not at all.
    #[serde(default)]
    pub depth: u8,
}

fn yes() -> bool {
    true
}

impl ProfileFetch {
    /// A fetch of the profile with its posts, unless what is stored is fresh.
    pub fn of(username: Handle) -> Self {
        Self { username, force_refresh: false, include_posts: true, depth: 0 }
    }
}

/// What a finished fetch left behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileFetched {
    /// The stored profile.
    pub profile_id: Uuid,
    /// Its handle now (the provider may know it renamed).
    pub username: String,
    /// `fetched`, or `fresh` when what was stored was young enough.
    pub source: FetchSource,
    /// Posts stored or brought up to date.
    pub posts_stored: u32,
    /// `private` when the account hides its posts.
    pub outcome: FetchedAs,
}

/// What kind of profile was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FetchedAs {
    /// A public account.
    Ok,
    /// The account hides its posts; the profile is stored without any.
    Private,
}

/// Where the answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FetchSource {
    /// The provider was asked.
    Fetched,
    /// The stored profile was fresh.
    Fresh,
}

impl Job for ProfileFetch {
    const KIND: Kind = Kind::ProfileFetch;
    const POLICY: Policy = Policy {
        queue: Queue::Fetch,
        priority: Priority::Normal,
        max_attempts: 3,
        backoff: Backoff { first: Duration::from_secs(2), max: Duration::from_secs(120) },
        timeout: Duration::from_secs(60),
        stages: &["provider", "store", "followups"],
        end: End::Committed,
        payload_version: 1,
        price: None,
    };
    type Output = ProfileFetched;

    fn key(&self) -> Option<String> {
        Some(format!(
            "{}:force={}:posts={}:depth={}",
            self.username,
            u8::from(self.force_refresh),
            u8::from(self.include_posts),
            self.depth
        ))
    }

    fn handle(&self) -> Option<&str> {
        Some(self.username.as_str())
    }
}
