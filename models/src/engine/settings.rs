//! How the engine runs, and where its analyzers come from.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::breaker::BreakerPolicy;
use crate::analysis::Analyzer;
use crate::text::Prepared;
use crate::tier::Tier;

/// How the engine runs. The defaults are for the slowest tier on a small machine.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Inference threads, each with an analyzer of its own: `AI_MAX_WORKERS`. At least 1.
    pub threads: usize,
    /// How far each inference thread stands back for the others of the machine: what nice(1) adds,
    /// 0 to 19. People who wait for the API go before captions.
    pub nice: i32,
    /// Captions in a batch, at most: `AI_BATCH_SIZE`. At least 1.
    pub batch: usize,
    /// Tokens in a batch, at most, padding included. A caption that is longer runs alone.
    pub tokens: usize,
    /// Tokens of a caption, about: see [`estimate`].
    pub cost: fn(&Prepared) -> usize,
    /// How long the first caption of an idle engine waits for company.
    pub window: Duration,
    /// Captions that may wait. A request that would exceed it is refused, unless nothing waits.
    pub queue: usize,
    /// A batch may run this long, and `per_caption` for each of its captions, before its thread
    /// counts as hung.
    pub per_batch: Duration,
    /// See `per_batch`.
    pub per_caption: Duration,
    /// Loading may take this long before its thread counts as hung.
    pub per_load: Duration,
    /// With so many hung threads, which cannot be ended, the engine stops.
    pub hung: usize,
    /// When a tier that fails is left alone, and for how long.
    pub breaker: BreakerPolicy,
    /// Bytes of remembered answers, about.
    pub remembered: u64,
    /// How long an answer is remembered.
    pub remember_for: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            threads: 2,
            nice: 10,
            batch: 16,
            tokens: 16 * 128,
            cost: estimate,
            window: Duration::from_millis(20),
            queue: 8_192,
            per_batch: Duration::from_secs(30),
            per_caption: Duration::from_secs(10),
            per_load: Duration::from_mins(10),
            hung: 2,
            breaker: BreakerPolicy::default(),
            remembered: 32 << 20,
            remember_for: Duration::from_hours(7 * 24),
        }
    }
}

/// Tokens that are read of a text at most, special ones included.
const MOST_TOKENS: usize = 128;

/// Tokens of a text, about: four ASCII bytes or one other character each, and two special ones.
pub fn estimate(caption: &Prepared) -> usize {
    let ascii = caption.text.bytes().filter(u8::is_ascii).count();
    let others = caption.text.chars().count() - ascii;
    (ascii.div_ceil(4) + others + 2).min(MOST_TOKENS)
}

/// Makes analyzers of one tier, on the thread that will own them.
#[derive(Clone)]
pub struct Loader {
    /// The tier of what it makes.
    pub tier: Tier,
    pub(super) load: Arc<Load>,
}

type Load = dyn Fn(&Progress) -> Result<Box<dyn Analyzer>, LoadError> + Send + Sync;

impl Loader {
    /// A loader of this tier. It is called once for each thread, and again after a failure.
    pub fn new<F>(tier: Tier, load: F) -> Self
    where
        F: Fn(&Progress) -> Result<Box<dyn Analyzer>, LoadError> + Send + Sync + 'static,
    {
        Self { tier, load: Arc::new(load) }
    }
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loader").field("tier", &self.tier).finish_non_exhaustive()
    }
}

/// How far a load has come.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU8>);

impl Progress {
    /// So much is done: 0 to 100 percent.
    pub fn set(&self, percent: u8) {
        self.0.store(percent.min(100), Ordering::Relaxed);
    }

    pub(crate) fn percent(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why a tier could not be loaded. Its text is shown to operators and says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadError {
    /// Files are not on this machine.
    #[error("missing: {0}")]
    Missing(String),
    /// Files are not what they should be.
    #[error("corrupt: {0}")]
    Corrupt(String),
    /// There is not enough memory.
    #[error("not enough memory: {0}")]
    Memory(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_grows_with_the_text_up_to_what_is_read() {
        let tokens = |text: &str| estimate(&Prepared { text: text.into(), hashtags: Vec::new() });
        assert_eq!(tokens(""), 2);
        assert_eq!(tokens("nice day"), 4);
        assert_eq!(tokens("今日は"), 5);
        assert_eq!(tokens(&"long ".repeat(500)), MOST_TOKENS);
    }
}
