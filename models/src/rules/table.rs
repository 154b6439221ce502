//! Word lists, ready to be looked up.

use std::collections::HashMap;

use super::fold::without_particle;
use super::list::{Entry, Shape, lines};
use super::words::{Kind, Words};

/// Shortest stem that is looked for, in characters.
const STEM: usize = 3;
/// The language whose short words count whatever the language of the text.
const ENGLISH: &str = "en";

/// An entry that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Found<'a, V> {
    /// The entry, to know it again.
    pub entry: &'a str,
    /// Units that it covers, at least one.
    pub units: usize,
    /// What its list says of it.
    pub value: V,
}

/// The lists of all languages.
#[derive(Debug)]
pub(super) struct Tables<V> {
    /// Of one language: all that its list says. `None` is said of what means nothing in it,
    /// although it does in another.
    own: HashMap<&'static str, Table<Option<V>>>,
    /// Whatever the language: English, and of the others what is long enough to be no chance.
    everywhere: Table<V>,
    /// Lines that did not read.
    #[cfg_attr(not(test), allow(dead_code))]
    pub wrong: Vec<String>,
}

impl<V: Copy> Tables<V> {
    /// Reads `(language, list)`; of what two languages say about one entry everywhere, the first
    /// is kept. `value` reads the first column of a line, `merge` joins two lines of a language
    /// about one entry.
    pub fn read(
        lists: &[(&'static str, &'static str)],
        value: impl Fn(&str) -> Result<Option<V>, String>,
        merge: impl Fn(V, V) -> V,
    ) -> Self {
        let mut tables = Self { own: HashMap::new(), everywhere: Table::new(), wrong: Vec::new() };
        for &(language, list) in lists {
            let mut own = Table::new();
            let mut believed = Table::new();
            for line in lines(list) {
                let read = line.and_then(|(column, entries)| Ok((value(column)?, entries)));
                let (value, entries) = match read {
                    Ok(read) => read,
                    Err(error) => {
                        tables.wrong.push(format!("{language}: {error}"));
                        continue;
                    }
                };
                for entry in &entries {
                    own.add(entry, value, |old, new| Some(merge(old?, new?)));
                    if let Some(value) = value.filter(|_| language == ENGLISH || entry.is_long()) {
                        believed.add(entry, value, &merge);
                    }
                }
            }
            tables.everywhere.keep(believed);
            tables.own.insert(language, own);
        }
        tables
    }

    /// What the lists say, for a text in `language`, about the longest entry that begins at a unit.
    pub fn find(&self, language: &str, words: &Words, at: usize) -> Option<Found<'_, V>> {
        let own = self.own.get(language).and_then(|own| own.find(words, at));
        let other = self.everywhere.find(words, at);
        match (own, other) {
            (Some(own), other) if other.is_none_or(|other| own.units >= other.units) => {
                own.value.map(|value| Found { entry: own.entry, units: own.units, value })
            }
            (_, other) => other,
        }
    }

    /// The longest whole word, known everywhere, with which `word` begins: its bytes and value.
    pub fn head(&self, word: &str, least: usize) -> Option<(usize, V)> {
        let ends = word.char_indices().skip(least).map(|(at, _)| at);
        let ends: Vec<usize> = ends.collect();
        ends.into_iter()
            .rev()
            .find_map(|end| self.everywhere.words.get(&word[..end]).map(|value| (end, *value)))
    }

    /// The longest whole word, known everywhere, with which `word` ends: its bytes and value.
    pub fn tail(&self, word: &str, least: usize) -> Option<(usize, V)> {
        let chars = word.chars().count();
        let starts = word.char_indices().skip(1).take(chars.saturating_sub(least));
        starts
            .map(|(at, _)| &word[at..])
            .find_map(|tail| self.everywhere.words.get(tail).map(|value| (tail.len(), *value)))
    }
}

#[derive(Debug)]
struct Table<V> {
    words: HashMap<Box<str>, V>,
    stems: HashMap<Box<str>, V>,
    tails: HashMap<Box<str>, V>,
    /// First unit of each phrase, and units of the longest phrase that begins with it.
    phrases: HashMap<Box<str>, usize>,
}

impl<V: Copy> Table<V> {
    fn new() -> Self {
        let (words, stems, tails) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { words, stems, tails, phrases: HashMap::new() }
    }

    /// Adds an entry, a phrase also as the one word that hashtags make of it; one that is there
    /// already becomes `merge(old, new)`.
    fn add(&mut self, entry: &Entry, value: V, merge: impl Fn(V, V) -> V) {
        let shape = match entry.shape {
            Shape::Word => &mut self.words,
            Shape::Stem => &mut self.stems,
            Shape::Tail => &mut self.tails,
        };
        let mut put = |key: &str| {
            shape.entry(key.into()).and_modify(|old| *old = merge(*old, value)).or_insert(value);
        };
        let (text, units) = (entry.words.text(), entry.words.units.len());
        put(text);
        if text.contains(' ') {
            put(&text.replace(' ', ""));
        }
        if units > 1 {
            let longest = self.phrases.entry(entry.words.slice(0, 1).into()).or_default();
            *longest = units.max(*longest);
        }
    }

