//! Byte pairs (GPT-2, RoBERTa, BART): a word's bytes, joined pair by pair in the order in which the
//! pairs were learned.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

use super::Cut;
use crate::nets::error::NetError;

/// Words of GPT-2: a contraction, or letters, digits or signs with the space before them, or
/// spaces.
const WORD: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+";

pub(super) struct BytePairs {
    word: Regex,
    /// The token of each byte.
    bytes: [u32; 256],
    /// Which pairs are joined: their rank (lower first) and what they become.
    pairs: HashMap<(u32, u32), (u32, u32)>,
    ids: i64,
}

/// The words of a vocabulary file.
pub(super) struct Vocabulary {
    pub file: PathBuf,
    pub words: HashMap<String, u32>,
}

impl Vocabulary {
    pub(super) fn id(&self, word: &str) -> Result<u32, NetError> {
        let id = self.words.get(word).copied();
        id.ok_or_else(|| NetError::vocabulary(&self.file, format!("there is no token {word}")))
    }

    /// One more than the largest id.
    pub(super) fn ids(&self) -> i64 {
        self.words.values().max().map_or(0, |id| i64::from(*id) + 1)
    }
}

impl BytePairs {
    /// Reads `vocab.json` and `merges.txt`.
    pub(super) fn read(vocab: &Path, merges: &Path) -> Result<(Self, Vocabulary), NetError> {
        let text = fs::read_to_string(vocab).map_err(NetError::read(vocab))?;
        let words =
            serde_json::from_str(&text).map_err(|e| NetError::vocabulary(vocab, e.to_string()))?;
        let words = Vocabulary { file: vocab.to_owned(), words };
        let unknown = words.id("<unk>")?;
        let bytes = letters().map(|letter| {
            words.words.get(letter.encode_utf8(&mut [0; 4]) as &str).copied().unwrap_or(unknown)
        });
        let text = fs::read_to_string(merges).map_err(NetError::read(merges))?;
        let lines = text.lines().filter(|line| !line.starts_with("#version") && !line.is_empty());
        let mut pairs = HashMap::new();
        for (rank, line) in lines.enumerate() {
            let Some((left, right)) = line.trim_end().split_once(' ') else {
                return Err(NetError::vocabulary(merges, format!("no pair: {line:?}")));
            };
            let pair = (words.id(left)?, words.id(right)?);
            pairs.insert(pair, (rank as u32, words.id(&format!("{left}{right}"))?));
        }
        let word = Regex::new(WORD).map_err(|e| NetError::vocabulary(vocab, e.to_string()))?;
        Ok((Self { word, bytes, pairs, ids: words.ids() }, words))
    }

    pub(super) fn ids(&self) -> i64 {
        self.ids
    }

    pub(super) fn split(&self, text: &str, cut: &mut Cut) {
        let mut at = 0;
        while let Some(word) = self.word.find_at(text, at) {
            let mut end = word.end();
            // Of several spaces, the last one belongs to what follows.
            if let Some((last, space)) = word.as_str().char_indices().next_back()
                && space.is_whitespace()
                && last > 0
                && end < text.len()
            {
                end = word.start() + last;
            }
            for token in self.join(&text.as_bytes()[word.start()..end]) {
                if !cut.push(token) {
                    return;
                }
            }
            at = end;
        }
    }

    /// The tokens of one word. The lowest rank is joined first, the leftmost of equals; a heap of
    /// the pairs and a list of the neighbours keep long words from costing their square.
    fn join(&self, word: &[u8]) -> Vec<u32> {
        let mut parts: Vec<Part> = (0..word.len())
            .map(|at| Part {
                token: self.bytes[usize::from(word[at])],
                before: at.checked_sub(1),
                after: (at + 1 < word.len()).then_some(at + 1),
                gone: false,
            })
            .collect();
        let mut heap = BinaryHeap::new();
        let offer = |heap: &mut BinaryHeap<_>, parts: &[Part], left: usize| {
            let Some(right) = parts[left].after else { return };
            let pair = (parts[left].token, parts[right].token);
            if let Some((rank, joined)) = self.pairs.get(&pair) {
                heap.push(Reverse((*rank, left, *joined, pair)));
            }
        };
        for left in 0..parts.len() {
            offer(&mut heap, &parts, left);
        }
        while let Some(Reverse((_, left, joined, pair))) = heap.pop() {
            let Some(right) = parts[left].after else { continue };
            // One of the two may have been joined with another since.
            if parts[left].gone || (parts[left].token, parts[right].token) != pair {
                continue;
            }
            let after = parts[right].after;
            parts[right].gone = true;
            parts[left].token = joined;
            parts[left].after = after;
            if let Some(after) = after {
                parts[after].before = Some(left);
            }
            offer(&mut heap, &parts, left);
            if let Some(before) = parts[left].before {
                offer(&mut heap, &parts, before);
            }
        }
        parts.into_iter().filter(|part| !part.gone).map(|part| part.token).collect()
    }
}

