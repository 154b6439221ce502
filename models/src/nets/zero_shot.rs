//! Labels that a net has never seen: whether a text entails "This example is {label}.".

use std::path::Path;

use super::bart::Bart;
use super::batch;
use super::config;
use super::error::NetError;
use super::place::Place;
use super::softmax;
use super::tokens::{AROUND_PAIR, MOST_TOKENS, Tokenizer, Tokens};
use super::weights::Weights;

/// A BART trained on inference between sentences, and the sentences it is asked about.
pub struct ZeroShot {
    tokenizer: Tokenizer,
    bart: Bart,
    /// Class of the logits that says "follows from it".
    entailment: usize,
    /// The tokens of each label's sentence.
    hypotheses: Vec<Vec<i64>>,
    place: Place,
    most: usize,
}

impl ZeroShot {
    /// Loads a checkpoint that is asked `template` with each of these labels in place of `{}`. A
    /// text and the sentence about it are at most `most` tokens; the text is cut.
    pub fn load(
        folder: &Path,
        weights: &Path,
        (labels, template): (&[&str], &str),
        most: usize,
        place: Place,
    ) -> Result<Self, NetError> {
        let config = config::Bart::read(&folder.join("config.json"))?;
        let tokenizer = Tokenizer::open(folder)?;
        config::fits(&config.file, tokenizer.ids(), config.vocab_size)?;
        let weights = Weights::open(weights, place)?;
        let classes = config.labels.names(&config.file)?;
        let sentences = labels.iter().map(|label| template.replace("{}", label));
        let hypotheses: Vec<_> =
            sentences.map(|sentence| tokenizer.parts(&sentence, MOST_TOKENS).0).collect();
        let longest = hypotheses.iter().map(Vec::len).max().unwrap_or_default();
        let most = most.min(MOST_TOKENS).min(config.max_position_embeddings as usize);
        if most <= longest + AROUND_PAIR {
            return Err(NetError::config(&config.file, "the labels leave no room for a text"));
        }
        Ok(Self {
            bart: Bart::load(&weights, &config, classes.len() as i64)?,
            entailment: config::entailment(&classes, &config.file)?,
            most,
            tokenizer,
            hypotheses,
            place,
        })
    }

    /// The tokens of a text. Of a long one, sentences about it leave room for fewer.
    pub fn tokens(&self, text: &str) -> Tokens {
        self.tokenizer.tokens(text, self.most)
    }

    /// The logit of "follows from it" of each label, for each text.
    pub fn logits(&self, texts: &[Tokens]) -> Result<Vec<Vec<f32>>, NetError> {
        let pair = |text| move |label: &Vec<i64>| self.tokenizer.pair(text, label, self.most);
        let pairs: Vec<_> =
            texts.iter().flat_map(|text| self.hypotheses.iter().map(pair(text))).collect();
        let logits = batch::rows(&pairs, self.place, |packed| self.bart.logits(packed))?;
        let entailed: Vec<_> = logits.iter().map(|classes| classes[self.entailment]).collect();
        Ok(entailed.chunks(self.hypotheses.len().max(1)).map(<[f32]>::to_vec).collect())
    }

    /// The share of each label, for each text: they add up to 1.
    pub fn shares(&self, texts: &[Tokens]) -> Result<Vec<Vec<f64>>, NetError> {
        Ok(self.logits(texts)?.iter().map(|logits| softmax(logits)).collect())
    }
}
