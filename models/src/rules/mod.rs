//! The rules tier: word lists and a language detector. Always at hand, and what the other tiers
//! lean on.
//!
//! [`RulesAnalyzer`] answers all three questions; [`category`], [`sentiment`] and [`language`] one
//! each, for tiers whose models answer the others. The lists are files of `models/data`: see there
//! how to add words or a language.

mod category;
mod emoticon;
mod fold;
mod language;
mod list;
mod lists;
mod sentiment;
mod table;
mod tags;
mod words;

use crate::analysis::{
    Analysis, Analyzer, CategoryFound, LanguageFound, ModelId, Offence, SentimentFound,
};
use crate::label::{Category, Method, Sentiment, UNDETERMINED};
use crate::text::{Part, Prepared, parts};
use crate::tier::Tier;
use words::Words;

/// Why a caption has an answer without analysis.
pub const NOTHING_LEFT: &str = "nothing is left to analyse";
/// The confidence in [`Category::General`] when no word or hashtag hits.
const NO_HIT: f64 = 0.4;

/// The answer about a caption of which nothing is left; who was asked is of no matter.
pub fn empty(tier: Tier) -> Analysis {
    Analysis {
        sentiment: SentimentFound {
            label: Sentiment::Neutral,
            score: 0.0,
            confidence: 0.5,
            method: Method::None,
            all: Vec::new(),
        },
        language: LanguageFound {
            code: UNDETERMINED.to_owned(),
            confidence: 0.0,
            method: Method::None,
        },
        category: CategoryFound {
            label: None,
            confidence: 0.0,
            method: Method::None,
            scores: Vec::new(),
        },
        tokens: 0,
        truncated: false,
        empty: Some(NOTHING_LEFT.to_owned()),
        tier,
        models: Vec::new(),
    }
}

/// Who the lists are.
#[cfg(feature = "bert")]
pub(crate) fn lists_id() -> ModelId {
    lists::id()
}

/// The category whose words and hashtags stand in a caption, and the confidence in it, 0.4 to 0.9;
/// `None` when none do. `language` is an ISO 639-1 code and decides what short words mean.
pub fn category(caption: &Prepared, language: &str) -> Option<(Category, f64)> {
    let reading = Reading::of(&caption.text);
    category::hit(&reading.words, &reading.tags, language)
}

/// How a caption sounds, by the words of its language, English words, and emoji.
pub fn sentiment(caption: &Prepared, language: &str) -> SentimentFound {
    Reading::of(&caption.text).sentiment(language)
}

/// In which language a caption is written, hashtags and mentions aside where enough is left.
pub fn language(caption: &Prepared) -> LanguageFound {
    language::of(&caption.text)
}

/// What the lists are asked about.
struct Reading<'a> {
    words: Words,
    /// Distinct, as written, without `#`.
    tags: Vec<&'a str>,
    exclamations: usize,
}

impl<'a> Reading<'a> {
    fn of(text: &'a str) -> Self {
        let mut seen = std::collections::HashSet::new();
        let tags = parts(text).into_iter().filter_map(|part| match part {
            Part::Tag(tag) => seen.insert(tag.to_lowercase()).then_some(tag),
            Part::Plain(_) | Part::Mention(_) => None,
        });
        let tags = tags.collect();
        let exclamations = text.chars().filter(|c| matches!(c, '!' | '！' | '¡')).count();
        Self { words: Words::outside_tags(text), tags, exclamations }
    }

    fn sentiment(&self, language: &str) -> SentimentFound {
        sentiment::of(&self.words, &self.tags, self.exclamations, language)
    }
}

/// Answers by rules alone.
#[derive(Clone, Debug)]
pub struct RulesAnalyzer {
    lists: ModelId,
}

impl RulesAnalyzer {
    /// The lists are read, and the detector is made, once for the process and by the first answer.
    pub fn new() -> Self {
        Self { lists: lists::id() }
    }

    fn answer(&self, caption: &Prepared) -> Analysis {
        if caption.text.is_empty() {
            return empty(Tier::Rules);
        }
        let language = language(caption);
        let reading = Reading::of(&caption.text);
        let hit = category::hit(&reading.words, &reading.tags, &language.code);
        let (label, confidence) = hit.unwrap_or((Category::General, NO_HIT));
        Analysis {
            sentiment: reading.sentiment(&language.code),
            category: CategoryFound {
                label: Some(label),
                confidence,
                method: Method::Rules,
                scores: Vec::new(),
            },
            language,
            tokens: u32::try_from(reading.words.units.len() + reading.tags.len())
                .unwrap_or(u32::MAX),
            truncated: false,
            empty: None,
            tier: Tier::Rules,
            models: self.models(),
        }
    }
}

impl Default for RulesAnalyzer {
    fn default() -> Self {
        Self::new()
    }
}

impl Analyzer for RulesAnalyzer {
    fn tier(&self) -> Tier {
        Tier::Rules
    }

    fn models(&self) -> Vec<ModelId> {
        vec![self.lists.clone()]
    }

    fn analyze(&mut self, captions: &[Prepared]) -> Vec<Result<Analysis, Offence>> {
        captions.iter().map(|caption| Ok(self.answer(caption))).collect()
    }
}

#[cfg(test)]
mod tests;
