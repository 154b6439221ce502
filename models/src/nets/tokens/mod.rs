//! Text to token ids, as Hugging Face's tokenizers do it.
//!
//! rust_tokenizers, which rust-bert brings, is not used to analyse: it keeps every word it ever saw
//! in a cache without bound, takes a time that grows with the square of a word's length, reads
//! `</s>` in a caption as the end of the text, and normalises for SentencePiece by Unicode's rules
//! rather than by the table that the model brings. These three read the same files, stop as soon as
//! the cut is reached, and never make a special token of what a caption says.

mod bytes;
mod pieces;
mod proto;
mod words;

use std::path::Path;

use serde::Deserialize;

use super::config;
use super::error::NetError;

/// No text is read beyond this many tokens, special ones included.
pub const MOST_TOKENS: usize = 512;

/// Special tokens around a text.
const AROUND_TEXT: usize = 2;
/// Special tokens around and between a text and a sentence about it.
pub(super) const AROUND_PAIR: usize = 4;

/// A text as a model reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Token ids, special ones included. Never empty.
    pub ids: Vec<i64>,
    /// Whether there were more tokens than are read.
    pub truncated: bool,
}

impl AsRef<[i64]> for Tokens {
    fn as_ref(&self) -> &[i64] {
        &self.ids
    }
}

/// The parts of a text, and what surrounds them.
pub(super) struct Tokenizer {
    splitter: Splitter,
    start: u32,
    end: u32,
}

enum Splitter {
    Bytes(bytes::BytePairs),
    Pieces(pieces::Pieces),
    Words(words::WordPieces),
}

/// Tokens of a text as far as they are wanted.
struct Cut {
    ids: Vec<u32>,
    most: usize,
}

impl Cut {
    /// Takes one more; `false` when that is one too many.
    fn push(&mut self, id: u32) -> bool {
        self.ids.push(id);
        self.ids.len() <= self.most
    }
}

#[derive(Deserialize)]
struct Architecture {
    model_type: String,
}

impl Tokenizer {
    /// The tokenizer of a checkpoint: which one it is stands in `config.json`, its words in the
    /// other files of the folder.
    pub(super) fn open(folder: &Path) -> Result<Self, NetError> {
        let config = folder.join("config.json");
        let Architecture { model_type } = config::read(&config)?;
        match model_type.as_str() {
            "roberta" | "bart" => {
                let (splitter, words) =
                    bytes::BytePairs::read(&folder.join("vocab.json"), &folder.join("merges.txt"))?;
                let special = |word| words.id(word);
                let (start, end) = (special("<s>")?, special("</s>")?);
                Ok(Self { splitter: Splitter::Bytes(splitter), start, end })
            }
            "xlm-roberta" => {
                let splitter = pieces::Pieces::read(&folder.join("sentencepiece.bpe.model"))?;
                let (start, end) = (pieces::START, pieces::END);
                Ok(Self { splitter: Splitter::Pieces(splitter), start, end })
            }
            "bert" => {
                let (splitter, words) = words::WordPieces::read(folder)?;
                let (start, end) = (words.id("[CLS]")?, words.id("[SEP]")?);
                Ok(Self { splitter: Splitter::Words(splitter), start, end })
            }
            other => Err(NetError::config(&config, format!("model_type {other}: unsupported"))),
        }
    }

    /// One more than the largest id there is.
    pub(super) fn ids(&self) -> i64 {
        match &self.splitter {
            Splitter::Bytes(splitter) => splitter.ids(),
            Splitter::Pieces(splitter) => splitter.ids(),
            Splitter::Words(splitter) => splitter.ids(),
        }
    }

    /// `<s> text </s>`, cut to `most` tokens in all.
    pub(super) fn tokens(&self, text: &str, most: usize) -> Tokens {
        let most = most.clamp(AROUND_TEXT + 1, MOST_TOKENS) - AROUND_TEXT;
        let (parts, truncated) = self.parts(text, most);
        let mut ids = Vec::with_capacity(parts.len() + AROUND_TEXT);
        ids.push(i64::from(self.start));
        ids.extend(parts);
        ids.push(i64::from(self.end));
        Tokens { ids, truncated }
    }

    /// `<s> text </s></s> second </s>`, the text cut so that they are at most `most`.
    pub(super) fn pair(&self, text: &Tokens, second: &[i64], most: usize) -> Vec<i64> {
        let end = i64::from(self.end);
        let parts = text.ids.len() - AROUND_TEXT;
        let kept = parts.min(most.saturating_sub(second.len() + AROUND_PAIR));
        let mut ids = Vec::with_capacity(kept + second.len() + AROUND_PAIR);
        ids.extend(&text.ids[..=kept]);
        ids.extend([end, end]);
        ids.extend(second);
        ids.push(end);
        ids
    }

    /// The tokens of a text alone, at most `most`, and whether there were more.
    pub(super) fn parts(&self, text: &str, most: usize) -> (Vec<i64>, bool) {
        let mut cut = Cut { ids: Vec::new(), most };
        match &self.splitter {
            Splitter::Bytes(splitter) => splitter.split(text, &mut cut),
            Splitter::Pieces(splitter) => splitter.split(text, &mut cut),
            Splitter::Words(splitter) => splitter.split(text, &mut cut),
        }
        let truncated = cut.ids.len() > most;
        cut.ids.truncate(most);
        (cut.ids.into_iter().map(i64::from).collect(), truncated)
    }
}
