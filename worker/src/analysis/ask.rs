//! Asking the models: about a text that they were asked about lately, the answer is remembered.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use entity::ai_answer::{self, Answer};
use entity::enums::AiTier;
use entity::{DbErr, Tx};
use jobs::hex;
use models::analysis::VERSION;
use models::engine::Status;
use models::{Analysis, Engine, ModelId, Offence, Prepared};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::rows::tier;
use crate::engine::{JobContext, JobError};

/// How often it is looked whether models that are being loaded are there.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long a job that wants more than is at hand waits before it is tried again, here or on
/// another worker.
const MORE_LATER: Duration = Duration::from_secs(30);

/// A caption as the models read it.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    prepared: Prepared,
    /// What it is known by.
    hash: String,
}

impl Text {
    pub(crate) fn of(caption: Option<&str>, hashtags: &[String]) -> Self {
        let prepared = Prepared::of(caption.unwrap_or_default(), hashtags);
        let hash = prepared.content_hash();
        Self { prepared, hash }
    }

    /// How many hashtags it has.
    pub(crate) fn hashtags(&self) -> usize {
        self.prepared.hashtags.len()
    }
}

/// What these models answer, and what it means, as one hash in hex.
fn models_hash(models: &[ModelId]) -> String {
    let mut hash = Sha256::new();
    let words = models.iter().flat_map(|model| [model.name.as_str(), model.hash.as_str()]);
    for word in std::iter::once(VERSION).chain(words) {
        // With the length of each, `ab` and `c` are other words than `a` and `bc`.
        hash.update((word.len() as u64).to_be_bytes());
        hash.update(word);
    }
    hex(&hash.finalize())
}

/// The models of this process, once they answer.
pub(crate) struct Models<'a> {
    engine: &'a Engine,
    /// The best tier that answered when they were looked at.
    pub(crate) serving: AiTier,
    /// Who that is.
    hash: String,
}

/// What was answered about a text.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) analysis: Analysis,
    /// Its share of the time that its batch took; `None` when it was remembered.
    pub(crate) took_ms: Option<f64>,
}

/// What was answered about many texts.
#[derive(Debug)]
pub(crate) struct Answers {
    /// One for each text, in their order.
    pub(crate) told: Vec<Result<Told, Offence>>,
    /// What was not known before, by who said it.
    fresh: HashMap<String, Vec<Answer>>,
}

impl<'a> Models<'a> {
    /// Waits until models of at least this tier answer, while any are being loaded.
    ///
    /// # Errors
    /// When there are none, or only lesser ones: another worker may have them.
    pub(crate) async fn of(
        ctx: &'a JobContext<'_>,
        least: Option<AiTier>,
    ) -> Result<Self, JobError> {
        let engine = ctx.deps().models.as_ref();
        let engine = engine.ok_or_else(|| unavailable("this worker has no models".to_owned()))?;
        loop {
            let state = engine.state();
            let enough = |at: models::Tier| least.is_none_or(|least| tier(at) >= least);
            if let Some(serving) = state.serving.filter(|serving| enough(*serving)) {
                let found = state.tiers.iter().find(|tier| tier.tier == serving);
                let hash = found.map(|found| models_hash(&found.models)).unwrap_or_default();
                return Ok(Self { engine, serving: tier(serving), hash });
            }
            if state.status == Status::Stopped {
                return Err(models::EngineError::Stopped.into());
            }
            let coming = state.tiers.iter().any(|tier| tier.loading.is_some() && enough(tier.tier));
            if !coming && state.status != Status::Loading {
                let least = least.map_or("any", AiTier::as_str);
                let why = state.why.map(|why| format!(": {why}")).unwrap_or_default();
                return Err(unavailable(format!("no {least} models answer here{why}")));
            }
            pause(ctx.cancel()).await?;
        }
    }

    /// Asks about texts. No connection is held meanwhile.
    pub(crate) async fn ask(
        &self,
        ctx: &JobContext<'_>,
        texts: &[&Text],
    ) -> Result<Answers, JobError> {
        if ctx.cancel().is_cancelled() {
            return Err(JobError::Cancelled);
        }
        let mut known = self.remembered(ctx, texts).await?;
        let mut unknown: Vec<&Text> = vec![];
        for text in texts {
            if !known.contains_key(&text.hash) && !unknown.iter().any(|t| t.hash == text.hash) {
                unknown.push(text);
            }
        }
        let mut fresh: HashMap<String, Vec<Answer>> = HashMap::new();
        if !unknown.is_empty() {
            let prepared = unknown.iter().map(|text| text.prepared.clone()).collect();
            let began = Instant::now();
            let answers = self.engine.analyze(prepared, ctx.cancel().clone()).await?;
            let took_ms = began.elapsed().as_secs_f64() * 1_000.0 / unknown.len() as f64;
            for (text, answer) in unknown.iter().zip(answers) {
                if let Ok(analysis) = &answer {
                    fresh.entry(models_hash(&analysis.models)).or_default().push(Answer {
                        content_hash: text.hash.clone(),
                        answer: serde_json::to_value(analysis)?,
                    });
                }
                let told = answer.map(|analysis| Told { analysis, took_ms: Some(took_ms) });
                known.insert(text.hash.clone(), told);
            }
        }
        let lost = || Err(Offence::Model("no answer came".to_owned()));
        let told = texts.iter().map(|text| known.get(&text.hash).cloned().unwrap_or_else(lost));
        Ok(Answers { told: told.collect(), fresh })
    }

    async fn remembered(
        &self,
        ctx: &JobContext<'_>,
        texts: &[&Text],
    ) -> Result<HashMap<String, Result<Told, Offence>>, JobError> {
        let mut hashes: Vec<String> = texts.iter().map(|text| text.hash.clone()).collect();
        hashes.sort_unstable();
        hashes.dedup();
        let known = ai_answer::known(ctx.db().read(), &self.hash, &hashes).await?;
        // One that cannot be read is as good as forgotten.
        let read = known.into_iter().filter_map(|known| {
            let analysis = serde_json::from_value(known.answer).ok()?;
            Some((known.content_hash, Ok(Told { analysis, took_ms: None })))
        });
        Ok(read.collect())
    }
}

impl Answers {
    /// Remembers what was not known before.
    pub(crate) async fn keep(&self, tx: &Tx) -> Result<(), DbErr> {
        // In one order, so that two who keep the same do not wait for each other.
        let mut makers: Vec<_> = self.fresh.iter().collect();
        makers.sort_unstable_by_key(|(maker, _)| *maker);
        for (maker, answers) in makers {
            ai_answer::keep(tx, maker, answers).await?;
        }
        Ok(())
    }
}

fn unavailable(message: String) -> JobError {
    JobError::RetryAfter { code: "models_unavailable", message, after: MORE_LATER }
}

async fn pause(cancel: &CancellationToken) -> Result<(), JobError> {
    tokio::select! {
        () = cancel.cancelled() => Err(JobError::Cancelled),
        () = tokio::time::sleep(LOOK_AGAIN) => Ok(()),
    }
}
