//! SentencePiece unigrams, as XLM-RoBERTa uses them: of all ways to cut a word into known pieces,
//! the most likely one.

use std::fs;
use std::path::Path;

use unicode_segmentation::UnicodeSegmentation;

use super::Cut;
use super::proto::{Fields, Value};
use crate::nets::error::NetError;

/// `<s>`: fairseq's order of special tokens, which is not that of the model's file.
pub(super) const START: u32 = 0;
/// `</s>`.
pub(super) const END: u32 = 2;
const UNKNOWN: u32 = 3;
/// Stands before each word.
const MARK: char = '\u{2581}';
/// How much less likely than the least likely piece a character is that is in none.
const UNKNOWN_PENALTY: f64 = 10.0;

/// Types of pieces that text is cut into: normal ones and the user's.
const IN_TEXT: [u64; 2] = [1, 4];

pub(super) struct Pieces {
    /// The bytes of all pieces, sorted, one after another.
    text: Vec<u8>,
    /// Where each piece begins in `text`, and where the last one ends.
    starts: Vec<u32>,
    /// Token and log-probability of each.
    values: Vec<(u32, f32)>,
    unknown_score: f64,
    ids: i64,
    normal: Normalizer,
}

impl Pieces {
    /// Reads a SentencePiece model.
    pub(super) fn read(file: &Path) -> Result<Self, NetError> {
        let bytes = fs::read(file).map_err(NetError::read(file))?;
        Self::of_model(&bytes).map_err(|reason| NetError::vocabulary(file, reason))
    }

    fn of_model(model: &[u8]) -> Result<Self, &'static str> {
        let mut pieces = Vec::new();
        let mut normal = Normalizer::default();
        let mut least = f32::INFINITY;
        let mut count = 0_u32;
        for field in Fields(model) {
            match field? {
                (1, Value::Bytes(message)) => {
                    let (text, score, kind) = piece(message)?;
                    least = least.min(score);
                    if IN_TEXT.contains(&kind) && !text.is_empty() {
                        // The file's first three are <unk>, <s>, </s>; fairseq has four.
                        pieces.push((text, count + 1, score));
                    }
                    count += 1;
                }
                (3, Value::Bytes(message)) => normal = Normalizer::of_spec(message)?,
                _ => {}
            }
        }
        if pieces.is_empty() {
            return Err("there are no pieces in it");
        }
        pieces.sort_unstable_by_key(|piece| piece.0);
        let total: usize = pieces.iter().map(|piece| piece.0.len()).sum();
        u32::try_from(total).map_err(|_| "its pieces are longer than 4 GB")?;
        let mut text = Vec::with_capacity(total);
        let mut starts = vec![0];
        for (piece, ..) in &pieces {
            text.extend_from_slice(piece);
            starts.push(text.len() as u32);
        }
        let values = pieces.iter().map(|(_, token, score)| (*token, *score)).collect();
        let unknown_score = f64::from(least) - UNKNOWN_PENALTY;
        // <mask> comes last.
        Ok(Self { text, starts, values, unknown_score, ids: i64::from(count) + 2, normal })
    }

    pub(super) fn ids(&self) -> i64 {
        self.ids
    }

    pub(super) fn split(&self, text: &str, cut: &mut Cut) {
        let text = self.normal.of(text);
        let mut marked = String::new();
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            marked.clear();
            marked.push(MARK);
            marked.push_str(word);
            for token in self.best(&marked) {
                if !cut.push(token) {
                    return;
                }
            }
        }
    }

    /// The most likely tokens of a word (Viterbi). Unknown characters in a row are one token.
    fn best(&self, word: &str) -> Vec<u32> {
        #[derive(Clone, Copy)]
        struct Step {
            from: usize,
            token: u32,
            score: f64,
        }
        // The best way to each byte; only ends of pieces are ever reached.
        let mut steps: Vec<Option<Step>> = vec![None; word.len() + 1];
        for (from, character) in word.char_indices() {
            let here = if from == 0 { 0.0 } else { steps[from].map_or(0.0, |step| step.score) };
            let mut reach = |to: usize, token, score: f64| {
                if steps[to].is_none_or(|step| score > step.score) {
                    steps[to] = Some(Step { from, token, score });
                }
            };
            let next = from + character.len_utf8();
            let mut alone = false;
            self.each_prefix(&word.as_bytes()[from..], |length, (token, score)| {
                alone |= from + length == next;
                reach(from + length, token, here + f64::from(score));
            });
            if !alone {
                reach(next, UNKNOWN, here + self.unknown_score);
            }
        }
        let mut tokens = Vec::new();
        let mut at = word.len();
        while at > 0
            && let Some(step) = steps[at]
        {
            if step.token != UNKNOWN || tokens.last() != Some(&UNKNOWN) {
                tokens.push(step.token);
            }
            at = step.from;
        }
        tokens.reverse();
        tokens
    }

    /// Calls `found` with length and value of each piece that the text begins with, shortest first.
    fn each_prefix(&self, text: &[u8], mut found: impl FnMut(usize, (u32, f32))) {
        let (mut low, mut high) = (0, self.values.len());
        for (depth, byte) in text.iter().enumerate() {
            // Within low..high the first `depth` bytes are those of the text. A piece that ends
            // there sorts first.
            let at = |piece: usize| {
                let piece =
                    &self.text[self.starts[piece] as usize..self.starts[piece + 1] as usize];
                piece.get(depth)
            };
            low += partition(high - low, |piece| at(low + piece) < Some(byte));
            high = low + partition(high - low, |piece| at(low + piece) <= Some(byte));
            if low == high {
                return;
            }
            if (self.starts[low + 1] - self.starts[low]) as usize == depth + 1 {
                found(depth + 1, self.values[low]);
            }
        }
    }
}

