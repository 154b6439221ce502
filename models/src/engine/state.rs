//! The engine as shown by health and metrics.

use std::collections::BTreeMap;

use serde::Serialize;

use super::breaker::BreakerState;
use super::cache::CacheState;
use crate::analysis::ModelId;
use crate::label::Method;
use crate::tier::Tier;

/// How the engine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// No thread stands ready: captions wait for a load.
    Loading,
    /// The wanted tier answers.
    Serving,
    /// A lower tier answers: `State::why` says why.
    Degraded,
    /// Nothing answers any more: `State::replace` says whether the process is to be replaced.
    Stopped,
}

/// The engine at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct State {
    /// In a word.
    pub status: Status,
    /// The best tier it has a loader of.
    pub wanted: Option<Tier>,
    /// The best tier a thread stands ready for.
    pub serving: Option<Tier>,
    /// Why the wanted tier does not answer; `None` when it does, or has not been tried.
    pub why: Option<String>,
    /// Why the process should be replaced by a fresh one.
    pub replace: Option<String>,
    /// Each tier, the best first.
    pub tiers: Vec<TierState>,
    /// Threads ready to answer.
    pub threads: usize,
    /// Threads that hang and cannot be ended.
    pub hung: usize,
    /// Threads replaced because they hung, died, or their analyzer was broken.
    pub restarts: u64,
    /// Captions waiting.
    pub queue: usize,
    /// Captions that may wait.
    pub queue_most: usize,
    /// Captions in batches under way.
    pub running: usize,
    /// Middle size of the last 128 batches.
    pub batch_p50: Option<u32>,
    /// Captions computed, by the tier of their answer.
    pub done: BTreeMap<Tier, u64>,
    /// Captions computed, by how their category was found.
    pub methods: BTreeMap<Method, u64>,
    /// Captions without an answer: see [`crate::Offence`].
    pub offences: u64,
    /// Captions lost with a thread, or because a whole batch failed.
    pub lost: u64,
    /// Captions computed a second, over the last minute.
    pub captions_per_second: f64,
    /// The same in posts an hour.
    pub posts_per_hour: f64,
    /// Answers given again without computing them.
    pub cache: CacheState,
    /// Bytes of all loaded weights, as their analyzers tell, each tier counted once: threads share
    /// what is mapped.
    pub weights: u64,
}

/// One tier.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TierState {
    /// Which.
    pub tier: Tier,
    /// Threads with an analyzer of it.
    pub threads: usize,
    /// How far its load has come, in percent; `None` when none is under way.
    pub loading: Option<u8>,
    /// Milliseconds the last load took.
    pub load_ms: Option<u64>,
    /// Its models, with the hashes of their weights; empty when it has not been loaded.
    pub models: Vec<ModelId>,
    /// Bytes of its weights.
    pub bytes: u64,
    /// Why its last load failed.
    pub load_error: Option<String>,
    /// Its circuit. That of the lowest tier never opens.
    pub breaker: BreakerState,
}
