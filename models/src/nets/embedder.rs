//! Meaning as a direction: the mean of a BERT's last states (sentence-transformers).

use std::path::Path;

use tch::Tensor;

use super::batch;
use super::config;
use super::encoder::Encoder;
use super::error::NetError;
use super::place::Place;
use super::tokens::{Tokenizer, Tokens};
use super::weights::Weights;

/// A net that turns a text into numbers; similar texts point the same way.
pub struct Embedder {
    tokenizer: Tokenizer,
    encoder: Encoder,
    width: usize,
    place: Place,
    most: usize,
}

impl Embedder {
    /// Loads a checkpoint of BERT's shape; it reads at most `most` tokens of a text.
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
        Ok(Self {
            encoder: Encoder::load(&weights, &["bert.", ""], &config, 0)?,
            width: config.hidden_size as usize,
            most: most.min(config.most_tokens(0)?),
            tokenizer,
            place,
        })
    }

    /// How many numbers a text becomes.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The tokens of a text.
    pub fn tokens(&self, text: &str) -> Tokens {
        self.tokenizer.tokens(text, self.most)
    }

    /// The last of the states that [`Embedder::means`] tells apart; 0 are the embeddings.
    pub fn depth(&self) -> usize {
        self.encoder.depth()
    }

    /// For each text the means over its tokens, special ones included, of these states, in
    /// ascending order one behind the other: `width` numbers each.
    pub fn means(&self, texts: &[Tokens], states: &[usize]) -> Result<Vec<Vec<f32>>, NetError> {
        batch::rows(texts, self.place, |packed| {
            let mut means = Vec::with_capacity(states.len());
            self.encoder.each_state(packed, |state, x| {
                if states.contains(&state) {
                    means.push(packed.means(x)?);
                }
                Ok(())
            })?;
            Tensor::f_cat(&means, 1)
        })
    }

    /// A vector of length 1 for each text.
    pub fn embeddings(&self, texts: &[Tokens]) -> Result<Vec<Vec<f32>>, NetError> {
        let mut rows = self.means(texts, &[self.depth()])?;
        for row in &mut rows {
            normalise(row);
        }
        Ok(rows)
    }
}

/// Makes the length of a vector 1.
pub(crate) fn normalise(row: &mut [f32]) {
    let length = row.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
    for number in row {
        *number /= length;
    }
}