/// How many of the first `count` indices fulfil a condition that holds up to some index.
fn partition(count: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

fn piece(message: &[u8]) -> Result<(&[u8], f32, u64), &'static str> {
    let (mut text, mut score, mut kind) = (&[][..], 0.0, 1);
    for field in Fields(message) {
        match field? {
            (1, Value::Bytes(bytes)) => text = bytes,
            (2, Value::Float(number)) => score = number,
            (3, Value::Number(number)) => kind = number,
            _ => {}
        }
    }
    Ok((text, score, kind))
}

/// The model's own table of replacements: a double array of what is replaced, and the
/// replacements, each ended by a zero.
#[derive(Default)]
struct Normalizer {
    units: Vec<u32>,
    replacements: String,
}

impl Normalizer {
    fn of_spec(message: &[u8]) -> Result<Self, &'static str> {
        for field in Fields(message) {
            if let (2, Value::Bytes(table)) = field?
                && !table.is_empty()
            {
                return Self::of_table(table).ok_or("its table of replacements is damaged");
            }
        }
        Ok(Self::default())
    }

    fn of_table(table: &[u8]) -> Option<Self> {
        let (length, rest) = table.split_first_chunk::<4>()?;
        let (array, replacements) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let units = array.chunks_exact(4).map(|unit| unit.try_into().map(u32::from_le_bytes));
        let units = units.collect::<Result<_, _>>().ok()?;
        let replacements = String::from_utf8(replacements.to_vec()).ok()?;
        Some(Self { units, replacements })
    }

    /// The text with the replacements made. A short cluster is looked up whole, and stands for its
    /// beginning when only that is in the table; else its characters are looked up: so does the
    /// reference.
    fn of(&self, text: &str) -> String {
        let mut normal = String::with_capacity(text.len());
        for cluster in text.graphemes(true) {
            let whole = if cluster.len() < 6 { self.replacement(cluster) } else { None };
            if let Some(whole) = whole {
                normal.push_str(whole);
                continue;
            }
            for character in cluster.chars() {
                let mut bytes = [0; 4];
                let alone = character.encode_utf8(&mut bytes);
                match self.replacement(alone) {
                    Some(other) => normal.push_str(other),
                    None => normal.push(character),
                }
            }
        }
        normal
    }

    /// What stands in the table for the shortest beginning of `text` that is in it.
    fn replacement(&self, text: &str) -> Option<&str> {
        let mut at = 0;
        let mut unit = *self.units.first()?;
        at ^= offset(unit);
        for byte in text.bytes() {
            at ^= usize::from(byte);
            unit = *self.units.get(at)?;
            // A unit's label is its byte; units of values have the top bit too.
            if unit & 0x8000_00FF != u32::from(byte) {
                return None;
            }
            at ^= offset(unit);
            if unit >> 8 & 1 == 1 {
                let start = (*self.units.get(at)? & 0x7FFF_FFFF) as usize;
                let found = self.replacements.get(start..)?;
                return found.split('\0').next();
            }
        }
        None
    }
}

