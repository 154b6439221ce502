//! Bring pictures of a creator to the CDN: fetch each from where the provider says it is, make the
//! thumbnails, store them and read them back.

use std::time::Duration;

use entity::enums::{Priority, Queue};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::backoff::Backoff;
use crate::catalog::Kind;
use crate::hex;
use crate::policy::{End, Job, Policy};

/// Pictures of one job, at most.
pub const MAX_ASSETS: usize = 24;

/// An ingest of a creator's pictures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageIngest {
    /// Whose pictures.
    pub profile_id: Uuid,
    /// Which; at most [`MAX_ASSETS`].
    pub assets: Vec<Uuid>,
    /// Look again at those that are stored: whether the source has changed.
    #[serde(default)]
    pub recheck: bool,
}

impl ImageIngest {
    /// An ingest of what is to be stored of these.
    pub fn of(profile_id: Uuid, assets: Vec<Uuid>) -> Self {
        Self { profile_id, assets, recheck: false }
    }
}

/// What an ingest came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImagesIngested {
    /// Pictures whose thumbnails were stored.
    pub stored: u32,
    /// Pictures that are what they were.
    pub unchanged: u32,
    /// Pictures that cannot be had.
    pub failed: Vec<ImageFailure>,
    /// Pictures whose address has expired; the profile is fetched again for them.
    pub refetched: u32,
}

/// A picture that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFailure {
    /// `avatar`, or the post's shortcode.
    pub media_id: String,
    /// Word.
    pub code: String,
    /// Sentence.
    pub message: String,
}

impl Job for ImageIngest {
    const KIND: Kind = Kind::ImageIngest;
    const POLICY: Policy = Policy {
        queue: Queue::Media,
        priority: Priority::Normal,
        max_attempts: 3,
        backoff: Backoff { first: Duration::from_secs(5), max: Duration::from_secs(60) },
        timeout: Duration::from_secs(300),
        stages: &["download", "encode", "store"],
        end: End::Committed,
        payload_version: 1,
        price: None,
    };
    type Output = ImagesIngested;

    fn key(&self) -> Option<String> {
        let mut ids = self.assets.clone();
        ids.sort_unstable();
        let mut hash = Sha256::new();
        for id in &ids {
            hash.update(id.as_bytes());
        }
        // The profile leads, so that what is open for it can be found.
        let recheck = if self.recheck { ":recheck" } else { "" };
        Some(format!("{}:{}{recheck}", self.profile_id, hex(&hash.finalize()[..16])))
    }

    fn steps(&self) -> Option<i32> {
        Some(self.assets.len() as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_of_the_set_of_pictures() {
        let (profile, a, b) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
        let key = |assets: Vec<Uuid>| ImageIngest::of(profile, assets).key().unwrap();
        assert_eq!(key(vec![a, b]), key(vec![b, a]));
        assert_ne!(key(vec![a]), key(vec![a, b]));
        let recheck = ImageIngest { recheck: true, ..ImageIngest::of(profile, vec![a, b]) };
        assert_ne!(recheck.key().unwrap(), key(vec![a, b]));
        assert!(key(vec![a]).starts_with(&profile.to_string()));
    }
}
