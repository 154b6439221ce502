//! A text as the lists see it: words, one after another.

use unicode_segmentation::UnicodeSegmentation;

use super::emoticon;
use super::fold::fold;
use crate::text::{Part, parts};

/// What a unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A word with spaces around it.
    Word,
    /// A letter of a script that puts no spaces between words: words are found as runs of them.
    Letter,
    /// An emoji, without skin tone, or an emoticon.
    Emoji,
}

/// The smallest thing that can be looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    start: usize,
    end: usize,
    pub kind: Kind,
    /// In capitals, of at least two letters.
    pub shouted: bool,
    /// Something ends before it: a full stop, a comma, an emoji.
    pub breaks: bool,
    /// For a word with a letter held (`sooo`, which reads `soo`): the word with it once (`so`).
    pub stretched: Option<Box<str>>,
}

/// Folded words of a text, in order; one space between them, none between letters of scripts that
/// have none.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    text: String,
    pub units: Vec<Unit>,
    glued: bool,
    broken: bool,
}

impl Words {
    /// Of what stands between the hashtags and mentions of a text.
    pub fn outside_tags(text: &str) -> Self {
        let mut words = Self::default();
        for part in parts(text) {
            match part {
                Part::Plain(plain) => words.read(plain),
                Part::Tag(_) | Part::Mention(_) => words.stop(),
            }
        }
        words
    }

    /// Of a text without hashtags: an entry of a list.
    pub fn of(text: &str) -> Self {
        let mut words = Self::default();
        words.read(text);
        words
    }

    /// `count` units from `at` on, as one text. The caller stays within the units.
    pub fn slice(&self, at: usize, count: usize) -> &str {
        match (self.units.get(at), self.units.get(at + count - 1)) {
            (Some(first), Some(last)) => &self.text[first.start..last.end],
            _ => "",
        }
    }

    /// All of it.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn read(&mut self, plain: &str) {
        for chunk in plain.split_whitespace() {
            self.glued = false;
            let (body, face) = emoticon::split(chunk);
            for piece in body.split_word_bounds() {
                self.piece(piece);
            }
            if let Some(face) = face {
                self.emoji(face);
            } else if body.chars().all(|c| matches!(c, '-' | '–' | '—' | '|' | '/' | '•' | '·'))
            {
                self.broken = true;
            }
        }
        self.glued = false;
    }

    fn stop(&mut self) {
        self.glued = false;
        self.broken = true;
    }

    fn piece(&mut self, piece: &str) {
        match piece.chars().next() {
            Some(c) if c.is_alphanumeric() => self.word(piece),
            Some(c) if is_emoji(c) => {
                let key: String = piece.chars().filter(|c| !is_tone(*c)).collect();
                self.emoji(key.trim_end_matches(['\u{200D}', '♀', '♂']));
            }
            // A hyphen inside a word parts it without ending anything.
            Some('-' | '\'' | '’' | '_') => self.glued = false,
            Some(_) => self.stop(),
            None => {}
        }
    }

    fn emoji(&mut self, key: &str) {
        self.stop();
        self.push(key, Kind::Emoji, false, None);
        self.stop();
    }

    fn word(&mut self, raw: &str) {
        let shouted = raw.chars().filter(|c| c.is_uppercase()).count() >= 2
            && !raw.chars().any(char::is_lowercase);
        let folded = fold(raw);
        for word in apart(&folded) {
            let mut rest = word;
            while let Some(first) = rest.chars().next() {
                let spaced = !is_unspaced(first);
                let end = rest.find(|c| is_unspaced(c) == spaced).unwrap_or(rest.len());
                let (run, after) = rest.split_at(end);
                rest = after;
                if spaced {
                    let (once, twice) = squeezed(run);
                    let stretched = (once != twice).then(|| once.into_boxed_str());
                    self.glued = false;
                    self.push(&twice, Kind::Word, shouted, stretched);
                    self.glued = false;
                } else {
                    for letter in run.graphemes(true) {
                        self.push(letter, Kind::Letter, false, None);
                        self.glued = true;
                    }
                }
            }
        }
    }

    fn push(&mut self, key: &str, kind: Kind, shouted: bool, stretched: Option<Box<str>>) {
        if key.is_empty() {
            return;
        }
        if !self.glued && !self.text.is_empty() {
            self.text.push(' ');
        }
        let start = self.text.len();
        self.text.push_str(key);
        let breaks = std::mem::take(&mut self.broken);
        self.units.push(Unit { start, end: self.text.len(), kind, shouted, breaks, stretched });
    }
}

