//! The full tier: a RoBERTa for sentiment, an XLM-RoBERTa for language, a BART that is asked about
//! each category. Category answers are joined with those of the word lists.

use std::path::PathBuf;

use crate::analysis::{
    Analysis, Analyzer, CategoryFound, LanguageFound, ModelId, Offence, SentimentFound, largest,
    rounded,
};
use crate::hybrid;
use crate::label::{Category, Method, Sentiment};
use crate::nets::{Classifier, NetError, Place, Tokens, ZeroShot, answered, softmax};
use crate::rules;
use crate::text::{Prepared, for_tweets};
use crate::tier::Tier;

/// A checkpoint on this machine.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Where `config.json` and the tokenizer's files are.
    pub folder: PathBuf,
    /// The weights to load.
    pub weights: PathBuf,
    /// The labels of its outputs, where they are not those of `config.json`.
    pub labels: Option<Vec<String>>,
    /// Who it is.
    pub id: ModelId,
}

/// The three checkpoints.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    /// Classes: the sentiments.
    pub sentiment: Checkpoint,
    /// Classes: languages, as ISO 639-1 codes.
    pub language: Checkpoint,
    /// Asked about each category.
    pub zero_shot: Checkpoint,
    /// What it is asked, with `{}` where the label goes.
    pub template: String,
}

/// Answers with the three checkpoints and the word lists.
pub struct FullAnalyzer {
    sentiment: Classifier,
    /// The sentiment of each class.
    sentiments: Vec<Sentiment>,
    language: Classifier,
    /// The code of each class.
    languages: Vec<String>,
    zero_shot: ZeroShot,
    models: Vec<ModelId>,
    bytes: u64,
}

impl FullAnalyzer {
    /// Loads the checkpoints, which read at most `most` tokens of a caption; `done` hears of the
    /// part that is done, 0 to 1.
    ///
    /// # Errors
    /// The file that is missing, damaged or of another shape, or whose labels are not understood.
    pub fn load(
        from: &Checkpoints,
        most: usize,
        place: Place,
        mut done: impl FnMut(f64),
    ) -> Result<Self, NetError> {
        let Checkpoints { sentiment, language, zero_shot, template } = from;
        let bytes = [sentiment, language, zero_shot]
            .map(|one| std::fs::metadata(&one.weights).map_or(0, |about| about.len()));
        let total: u64 = bytes.iter().sum();
        let mut loaded = 0;
        let mut step = |number: usize| {
            loaded += bytes[number];
            done(loaded as f64 / total.max(1) as f64);
        };
        let classifier = |of: &Checkpoint| Classifier::load(&of.folder, &of.weights, most, place);
        let moods = classifier(sentiment)?;
        let sentiments = labels(sentiment, &moods)?
            .iter()
            .map(|label| sentiment_of(label).ok_or_else(|| unknown(sentiment, label)))
            .collect::<Result<Vec<_>, _>>()?;
        if !Sentiment::ALL.iter().all(|one| sentiments.contains(one)) {
            return Err(unknown(sentiment, "without negative, neutral and positive"));
        }
        step(0);
        let tongues = classifier(language)?;
        let languages = labels(language, &tongues)?;
        step(1);
        let categories: Vec<_> = Category::ALL.iter().map(|label| label.as_str()).collect();
        let asked = (&categories[..], template.as_str());
        let judge = ZeroShot::load(&zero_shot.folder, &zero_shot.weights, asked, most, place)?;
        step(2);
        let ids = [sentiment, language, zero_shot].map(|one| one.id.clone());
        Ok(Self {
            sentiment: moods,
            sentiments,
            language: tongues,
            languages,
            zero_shot: judge,
            models: ids.into_iter().chain([rules::lists_id()]).collect(),
            bytes: total,
        })
    }

    /// The answers of one batch; none of the texts is empty.
    fn answers(&self, captions: &[&Prepared]) -> Result<Vec<Analysis>, NetError> {
        let read = |net: &Classifier| -> Vec<Tokens> {
            captions.iter().map(|caption| net.tokens(&caption.text)).collect()
        };
        let tweets: Vec<_> = captions
            .iter()
            .map(|caption| self.sentiment.tokens(&for_tweets(&caption.text)))
            .collect();
        let moods = self.sentiment.logits(&tweets)?;
        let tongues = self.language.logits(&read(&self.language))?;
        let asked: Vec<_> =
            captions.iter().map(|caption| self.zero_shot.tokens(&caption.text)).collect();
        let about = self.zero_shot.shares(&asked)?;
        let all = captions.iter().zip(tweets).zip(moods).zip(tongues).zip(about);
        let answers = all.map(|((((caption, tokens), mood), tongue), about)| {
            let language = self.language_of(&softmax(&tongue));
            Analysis {
                sentiment: self.sentiment_of(&softmax(&mood)),
                category: category(caption, &language.code, &about),
                language,
                tokens: u32::try_from(tokens.ids.len()).unwrap_or(u32::MAX),
                truncated: tokens.truncated,
                empty: None,
                tier: Tier::Full,
                models: self.models.clone(),
            }
        });
        Ok(answers.collect())
    }

    fn sentiment_of(&self, classes: &[f64]) -> SentimentFound {
        let share = |label: &Sentiment| -> f64 {
            let of = self.sentiments.iter().zip(classes).filter(|(one, _)| *one == label);
            of.map(|(_, share)| share).sum()
        };
        let shares: Vec<_> = Sentiment::ALL.iter().map(share).collect();
        SentimentFound::of_shares(&shares, Method::Model)
    }

    fn language_of(&self, classes: &[f64]) -> LanguageFound {
        let best = largest(classes).unwrap_or_default();
        LanguageFound {
            code: self.languages.get(best).cloned().unwrap_or_default(),
            confidence: rounded(classes.get(best).copied().unwrap_or(f64::NAN)),
            method: Method::Model,
        }
    }
}

fn category(caption: &Prepared, language: &str, shares: &[f64]) -> CategoryFound {
    let scores: Vec<_> =
        Category::ALL.iter().copied().zip(shares.iter().map(|share| rounded(*share))).collect();
    let best = largest(shares).unwrap_or_default();
    let model = scores.get(best).copied().unwrap_or((Category::General, f64::NAN));
    let (label, confidence, method) = hybrid::decide(rules::category(caption, language), model);
    CategoryFound { label: Some(label), confidence, method, scores }
}

/// The labels of a checkpoint's classes.
fn labels(of: &Checkpoint, net: &Classifier) -> Result<Vec<String>, NetError> {
    match &of.labels {
        None => Ok(net.labels().to_vec()),
        Some(labels) if labels.len() == net.labels().len() => Ok(labels.clone()),
        Some(labels) => {
            let (given, classes) = (labels.len(), net.labels().len());
            let reason = format!("{given} labels are listed for its {classes} classes");
            Err(NetError::config(&of.folder.join("config.json"), reason))
        }
    }
}

/// Checkpoints write them in either case.
fn sentiment_of(label: &str) -> Option<Sentiment> {
    Sentiment::parse(&label.to_lowercase())
}

fn unknown(of: &Checkpoint, label: &str) -> NetError {
    NetError::config(&of.folder.join("config.json"), format!("{label}: not a sentiment's label"))
}

impl Analyzer for FullAnalyzer {
    fn tier(&self) -> Tier {
        Tier::Full
    }

    fn models(&self) -> Vec<ModelId> {
        self.models.clone()
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn analyze(&mut self, captions: &[Prepared]) -> Vec<Result<Analysis, Offence>> {
        answered(captions, Tier::Full, |some| self.answers(some))
    }
}