    /// Adds what is not here yet.
    fn keep(&mut self, other: Self) {
        for (here, other) in [
            (&mut self.words, other.words),
            (&mut self.stems, other.stems),
            (&mut self.tails, other.tails),
        ] {
            for (entry, value) in other {
                here.entry(entry).or_insert(value);
            }
        }
        for (first, units) in other.phrases {
            let longest = self.phrases.entry(first).or_default();
            *longest = units.max(*longest);
        }
    }

    fn find(&self, words: &Words, at: usize) -> Option<Found<'_, V>> {
        let unit = words.units.get(at)?;
        let first = words.slice(at, 1);
        let longest = self.phrases.get(first).copied().unwrap_or(1).min(words.units.len() - at);
        let phrase = (2..=longest).rev().find_map(|units| {
            let found = self.begun(words.slice(at, units), words.slice(at, units - 1).len() + 1);
            found.map(|(entry, value)| Found { entry, units, value })
        });
        phrase.or_else(|| {
            let found = self
                .begun(first, 0)
                .or_else(|| self.begun(unit.stretched.as_deref()?, 0))
                .or_else(|| self.ended(first).filter(|_| unit.kind == Kind::Word))
                .or_else(|| self.begun(without_particle(first)?, 0));
            found.map(|(entry, value)| Found { entry, units: 1, value })
        })
    }

    /// The entry that is this text, or the longest stem of it that has more than `least` bytes.
    fn begun(&self, text: &str, least: usize) -> Option<(&str, V)> {
        if let Some((entry, value)) = self.words.get_key_value(text) {
            return Some((entry, *value));
        }
        if self.stems.is_empty() {
            return None;
        }
        let ends = text.char_indices().map(|(at, c)| at + c.len_utf8()).skip(STEM - 1);
        let ends: Vec<usize> = ends.filter(|end| *end > least).collect();
        let stem = ends.into_iter().rev().find_map(|end| self.stems.get_key_value(&text[..end]));
        stem.map(|(entry, value)| (&**entry, *value))
    }

    /// The longest ending of this text.
    fn ended(&self, text: &str) -> Option<(&str, V)> {
        if self.tails.is_empty() {
            return None;
        }
        let tail = text.char_indices().find_map(|(at, _)| self.tails.get_key_value(&text[at..]));
        tail.map(|(entry, value)| (&**entry, *value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTS: [(&str, &str); 4] = [
        ("en", "1\tcar, cook*, cookie, machine learning, good\n2\tcar park*"),
        ("fr", "none\tcar\n3\tvoiture*, chat, good"),
        ("de", "4\t*kuchen, cookie"),
        ("ja", "5\t料理, 日本料理\nodd\tx"),
    ];

    fn tables() -> Tables<i32> {
        let value = |column: &str| match column {
            "none" => Ok(None),
            number => number.parse().map(Some).map_err(|_| format!("no number: {number}")),
        };
        Tables::read(&LISTS, value, |old, new| old * 10 + new)
    }

    #[test]
    fn entries_are_found_in_their_language_and_elsewhere() {
        let tables = tables();
        for (language, text, expected) in [
            ("en", "car", Some((1, 1))),
            ("und", "car", Some((1, 1))),
            ("fr", "car", None),
            ("en", "cookie", Some((1, 1))),
            ("de", "cookie", Some((1, 4))),
            ("en", "cooking", Some((1, 1))),
            ("en", "machine learning", Some((2, 1))),
            ("fr", "machine learning", Some((2, 1))),
            ("en", "machinelearning", Some((1, 1))),
            ("en", "machine", None),
            ("en", "car parking", Some((2, 2))),
            ("fr", "car park", Some((2, 2))),
            ("en", "carpet", None),
            ("en", "voitures", Some((1, 3))),
            ("en", "chat", None),
            ("fr", "chat", Some((1, 3))),
            ("de", "Apfelkuchen", Some((1, 4))),
            ("en", "Apfelkuchen", Some((1, 4))),
            ("ja", "日本料理の", Some((4, 5))),
            ("zh", "料理好", Some((2, 5))),
            ("en", "gooood", Some((1, 1))),
        ] {
            let words = Words::of(text);
            let found = tables.find(language, &words, 0).map(|found| (found.units, found.value));
            assert_eq!(found, expected, "{language} {text}");
        }
        assert_eq!(tables.wrong, ["ja: no number: odd"]);
        assert_eq!(tables.find("en", &Words::of("car"), 1), None);
    }

    #[test]
    fn the_ends_of_a_word_are_found() {
        let tables = tables();
        assert_eq!(tables.head("cookieland", 4), Some((6, 1)));
        assert_eq!(tables.head("cookie", 4), None);
        assert_eq!(tables.tail("bestcookie", 4), Some((6, 1)));
        assert_eq!(tables.tail("cookie", 4), None);
        assert_eq!(tables.tail("mycar", 4), None);
        assert_eq!(tables.head("é", 4), None);
    }
}
