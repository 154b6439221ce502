//! Analyse single captions: of stored posts, or sent along.

use std::time::Duration;

use entity::enums::{Action, Priority, Queue};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::backoff::Backoff;
use crate::catalog::Kind;
use crate::hex;
use crate::policy::{End, Job, Policy};

/// Items of one job, at most.
pub const MAX_ITEMS: usize = 50;

/// An analysis of single captions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostAnalysis {
    /// Stored posts; what is found is stored with them, too.
    #[serde(default)]
    pub shortcodes: Vec<String>,
    /// Captions as they are.
    #[serde(default)]
    pub captions: Vec<String>,
}

/// What a finished analysis found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PostsAnalyzed {
    /// One for each item: the shortcodes first, then the captions, in the order of the request.
    pub items: Vec<ItemAnalyzed>,
    /// Items with an analysis.
    pub analyzed: u32,
    /// Items without one.
    pub failed: u32,
    /// Profiles in whose posts an answer was stored.
    #[serde(default)]
    pub profiles: Vec<Uuid>,
}

/// What was found about an item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ItemAnalyzed {
    /// The post; null for a caption that was sent along.
    pub shortcode: Option<String>,
    /// What was found; null when it could not be analysed.
    pub analysis: Option<CaptionAnalysis>,
    /// Why it could not be analysed, or why there was nothing to read.
    pub reason: Option<String>,
}

/// The analysis of a caption.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaptionAnalysis {
    /// What it is about.
    pub content_category: Option<String>,
    /// 0 to 1; null without a category.
    pub category_confidence: Option<f64>,
    /// negative, neutral, positive.
    pub sentiment: String,
    /// −1 to 1.
    pub sentiment_score: f64,
    /// 0 to 1.
    pub sentiment_confidence: f64,
    /// ISO 639-1, or und.
    pub language_code: String,
    /// 0 to 1.
    pub language_confidence: f64,
    /// 0 to 1: how much can be expected of whoever answered.
    pub analysis_quality: f64,
    /// Who answered: rules, lite, full.
    pub tier: String,
}

impl Job for PostAnalysis {
    const KIND: Kind = Kind::PostAnalysis;
    const POLICY: Policy = Policy {
        queue: Queue::Ai,
        priority: Priority::Normal,
        max_attempts: 4,
        backoff: Backoff { first: Duration::from_secs(5), max: Duration::from_secs(60) },
        timeout: Duration::from_secs(300),
        stages: &["models", "posts", "aggregate"],
        end: End::Committed,
        payload_version: 1,
        price: Some(Action::PostAnalytics),
    };
    type Output = PostsAnalyzed;

    fn key(&self) -> Option<String> {
        let mut hash = Sha256::new();
        for list in [&self.shortcodes, &self.captions] {
            hash.update((list.len() as u64).to_be_bytes());
            for item in list {
                // The length keeps ["ab", "c"] and ["a", "bc"] apart.
                hash.update((item.len() as u64).to_be_bytes());
                hash.update(item);
            }
        }
        Some(hex(&hash.finalize()))
    }

    fn steps(&self) -> Option<i32> {
        Some((self.shortcodes.len() + self.captions.len()) as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(shortcodes: &[&str], captions: &[&str]) -> String {
        let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        PostAnalysis { shortcodes: owned(shortcodes), captions: owned(captions) }.key().unwrap()
    }

    #[test]
    fn the_key_is_of_the_items_and_their_order() {
        assert_eq!(key(&["a"], &["b"]), key(&["a"], &["b"]));
        let all = [
            key(&["a"], &["b"]),
            key(&["a", "b"], &[]),
            key(&[], &["a", "b"]),
            key(&[], &["b", "a"]),
            key(&[], &["ab"]),
        ];
        for (n, one) in all.iter().enumerate() {
            assert!(all[n + 1..].iter().all(|other| other != one));
        }
    }
}