/// Where the children of a unit are, relative to it.
fn offset(unit: u32) -> usize {
    ((unit >> 10) << ((unit & 0x200) >> 6)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut field = vec![number << 3 | 2, bytes.len() as u8];
        field.extend(bytes);
        field
    }

    fn model(pieces: &[(&str, f32, u8)]) -> Vec<u8> {
        let mut model = Vec::new();
        for (text, score, kind) in pieces {
            let mut piece = field(1, text.as_bytes());
            piece.push(0x15);
            piece.extend(score.to_le_bytes());
            piece.extend([0x18, *kind]);
            model.extend(field(1, &piece));
        }
        model
    }

    fn tokens(pieces: &Pieces, text: &str) -> Vec<u32> {
        let mut cut = Cut { ids: Vec::new(), most: 100 };
        pieces.split(text, &mut cut);
        cut.ids
    }

    fn abc() -> Pieces {
        let special = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)];
        let normal =
            [("▁", -3.0, 1), ("a", -2.0, 1), ("ab", -2.5, 1), ("b", -2.0, 1), ("▁ab", -9.0, 1)];
        Pieces::of_model(&model(&[&special[..], &normal[..]].concat())).unwrap()
    }

    #[test]
    fn the_most_likely_pieces_are_taken() {
        // ▁ + ab = -5.5 beats ▁ab = -9 and ▁ + a + b = -7. Tokens are one above the file's.
        assert_eq!(tokens(&abc(), "ab"), [4, 6]);
        assert_eq!(tokens(&abc(), "ba ab"), [4, 7, 5, 4, 6]);
        assert_eq!(abc().ids(), 10);
    }

    #[test]
    fn unknown_characters_in_a_row_are_one_token() {
        assert_eq!(tokens(&abc(), "aéçb"), [4, 5, 3, 7]);
        assert_eq!(tokens(&abc(), "😀 😀a"), [4, 3, 4, 3, 5]);
        assert!(tokens(&abc(), "").is_empty());
    }

    #[test]
    fn a_special_token_in_a_text_is_text() {
        let in_text = tokens(&abc(), "</s>");
        assert_eq!(in_text, [4, 3]);
    }

    #[test]
    fn a_damaged_model_is_an_error() {
        let whole = model(&[("<unk>", 0.0, 2), ("a", -1.0, 1)]);
        assert!(Pieces::of_model(&whole[..whole.len() - 3]).is_err());
        assert!(Pieces::of_model(&[]).is_err());
        let mut with_table = whole.clone();
        with_table.extend(field(3, &field(2, &[255, 255, 0, 0, 1])));
        assert!(Pieces::of_model(&with_table).is_err());
    }

    #[test]
    fn a_table_whose_places_lead_nowhere_replaces_nothing() {
        for unit in [0, 0xFFFF_FFFF, 0x0000_0161, 0x7FFF_FD61] {
            let normal = Normalizer { units: vec![unit; 3], replacements: "x\0".to_owned() };
            assert!(normal.of("a").len() <= 1);
        }
    }
}