/// A piece of a word, and its neighbours.
struct Part {
    token: u32,
    before: Option<usize>,
    after: Option<usize>,
    gone: bool,
}

/// The letter that stands for each byte in `vocab.json`: printable ones for themselves, the others
/// for letters from U+0100 on.
fn letters() -> [char; 256] {
    let mut next = 0x100;
    std::array::from_fn(|byte| {
        let letter = match byte {
            0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF => byte as u32,
            _ => {
                next += 1;
                next - 1
            }
        };
        char::from_u32(letter).unwrap_or(char::REPLACEMENT_CHARACTER)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes 0 to 255 are their own tokens; then the pairs' results.
    fn pairs(merges: &[(&str, &str)]) -> BytePairs {
        let mut words: HashMap<String, u32> =
            (0..=255_u8).map(|byte| ((byte as char).to_string(), u32::from(byte))).collect();
        let mut pairs = HashMap::new();
        for (rank, (left, right)) in merges.iter().enumerate() {
            let joined = 256 + rank as u32;
            words.insert(format!("{left}{right}"), joined);
            pairs.insert((words[*left], words[*right]), (rank as u32, joined));
        }
        let bytes = std::array::from_fn(|byte| byte as u32);
        BytePairs { word: Regex::new(WORD).unwrap(), bytes, pairs, ids: 256 + merges.len() as i64 }
    }

    fn split(pairs: &BytePairs, text: &str, most: usize) -> Vec<u32> {
        let mut cut = Cut { ids: Vec::new(), most };
        pairs.split(text, &mut cut);
        cut.ids
    }

    #[test]
    fn pairs_are_joined_in_the_order_in_which_they_were_learned() {
        // "aaa": the leftmost first. "abab": ab twice, then the two.
        let learned = pairs(&[("a", "a"), ("a", "b"), ("ab", "ab")]);
        assert_eq!(split(&learned, "aaa", 9), [256, 97]);
        assert_eq!(split(&learned, "abab", 9), [258]);
        // aa comes before ab, so what is left of the b stays alone.
        assert_eq!(split(&learned, "aab", 9), [256, 98]);
    }

    #[test]
    fn the_last_of_several_spaces_goes_with_the_word_after_it() {
        let learned = pairs(&[(" ", "b"), (" ", " ")]);
        assert_eq!(split(&learned, "a b", 9), [97, 256]);
        assert_eq!(split(&learned, "a   b", 9), [97, 257, 256]);
        assert_eq!(split(&learned, "a  ", 9), [97, 257]);
        assert_eq!(split(&learned, "a \u{a0}b", 9), [97, 32, 0xC2, 0xA0, 98]);
    }

    #[test]
    fn a_word_of_a_million_letters_is_split_in_no_more_than_its_share_of_time() {
        let learned = pairs(&[("a", "a"), ("aa", "aa")]);
        let tokens = split(&learned, &"a".repeat(1_000_000), 250_000);
        assert_eq!(tokens, vec![257; 250_000]);
    }

    #[test]
    fn splitting_stops_one_past_the_cut() {
        let learned = pairs(&[]);
        assert_eq!(split(&learned, "abc def ghi", 3).len(), 4);
    }

    #[test]
    fn every_byte_has_a_letter_of_its_own() {
        let letters = letters();
        let different: std::collections::HashSet<_> = letters.iter().collect();
        assert_eq!(different.len(), 256);
        assert_eq!((letters[b'A' as usize], letters[b' ' as usize]), ('A', 'Ġ'));
    }
}
