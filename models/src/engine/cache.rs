//! Answers already computed, by content and by who answered: equal captions are computed once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::request::Content;
use crate::analysis::{self, Analysis, ModelId};

/// Who answers, as one hash; another version of the answers' meaning is somebody else.
pub(super) type Maker = [u8; 32];

/// The hash of these models.
pub(super) fn maker(models: &[ModelId]) -> Maker {
    let mut hash = Sha256::new();
    let words = models.iter().flat_map(|model| [model.name.as_str(), model.hash.as_str()]);
    for word in std::iter::once(analysis::VERSION).chain(words) {
        hash.update((word.len() as u64).to_le_bytes());
        hash.update(word);
    }
    hash.finalize().into()
}

#[derive(Clone)]
struct Kept {
    at: Duration,
    answer: Arc<Analysis>,
}

/// Bytes an answer takes, about.
#[derive(Clone)]
struct Bytes;

impl Weighter<(Content, Maker), Kept> for Bytes {
    fn weight(&self, key: &(Content, Maker), kept: &Kept) -> u64 {
        let answer = &kept.answer;
        let names = answer.models.iter().map(|model| model.name.len() + model.hash.len());
        let bytes = size_of_val(key)
            + size_of::<Analysis>()
            + size_of_val(answer.category.scores.as_slice())
            + size_of_val(answer.sentiment.all.as_slice())
            + size_of_val(answer.models.as_slice())
            + names.sum::<usize>();
        bytes as u64
    }
}

/// An answer of three models with all their scores, about, in bytes.
const ANSWER_BYTES: u64 = 1_500;

pub(super) struct Answered {
    kept: Cache<(Content, Maker), Kept, Bytes>,
    keep_for: Duration,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// What the cache has done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CacheState {
    /// Captions answered from it.
    pub hits: u64,
    /// Captions it did not know.
    pub misses: u64,
    /// Answers in it.
    pub answers: u64,
    /// Bytes they take, about.
    pub bytes: u64,
}

impl Answered {
    pub(super) fn new(bytes: u64, keep_for: Duration) -> Self {
        let answers = (bytes / ANSWER_BYTES) as usize;
        Self {
            kept: Cache::with_weighter(answers, bytes, Bytes),
            keep_for,
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// The answer of the first of these who is known to have given one.
    pub(super) fn get(
        &self,
        now: Duration,
        content: Content,
        makers: impl IntoIterator<Item = Maker>,
    ) -> Option<Arc<Analysis>> {
        let fresh = |kept: &Kept| now.saturating_sub(kept.at) < self.keep_for;
        let mut known = makers.into_iter().filter_map(|maker| self.kept.get(&(content, maker)));
        known.find(fresh).map(|kept| kept.answer)
    }

    /// Counts an admitted request's captions.
    pub(super) fn count(&self, hits: usize, misses: usize) {
        self.hits.fetch_add(hits as u64, Ordering::Relaxed);
        self.misses.fetch_add(misses as u64, Ordering::Relaxed);
    }

    pub(super) fn put(&self, now: Duration, content: Content, maker: Maker, answer: &Analysis) {
        self.kept.insert((content, maker), Kept { at: now, answer: Arc::new(answer.clone()) });
    }

    pub(super) fn state(&self) -> CacheState {
        CacheState {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            answers: self.kept.len() as u64,
            bytes: self.kept.weight(),
        }
    }
}
