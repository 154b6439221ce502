//! A worker that analyses captions, as it describes itself.

use std::collections::BTreeMap;

use entity::Time;
use entity::worker::Worker;
use poem_openapi::Object;
use uuid::Uuid;

/// A worker that analyses captions.
#[derive(Debug, Object)]
pub(super) struct AiWorker {
    id: Uuid,
    /// It takes no new work.
    pub(super) draining: bool,
    /// `loading`, `serving`, `degraded` or `stopped`.
    pub(super) status: String,
    /// The best tier it has the means for.
    wanted: Option<String>,
    /// The best tier that answers.
    pub(super) serving: Option<String>,
    /// Why the wanted tier does not answer; told to operators.
    why: Option<String>,
    /// The best first.
    tiers: Vec<AiTierView>,
    /// Captions computed since it began, by who answered.
    done: BTreeMap<String, i64>,
    /// Captions without an answer.
    offences: i64,
    /// Resident memory, as last reported; null when its system does not tell.
    memory_bytes: Option<i64>,
    /// All loaded weights.
    weights_bytes: i64,
    /// When it said so; RFC 3339.
    reported_at: Option<String>,
}

/// A tier on a worker.
#[derive(Debug, Object)]
struct AiTierView {
    tier: String,
    /// Threads ready to answer.
    threads: i64,
    /// How far its load has come, in percent; null when none is under way.
    loading_percent: Option<i64>,
    /// Why its last load failed; told to operators.
    load_error: Option<String>,
    /// What it answers with; empty while it is not loaded.
    models: Vec<AiModelView>,
}

/// A model.
#[derive(Debug, Object)]
struct AiModelView {
    /// Its name and revision.
    name: String,
    /// SHA-256 of its weights, hex.
    hash: String,
}

impl AiWorker {
    /// What a worker said; `None` of one without models. Why something is not at hand names files and
    /// machines, which is for operators.
    pub(super) fn of(worker: Worker, operator: bool) -> Option<Self> {
        let said = worker.ai_state()?;
        let tiers = said.tiers.into_iter().map(|tier| AiTierView {
            tier: tier.tier,
            threads: tier.threads,
            loading_percent: tier.loading,
            load_error: tier.load_error.filter(|_| operator),
            models: tier
                .models
                .into_iter()
                .map(|model| AiModelView { name: model.name, hash: model.hash })
                .collect(),
        });
        Some(Self {
            id: worker.id,
            draining: worker.draining,
            status: said.status,
            wanted: said.wanted,
            serving: said.serving,
            why: said.why.filter(|_| operator),
            tiers: tiers.collect(),
            done: said.done,
            offences: said.offences,
            memory_bytes: worker.memory_bytes,
            weights_bytes: said.weights,
            reported_at: worker.renewed_at.map(Time::rfc3339),
        })
    }
}
