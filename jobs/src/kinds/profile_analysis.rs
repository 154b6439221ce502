//! Analyse the captions of a profile's stored posts, and what they say together.

use std::collections::BTreeMap;
use std::time::Duration;

use entity::enums::{AiTier, Priority, Queue};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::backoff::Backoff;
use crate::catalog::Kind;
use crate::policy::{End, Job, Policy};

/// An analysis of one profile's posts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileAnalysis {
    /// Whose posts.
    pub profile_id: Uuid,
    /// Leave posts alone that have an analysis which nothing better can replace.
    #[serde(default = "yes")]
    pub only_missing: bool,
    /// The least that has to answer; `None` = the best tier at hand.
    #[serde(default)]
    pub model_set: Option<AiTier>,
}

fn yes() -> bool {
    true
}

impl ProfileAnalysis {
    /// An analysis, by the best tier at hand, of the posts that are without one.
    pub fn missing(profile_id: Uuid) -> Self {
        Self { profile_id, only_missing: true, model_set: None }
    }

    /// The keys of every work on a profile's posts.
    pub fn keys(profile_id: Uuid) -> Vec<String> {
        let sets = AiTier::ALL.iter().copied().map(Some).chain([None]);
        let keys = sets.flat_map(|model_set| {
            [true, false].map(|only_missing| Self { profile_id, only_missing, model_set }.key())
        });
        keys.flatten().collect()
    }
}

/// What a finished analysis left behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileAnalyzed {
    /// The profile.
    pub profile_id: Uuid,
    /// Its handle.
    pub username: String,
    /// Posts stored.
    pub posts: u32,
    /// Of them, those with an analysis.
    pub analyzed: u32,
    /// Of those, how many by which tier.
    pub tiers: BTreeMap<String, u32>,
    /// Posts that could not be analysed; they stay without an analysis.
    pub failed: Vec<PostFailed>,
}

/// A post that could not be analysed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostFailed {
    /// Its code.
    pub shortcode: String,
    /// Why.
    pub reason: String,
}

impl Job for ProfileAnalysis {
    const KIND: Kind = Kind::ProfileAnalysis;
    const POLICY: Policy = Policy {
        queue: Queue::Ai,
        priority: Priority::Normal,
        max_attempts: 4,
        backoff: Backoff { first: Duration::from_secs(5), max: Duration::from_secs(60) },
        timeout: Duration::from_secs(600),
        stages: &["models", "posts", "aggregate"],
        end: End::Committed,
        payload_version: 1,
        price: None,
    };
    type Output = ProfileAnalyzed;

    fn key(&self) -> Option<String> {
        let set = self.model_set.map_or("best", AiTier::as_str);
        Some(format!("{}:missing={}:set={set}", self.profile_id, u8::from(self.only_missing)))
    }

    fn steps(&self) -> Option<i32> {
        // One for each post; how many there are is seen when it is asked for, or begins.
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_a_profile_are_those_of_every_work_on_it() {
        let id = Uuid::now_v7();
        let keys = ProfileAnalysis::keys(id);
        assert_eq!(keys.len(), 8);
        for model_set in [None, Some(AiTier::Full)] {
            let job = ProfileAnalysis { model_set, ..ProfileAnalysis::missing(id) };
            assert!(keys.contains(&job.key().unwrap()));
        }
    }
}
