//! What is asked of an analyzer, and what it answers.

use serde::{Deserialize, Serialize};

use crate::label::{Category, Method, Sentiment};
use crate::text::Prepared;
use crate::tier::Tier;

/// Changes when the meaning of stored answers does; kept with each of them.
pub const VERSION: &str = "1";

/// How a caption sounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SentimentFound {
    /// The most likely one.
    pub label: Sentiment,
    /// +p when positive, −p when negative, 0 when neutral; −1 to 1, 3 decimals.
    pub score: f64,
    /// Probability of the label, 0 to 1.
    pub confidence: f64,
    /// Where it came from.
    pub method: Method,
    /// Every label with its probability, in the order of [`Sentiment::ALL`]; empty when unknown.
    pub all: Vec<(Sentiment, f64)>,
}

impl SentimentFound {
    /// From a share for each label, in the order of [`Sentiment::ALL`]: the most likely one, of
    /// equal ones the first.
    pub fn of_shares(shares: &[f64], method: Method) -> Self {
        let all: Vec<_> =
            Sentiment::ALL.iter().copied().zip(shares.iter().map(|p| rounded(*p))).collect();
        let best = largest(shares).unwrap_or_default();
        let (label, confidence) = all.get(best).copied().unwrap_or((Sentiment::Neutral, f64::NAN));
        let score = match label {
            Sentiment::Positive => confidence,
            Sentiment::Neutral => 0.0,
            Sentiment::Negative => -confidence,
        };
        Self { label, score, confidence, method, all }
    }
}

/// Three decimals.
pub(crate) fn rounded(share: f64) -> f64 {
    (share * 1000.0).round() / 1000.0
}

/// Index of the largest number, of equal ones the first; `None` when there is none.
pub(crate) fn largest(numbers: &[f64]) -> Option<usize> {
    let first_of =
        |best: usize, (at, number): (usize, &f64)| if *number > numbers[best] { at } else { best };
    (!numbers.is_empty()).then(|| numbers.iter().enumerate().fold(0, first_of))
}

/// In which language a caption is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LanguageFound {
    /// ISO 639-1, or [`crate::label::UNDETERMINED`].
    pub code: String,
    /// 0 to 1.
    pub confidence: f64,
    /// Where it came from.
    pub method: Method,
}

/// What a caption is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CategoryFound {
    /// `None` when there was nothing to read.
    pub label: Option<Category>,
    /// 0 to 1.
    pub confidence: f64,
    /// Where it came from.
    pub method: Method,
    /// Every label with its share, in the order of [`Category::ALL`]; empty when no model was asked.
    pub scores: Vec<(Category, f64)>,
}

/// Who answered: kept with the answer, so that it can be done again when something better is there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ModelId {
    /// `repository@revision`, or the name of rules.
    pub name: String,
    /// SHA-256 of the weights, hex; of rules: of their word lists.
    pub hash: String,
}

/// The answers about one caption.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// How it sounds.
    pub sentiment: SentimentFound,
    /// In which language it is.
    pub language: LanguageFound,
    /// What it is about.
    pub category: CategoryFound,
    /// Tokens read by the sentiment model, special ones included; of rules: words.
    pub tokens: u32,
    /// Whether there were more tokens than are read.
    pub truncated: bool,
    /// Why there was nothing to analyse.
    pub empty: Option<String>,
    /// The lowest tier that took part: never better than what was used.
    pub tier: Tier,
    /// Who answered.
    pub models: Vec<ModelId>,
}

impl Analysis {
    /// `analysis_quality`: mean of sentiment (model .9, rules .6, none .3), language (.9, .7, .4)
    /// and category (hybrid .95, model .85, rules .6, none .3).
    pub fn quality(&self) -> f64 {
        let of = |method, [hybrid, model, rules, none]: [f64; 4]| match method {
            Method::Hybrid => hybrid,
            Method::Model => model,
            Method::Rules => rules,
            Method::None => none,
        };
        let sentiment = of(self.sentiment.method, [0.9, 0.9, 0.6, 0.3]);
        let language = of(self.language.method, [0.9, 0.9, 0.7, 0.4]);
        let category = of(self.category.method, [0.95, 0.85, 0.6, 0.3]);
        (sentiment + language + category) / 3.0
    }
}

/// Why one caption has no answer. The others of its batch have theirs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Offence {
    /// The tokenizer refused it.
    #[error("the text cannot be split into tokens: {0}")]
    Tokens(String),
    /// The model panicked, or answered with something that is no number.
    #[error("the model failed on this text: {0}")]
    Model(String),
}

/// Analyses captions, on the thread that calls it. Small and synchronous: batching across jobs,
/// threads and restarts are the engine's.
pub trait Analyzer: Send {
    /// The tier it stands for.
    fn tier(&self) -> Tier;

    /// Who answers.
    fn models(&self) -> Vec<ModelId>;

    /// Bytes of its weights, mapped ones included; of rules: 0.
    fn bytes(&self) -> u64 {
        0
    }

    /// Whether it cannot answer any more, whatever is asked, and is to be loaded anew.
    fn is_broken(&self) -> bool {
        false
    }

    /// One answer for each caption, in their order. An answer does not depend on what else is in
    /// the batch.
    fn analyze(&mut self, captions: &[Prepared]) -> Vec<Result<Analysis, Offence>>;
}
