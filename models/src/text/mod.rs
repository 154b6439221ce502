//! From a caption to the text that is analysed.

mod address;
mod parts;

use std::collections::HashSet;
use std::fmt::Write;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::GraphemeCursor;

pub(crate) use parts::{Part, parts};

/// Longest prepared text, in characters. Instagram allows 2,200; what is longer is not a caption,
/// and costs no more than this.
pub const LIMIT: usize = 10_000;

/// How much of a caption is read, in characters: room for what is removed from it.
const READ: usize = 2 * LIMIT;
/// How many hashtags are added to a caption, and how long each may be, in characters.
const TAGS: usize = 100;
const TAG: usize = 100;

/// What the tokenizers of the models take for commands when it stands in a text.
const SPECIAL: [&str; 10] =
    ["<s>", "</s>", "<pad>", "<mask>", "<unk>", "[CLS]", "[SEP]", "[PAD]", "[MASK]", "[UNK]"];

/// A caption made ready: see [`Prepared::of`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    /// Caption and hashtags, cleaned. Empty when nothing is left.
    pub text: String,
    /// The hashtags alone, lower case, without `#`.
    pub hashtags: Vec<String>,
}

impl Prepared {
    /// The caption and those of the hashtags that it does not contain, as one clean text of at most
    /// [`LIMIT`] characters: without web and e-mail addresses, without characters that are not seen
    /// (controls, direction overrides, zero-width ones that hold no word together), without the
    /// special tokens of models, in Unicode's NFC, with single spaces.
    ///
    /// Addresses are removed, not replaced: the words in them name hosts, not what a caption is
    /// about. Hashtags may be given with or without `#`.
    pub fn of(caption: &str, hashtags: &[String]) -> Self {
        let mut raw: String = caption.chars().take(READ).collect();
        let mut known: HashSet<String> = hashtags_of(&raw).into_iter().collect();
        for tag in hashtags.iter().take(TAGS) {
            let tag: String =
                tag.trim().trim_start_matches(['#', '＃']).chars().take(TAG).collect();
            if !tag.is_empty() && known.insert(tag.to_lowercase()) {
                raw.push_str(" #");
                raw.push_str(&tag);
            }
        }
        let text = clean(&raw);
        let hashtags = hashtags_of(&text);
        Self { text, hashtags }
    }

    /// SHA-256 of the text, hex: the same text is computed once. The hashtags are part of it.
    pub fn content_hash(&self) -> String {
        hex(&Sha256::digest(self.text.as_bytes()))
    }
}

/// The form that models of tweets were trained on: each mention becomes `@user` and each link
/// `http`. A prepared text holds no more links; other texts may.
pub fn for_tweets(text: &str) -> String {
    let text = address::replaced(text, "http");
    let mut out = String::with_capacity(text.len());
    for part in parts(&text) {
        match part {
            Part::Plain(words) => out.push_str(words),
            Part::Tag(tag) => {
                out.push('#');
                out.push_str(tag);
            }
            Part::Mention(_) => out.push_str("@user"),
        }
    }
    out
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
        let _ = write!(out, "{byte:02x}"); // a String takes everything
        out
    })
}

/// Distinct, lower case, in order.
fn hashtags_of(text: &str) -> Vec<String> {
    let mut seen = HashSet::new();
    let tags = parts(text).into_iter().filter_map(|part| match part {
        Part::Tag(tag) => Some(tag.to_lowercase()),
        Part::Plain(_) | Part::Mention(_) => None,
    });
    tags.filter(|tag| seen.insert(tag.clone())).collect()
}

fn clean(raw: &str) -> String {
    let visible = raw.chars().filter_map(|c| match c {
        c if c.is_whitespace() => Some(' '),
        c if is_hidden(c) => None,
        c => Some(c),
    });
    // Before NFC: a combining mark may stand behind a token that goes.
    let text: String = without_special(visible).into_iter().nfc().collect();
    let text = address::replaced(&text, " ");
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    cut(&mut out, LIMIT);
    out
}

/// Characters nobody sees. Joiners stay: they hold emoji, Persian and Indic words together.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{180E}'
            | '\u{200B}' | '\u{200E}' | '\u{200F}' // zero-width space, direction marks
            | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' // overrides, isolates
            | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFD}'
            | '\u{1D173}'..='\u{1D17A}'
            | '\u{E0000}'..='\u{E0FFF}') // tags: text that is hidden in an emoji
}

/// Removes special tokens, also those that appear when another one goes, and those written with
/// characters that a tokenizer's compatibility normalization turns into theirs (`＜s＞`).
fn without_special(text: impl Iterator<Item = char>) -> Vec<char> {
    let mut kept: Vec<char> = Vec::new();
    let mut plain: Vec<char> = Vec::new();
    for c in text {
        kept.push(c);
        plain.push(compatible(c));
        if !matches!(plain.last(), Some('>' | ']')) {
            continue;
        }
        let ends = |token: &&&str| {
            token.len() <= plain.len()
                && token.chars().rev().eq(plain.iter().rev().copied().take(token.len()))
        };
        if let Some(token) = SPECIAL.iter().find(ends) {
            let left = kept.len() - token.len(); // tokens are ASCII: bytes are characters
            kept.truncate(left);
            plain.truncate(left);
        }
    }
    kept
}

/// The one character that NFKC makes of this one; itself when it makes several.
fn compatible(c: char) -> char {
    if c.is_ascii() {
        return c;
    }
    let mut made = std::iter::once(c).nfkc();
    match (made.next(), made.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

/// Shortens a text to `max` characters, not in the middle of what is seen as one.
fn cut(text: &mut String, max: usize) {
    let Some((end, _)) = text.char_indices().nth(max) else { return };
    let mut cursor = GraphemeCursor::new(end, text.len(), true);
    // With the whole text at hand neither call asks for more of it.
    let at = match cursor.is_boundary(text, 0) {
        Ok(true) => end,
        _ => cursor.prev_boundary(text, 0).ok().flatten().filter(|at| *at > 0).unwrap_or(end),
    };
    text.truncate(at);
    text.truncate(text.trim_end().len());
}

#[cfg(test)]
mod tests;
