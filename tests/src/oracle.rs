//! An analyzer for stories: its answers follow from the text, it remembers what it was asked, and
//! it waits when told to.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use models::analysis::{CategoryFound, LanguageFound, SentimentFound};
use models::engine::{Loader, Settings};
use models::{
    Analysis, Analyzer, Category, Engine, Method, ModelId, Offence, Prepared, Sentiment, Tier,
};

/// Captions with this word in them make it panic.
pub const POISON: &str = "poison";

/// Handle on the analyzers of an engine; clones are the same one.
#[derive(Clone)]
pub struct Oracle {
    tier: Tier,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    mind: Mutex<Mind>,
    changed: Condvar,
}

#[derive(Default)]
struct Mind {
    asked: Vec<String>,
    /// Answers that are still given; `None` = all.
    left: Option<usize>,
}

impl Oracle {
    /// One that answers as this tier.
    pub fn of(tier: Tier) -> Self {
        Self { tier, shared: Arc::default() }
    }

    /// An engine of which it is the only tier.
    pub fn engine(&self) -> Engine {
        self.engine_with(Settings::default())
    }

    /// The same, that runs like this.
    pub fn engine_with(&self, settings: Settings) -> Engine {
        let oracle = self.clone();
        let load = move |_: &_| -> Result<Box<dyn Analyzer>, _> { Ok(Box::new(oracle.clone())) };
        Engine::start(vec![Loader::new(self.tier, load)], settings)
    }

    /// Answers so many more captions, then none until it is released.
    pub fn hold_after(&self, captions: usize) {
        self.lock().left = Some(captions);
    }

    /// Answers everything again.
    pub fn release(&self) {
        self.lock().left = None;
        self.shared.changed.notify_all();
    }

    /// What it was asked so far, each time that it was.
    pub fn asked(&self) -> Vec<String> {
        self.lock().asked.clone()
    }

    /// What this tier says about a text.
    pub fn answer(tier: Tier, text: &str) -> Analysis {
        let dice = text.bytes().fold(7_usize, |n, byte| n * 31 % 65_521 + usize::from(byte));
        let share = (50 + dice % 50) as f64 / 100.0;
        let mood = Sentiment::ALL[dice % 3];
        let score = match mood {
            Sentiment::Positive => share,
            Sentiment::Neutral => 0.0,
            Sentiment::Negative => -share,
        };
        Analysis {
            sentiment: SentimentFound {
                label: mood,
                score,
                confidence: share,
                method: Method::Model,
                all: vec![],
            },
            language: LanguageFound {
                code: if dice % 2 == 0 { "en" } else { "de" }.to_owned(),
                confidence: share,
                method: Method::Model,
            },
            category: CategoryFound {
                label: Some(Category::ALL[dice / 7 % 20]),
                confidence: share,
                method: Method::Model,
                scores: Category::ALL.iter().map(|label| (*label, 0.05)).collect(),
            },
            tokens: text.split_whitespace().count() as u32,
            truncated: false,
            empty: None,
            tier,
            models: Self::models_of(tier),
        }
    }

    fn models_of(tier: Tier) -> Vec<ModelId> {
        vec![ModelId { name: format!("oracle@{tier}"), hash: "0".repeat(64) }]
    }

    fn lock(&self) -> MutexGuard<'_, Mind> {
        self.shared.mind.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Analyzer for Oracle {
    fn tier(&self) -> Tier {
        self.tier
    }

    fn models(&self) -> Vec<ModelId> {
        Self::models_of(self.tier)
    }

    fn analyze(&mut self, captions: &[Prepared]) -> Vec<Result<Analysis, Offence>> {
        let mut mind = self.lock();
        mind.asked.extend(captions.iter().map(|caption| caption.text.clone()));
        while mind.left.is_some_and(|left| left < captions.len()) {
            mind = self.shared.changed.wait(mind).unwrap_or_else(PoisonError::into_inner);
        }
        mind.left = mind.left.map(|left| left - captions.len());
        drop(mind);
        assert!(!captions.iter().any(|caption| caption.text.contains(POISON)), "poison");
        captions.iter().map(|caption| Ok(Self::answer(self.tier, &caption.text))).collect()
    }
}
