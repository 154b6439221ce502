//! Classes of a text: RoBERTa and XLM-RoBERTa with a head on the first token.

use std::path::Path;

use super::batch;
use super::config;
use super::encoder::Encoder;
use super::error::NetError;
use super::layers::Linear;
use super::place::Place;
use super::tokens::{Tokenizer, Tokens};
use super::weights::Weights;

/// A net that tells of which class a text is.
pub struct Classifier {
    tokenizer: Tokenizer,
    encoder: Encoder,
    dense: Linear,
    out: Linear,
    labels: Vec<String>,
    place: Place,
    most: usize,
}

impl Classifier {
    /// Loads a checkpoint: `config.json` and the tokenizer's files of the folder, and the weights.
    /// It reads at most `most` tokens of a text.
    pub fn load(
        folder: &Path,
        weights: &Path,
        most: usize,
        place: Place,
    ) -> Result<Self, NetError> {
        let config = config::Encoder::read(&folder.join("config.json"))?;
        let tokenizer = Tokenizer::open(folder)?;
        config::fits(&config.file, tokenizer.ids(), config.vocab_size)?;
        let weights = Weights::open(weights, place)?;
        let labels = config.labels.names(&config.file)?;
        if labels.len() < 2 {
            return Err(NetError::config(&config.file, "fewer than two labels"));
        }
        let first_position = config.pad_token_id + 1;
        let width = config.hidden_size;
        let head = weights.root().under("classifier");
        Ok(Self {
            encoder: Encoder::load(&weights, &["roberta.", ""], &config, first_position)?,
            dense: Linear::load(&head.under("dense"), width, width)?,
            out: Linear::load(&head.under("out_proj"), width, labels.len() as i64)?,
            most: most.min(config.most_tokens(first_position)?),
            tokenizer,
            labels,
            place,
        })
    }

    /// The label of each class.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// The tokens of a text.
    pub fn tokens(&self, text: &str) -> Tokens {
        self.tokenizer.tokens(text, self.most)
    }

    /// A logit for each class, for each text.
    pub fn logits(&self, texts: &[Tokens]) -> Result<Vec<Vec<f32>>, NetError> {
        batch::rows(texts, self.place, |packed| {
            let firsts = self.encoder.firsts(packed)?;
            self.out.of(&self.dense.of(&firsts)?.f_tanh_()?)
        })
    }
}
