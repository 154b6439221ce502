//! The lite tier: one small embedding model for sentiment and category, a detector for language.
//!
//! A caption's embedding is compared with those of texts about each label ([`labels`]) and the
//! answer joined with that of the word lists; a small head reads the sentiment from the states
//! inside the model ([`crate::nets::Head`]; scripts/ai/train_head.py tells how it was made). Emoji
//! are read by their names ([`emoji`]). The model reads English. What is written in another language
//! has its sentiment from the word lists, and its category too where a word or hashtag hits.

mod emoji;
mod labels;

use std::path::Path;

use crate::analysis::{Analysis, Analyzer, CategoryFound, ModelId, Offence, SentimentFound};
use crate::hybrid;
use crate::label::{Method, Sentiment};
use crate::nets::{Embedder, Head, NetError, Place, Tokens, normalise, softmax};
use crate::rules;
use crate::text::{Prepared, for_tweets, hex};
use crate::tier::Tier;
use labels::Labels;
use sha2::{Digest, Sha256};

/// Of a caption so many tokens are read. Twice as many make no answer better, as `farm ai eval`
/// says, and cost half as much again on real captions.
const MOST: usize = 64;
/// The states of the model that the head reads the means of; the last one is the embedding.
const STATES: [usize; 4] = [0, 2, 4, 6];
const WIDTH: usize = 384;
const HIDDEN: usize = 64;
/// The language that the model reads.
const ENGLISH: &str = "en";
/// Its metadata say what it was trained on.
const HEAD: &[u8] = include_bytes!("../../data/lite-sentiment.safetensors");
const HEAD_NAME: &str = "lite-sentiment.safetensors";

/// Answers with MiniLM, the head, the labels' texts and the word lists.
pub struct LiteAnalyzer {
    net: Embedder,
    head: Head,
    labels: Labels,
    models: Vec<ModelId>,
    bytes: u64,
}

impl LiteAnalyzer {
    /// Loads the embedding model in `folder` (all-MiniLM-L6-v2: the head fits no other) and embeds
    /// the labels' texts; `done` hears of the part that is done, 0 to 1. `model` is the one in the
    /// folder.
    ///
    /// # Errors
    /// The file that is missing, damaged or of another shape.
    pub fn load(
        folder: &Path,
        weights: &Path,
        model: ModelId,
        place: Place,
        done: impl FnMut(f64),
    ) -> Result<Self, NetError> {
        let net = Embedder::load(folder, weights, MOST, place)?;
        let last = STATES[STATES.len() - 1];
        if net.width() != WIDTH || net.depth() != last {
            let reason = format!(
                "{} layers of {} numbers; the lite tier reads {last} of {WIDTH}",
                net.depth(),
                net.width()
            );
            return Err(NetError::config(&folder.join("config.json"), reason));
        }
        let inputs = STATES.len() * WIDTH;
        let head = Head::load(HEAD, HEAD_NAME, [inputs, HIDDEN, Sentiment::ALL.len()])?;
        let labels = Labels::load(&net, done)?;
        let bytes = std::fs::metadata(weights).map_or(0, |about| about.len());
        Ok(Self { net, head, labels, models: vec![model, own(), rules::lists_id()], bytes })
    }

    /// The answers of one batch; none of the texts is empty.
    fn answers(&self, captions: &[&Prepared]) -> Result<Vec<Analysis>, NetError> {
        let read = |caption: &&Prepared| self.net.tokens(&emoji::named(&for_tweets(&caption.text)));
        let tokens: Vec<Tokens> = captions.iter().map(read).collect();
        let states = self.net.means(&tokens, &STATES)?;
        let logits = self.head.logits(&states)?;
        let all = captions.iter().zip(tokens).zip(states).zip(logits);
        let answers = all.map(|(((caption, tokens), states), logits)| {
            let language = rules::language(caption);
            let mut direction = states[states.len() - WIDTH..].to_vec();
            normalise(&mut direction);
            let found = self.labels.recognise(&direction, &language.code);
            let hit = rules::category(caption, &language.code);
            let model = (found.label, found.confidence);
            // The model reads English; of other languages the word lists know more.
            let read = language.code == ENGLISH;
            let (label, confidence, method) = match hit {
                Some((label, confidence)) if !read => (label, confidence, Method::Rules),
                _ => hybrid::decide(hit, model),
            };
            let sentiment = if read {
                SentimentFound::of_shares(&softmax(&logits), Method::Model)
            } else {
                rules::sentiment(caption, &language.code)
            };
            Analysis {
                sentiment,
                category: CategoryFound {
                    label: Some(label),
                    confidence,
                    method,
                    scores: found.shares,
                },
                language,
                tokens: u32::try_from(tokens.ids.len()).unwrap_or(u32::MAX),
                truncated: tokens.truncated,
                empty: None,
                tier: Tier::Lite,
                models: self.models.clone(),
            }
        });
        Ok(answers.collect())
    }
}

/// What is compiled in beside the model's weights.
fn own() -> ModelId {
    let hash = Sha256::new().chain_update(HEAD).chain_update(labels::FILE).finalize();
    ModelId { name: "lite head and labels".to_owned(), hash: hex(&hash) }
}

impl Analyzer for LiteAnalyzer {
    fn tier(&self) -> Tier {
        Tier::Lite
    }

    fn models(&self) -> Vec<ModelId> {
        self.models.clone()
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn analyze(&mut self, captions: &[Prepared]) -> Vec<Result<Analysis, Offence>> {
        crate::nets::answered(captions, Tier::Lite, |some| self.answers(some))
    }
}
