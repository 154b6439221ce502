//! WordPiece (BERT): lower-cased words and signs, each cut into the longest known pieces from the
//! left.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use regex::Regex;
use serde::Deserialize;
use unicode_normalization::UnicodeNormalization;

use super::Cut;
use super::bytes::Vocabulary;
use crate::nets::config;
use crate::nets::error::NetError;

/// A longer word is one unknown token. Characters.
const LONGEST_WORD: usize = 100;

pub(super) struct WordPieces {
    whole: HashMap<String, u32>,
    /// The pieces that go on, without their `##`.
    further: HashMap<String, u32>,
    unknown: u32,
    lower: bool,
    ids: i64,
    dropped: Regex,
    mark: Regex,
    sign: Regex,
}

#[derive(Deserialize)]
struct Settings {
    #[serde(default = "yes")]
    do_lower_case: bool,
}

fn yes() -> bool {
    true
}

impl WordPieces {
    /// Reads `vocab.txt`, and `tokenizer_config.json` where there is one.
    pub(super) fn read(folder: &Path) -> Result<(Self, Vocabulary), NetError> {
        let file = folder.join("vocab.txt");
        let text = fs::read_to_string(&file).map_err(NetError::read(&file))?;
        let words = text.lines().zip(0..).map(|(word, id)| (word.to_owned(), id)).collect();
        let words = Vocabulary { file, words };
        let unknown = words.id("[UNK]")?;
        let settings = folder.join("tokenizer_config.json");
        let lower = !settings.exists() || config::read::<Settings>(&settings)?.do_lower_case;
        let further = words
            .words
            .iter()
            .filter_map(|(word, id)| Some((word.strip_prefix("##")?.to_owned(), *id)));
        let class = |pattern| {
            Regex::new(pattern).map_err(|e| NetError::vocabulary(&words.file, e.to_string()))
        };
        let pieces = Self {
            whole: words.words.clone(),
            further: further.collect(),
            unknown,
            lower,
            ids: words.ids(),
            dropped: class(r"^[\p{Cc}\p{Cf}\p{Co}\u{FFFD}]$")?,
            mark: class(r"^\p{Mn}$")?,
            sign: class(r"^[\p{P}$+<=>^`|~]$")?,
        };
        Ok((pieces, words))
    }

    pub(super) fn ids(&self) -> i64 {
        self.ids
    }

    pub(super) fn split(&self, text: &str, cut: &mut Cut) {
        let mut word = String::new();
        for character in text.chars() {
            let mut bytes = [0; 4];
            let alone: &str = character.encode_utf8(&mut bytes);
            let plain = character.is_ascii_alphanumeric();
            if character.is_whitespace() {
                if !self.word(&mut word, cut) {
                    return;
                }
            } else if plain || !self.dropped.is_match(alone) {
                if !plain && (self.sign.is_match(alone) || is_ideograph(character)) {
                    let mut sign = alone.to_owned();
                    if !self.word(&mut word, cut) || !self.word(&mut sign, cut) {
                        return;
                    }
                } else {
                    word.push(character);
                }
            }
        }
        self.word(&mut word, cut);
    }

    /// Cuts a word into pieces and empties it; `false` when there are enough tokens.
    fn word(&self, word: &mut String, cut: &mut Cut) -> bool {
        let folded = std::mem::take(word);
        let folded = if self.lower { self.fold(&folded) } else { folded };
        if folded.is_empty() {
            return true;
        }
        self.pieces(&folded).into_iter().all(|token| cut.push(token))
    }

    /// Lower case, without accents.
    fn fold(&self, word: &str) -> String {
        if word.is_ascii() {
            return word.to_ascii_lowercase();
        }
        let bare =
            word.nfd().filter(|c| c.is_ascii() || !self.mark.is_match(c.encode_utf8(&mut [0; 4])));
        bare.flat_map(char::to_lowercase).collect()
    }

    fn pieces(&self, word: &str) -> Vec<u32> {
        let mut pieces = Vec::new();
        if word.chars().count() > LONGEST_WORD {
            return vec![self.unknown];
        }
        let mut rest = word;
        while !rest.is_empty() {
            let known = if pieces.is_empty() { &self.whole } else { &self.further };
            let ends = rest.char_indices().rev().map(|(at, c)| at + c.len_utf8());
            let Some((end, id)) =
                ends.into_iter().find_map(|end| Some((end, *known.get(&rest[..end])?)))
            else {
                return vec![self.unknown];
            };
            pieces.push(id);
            rest = &rest[end..];
        }
        pieces
    }
}

/// Characters of Chinese, each a word of its own (the blocks that BERT names).
fn is_ideograph(character: char) -> bool {
    matches!(u32::from(character),
        0x4E00..=0x9FFF | 0x3400..=0x4DBF | 0x20000..=0x2A6DF | 0x2A700..=0x2B73F
        | 0x2B740..=0x2B81F | 0x2B920..=0x2CEAF | 0xF900..=0xFAFF | 0x2F800..=0x2FA1F)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(vocabulary: &[&str]) -> (tempfile::TempDir, WordPieces) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("vocab.txt"), vocabulary.join("\n")).unwrap();
        let words = WordPieces::read(folder.path()).unwrap().0;
        (folder, words)
    }

    fn split(words: &WordPieces, text: &str) -> Vec<u32> {
        let mut cut = Cut { ids: Vec::new(), most: 100 };
        words.split(text, &mut cut);
        cut.ids
    }

    #[test]
    fn the_longest_piece_from_the_left_is_taken() {
        let (_folder, words) = words(&["[UNK]", "a", "ab", "##b", "##c", "##bc", "中", "!"]);
        assert_eq!(split(&words, "abc"), [2, 4]);
        assert_eq!(split(&words, "AB  ab!"), [2, 2, 7]);
        assert_eq!(split(&words, "abd a"), [0, 1]);
        assert_eq!(split(&words, "a中中"), [1, 6, 6]);
        assert_eq!(split(&words, &"a".repeat(101)), [0]);
    }

    #[test]
    fn accents_controls_and_broken_characters_are_dropped() {
        let (_folder, words) = words(&["[UNK]", "cafe", "i"]);
        assert_eq!(split(&words, "Café caf\u{200d}e\u{301} ca\u{fffd}fe \u{7}"), [1, 1, 1]);
        assert_eq!(split(&words, "İ"), [2]);
    }
}