/// A word apart at its apostrophes: `l'amour` is two words, `mother's` one with an ending that says
/// nothing, `don't` one.
fn apart(word: &str) -> impl Iterator<Item = &str> {
    let whole = word.ends_with("n't");
    let words = word.split(move |c| c == '\'' && !whole);
    let endings = ["s", "re", "ve", "ll", "d", "m"];
    words.enumerate().filter(move |(at, word)| *at == 0 || !endings.contains(word)).map(|(_, w)| w)
}

/// A word in which a letter stands three or more times in a row: with it once, and with it twice.
fn squeezed(word: &str) -> (String, String) {
    let (mut once, mut twice) = (String::with_capacity(word.len()), String::new());
    let mut chars = word.chars().peekable();
    while let Some(c) = chars.next() {
        let mut times = 1;
        while chars.next_if_eq(&c).is_some() {
            times += 1;
        }
        let held = times > 2 && c.is_alphabetic();
        once.extend(std::iter::repeat_n(c, if held { 1 } else { times }));
        twice.extend(std::iter::repeat_n(c, if held { 2 } else { times }));
    }
    (once, twice)
}

/// Thai, Lao, Myanmar, Khmer, kana, Han; and Hangul, which glues particles and compounds.
pub(super) fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{0E00}'..='\u{0EFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}'
        | '々' | '\u{3040}'..='\u{30FF}' | '\u{31F0}'..='\u{31FF}'
        | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}'
        | '\u{AC00}'..='\u{D7AF}' | '\u{20000}'..='\u{3FFFF}')
}

/// Pictures; not digits and signs that only become one with a selector behind them.
fn is_emoji(c: char) -> bool {
    matches!(c,
        '\u{2190}'..='\u{21FF}' | '\u{2300}'..='\u{23FF}' | '\u{25A0}'..='\u{27BF}'
        | '\u{2900}'..='\u{297F}' | '\u{2B00}'..='\u{2BFF}' | '\u{1F000}'..='\u{1FAFF}')
}

/// Skin tones, variation selectors.
fn is_tone(c: char) -> bool {
    matches!(c, '\u{1F3FB}'..='\u{1F3FF}' | '\u{FE0E}' | '\u{FE0F}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_as_words() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            ("Fresh BREAD, well-being!", &["fresh", "bread", "well", "being"]),
            ("l'amour d’été mother's don't", &["l", "amour", "d", "ete", "mother", "don't"]),
            ("sooo 1000 yesss", &["soo", "1000", "yess"]),
            ("great:) <3 xD", &["great", ":)", "<3", ":D"]),
            ("日本料理", &["日", "本", "料", "理"]),
            ("kpop아이돌", &["kpop", "아", "이", "돌"]),
            ("สวัสดี", &["ส", "วั", "ส", "ดี"]),
            ("👍🏽👩‍🍳❤️🏃🏻‍♀️", &["👍", "👩‍🍳", "❤", "🏃"]),
            ("with @bread #bread", &["with"]),
        ];
        for (text, expected) in cases {
            let words = Words::outside_tags(text);
            let found: Vec<_> = (0..words.units.len()).map(|at| words.slice(at, 1)).collect();
            assert_eq!(found, *expected, "{text}");
        }
        assert_eq!(Words::of("日本 料理です").text(), "日本 料理です");
        assert_eq!(Words::of("machine  Learning").slice(0, 2), "machine learning");
    }

    #[test]
    fn capitals_held_letters_and_ends_are_noticed() {
        let words = Words::of("I am SOOO happy. Not");
        let of = |at: usize| &words.units[at];
        assert!(!of(0).shouted && of(2).shouted && !of(3).shouted);
        assert_eq!(of(2).stretched.as_deref(), Some("so"));
        assert!(!of(3).breaks && of(4).breaks);
    }
}
