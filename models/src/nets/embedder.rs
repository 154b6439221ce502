//! Meaning as a direction: the mean of a BERT's last states (sentence-transformers).

use std::path::Path;

use tch::{TchError, Tensor};

use super::batch;
use super::config;
use super::encoder::Encoder;
use super::error::NetError;
use super::packed::Packed;
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

    /// A vector of length 1 for each text.
    pub fn embeddings(&self, texts: &[Tokens]) -> Result<Vec<Vec<f32>>, NetError> {
        let mut rows = batch::rows(texts, self.place, |packed| self.means(packed))?;
        for row in &mut rows {
            let length = row.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
            for number in row {
                *number /= length;
            }
        }
        Ok(rows)
    }

    /// The mean of the last states of each text's tokens, special ones included.
    fn means(&self, packed: &Packed) -> Result<Tensor, TchError> {
        let states = self.encoder.tokens(packed)?;
        packed.means(&states)
    }
}
