//! How the word lists are written.
//!
//! A list is lines of `value<TAB>entry, entry, …`; `#` begins a comment. An entry is a word, an
//! emoji, or a phrase of some words. `*` at its end stands for any ending (`travel*`), at its
//! beginning for any beginning (`*kuchen`). An entry of a script without spaces is found wherever
//! it stands.

use super::words::{Kind, Words};

/// Shortest word that means the same in any language it turns up in, in characters: short ones do
/// not (French `car`, German `hat`).
const LONG: usize = 5;

/// Which words an entry stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Itself.
    Word,
    /// Those that begin with it.
    Stem,
    /// Those that end with it.
    Tail,
}

/// An entry of a list.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub words: Words,
    pub shape: Shape,
}

impl Entry {
    fn read(entry: &str) -> Option<Self> {
        let entry = entry.trim();
        let (entry, shape) = match (entry.strip_suffix('*'), entry.strip_prefix('*')) {
            (Some(stem), _) => (stem, Shape::Stem),
            (None, Some(tail)) => (tail, Shape::Tail),
            (None, None) => (entry, Shape::Word),
        };
        let words = Words::of(entry);
        (!words.units.is_empty() && !entry.contains('*')).then_some(Self { words, shape })
    }

    /// Whether it can be believed in a text of another language.
    pub fn is_long(&self) -> bool {
        match self.words.units.as_slice() {
            [one] => one.kind == Kind::Emoji || self.words.text().chars().count() >= LONG,
            several => several[0].kind == Kind::Letter || self.words.text().chars().count() >= LONG,
        }
    }
}

/// The lines of a list: the first column, and the entries. `Err` is a line that does not read.
pub(super) fn lines(list: &str) -> impl Iterator<Item = Result<(&str, Vec<Entry>), String>> {
    let lines = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| {
        let (column, entries) = line.split_once('\t').ok_or_else(|| format!("no tab: {line}"))?;
        let entries = entries.split(',').map(|entry| {
            Entry::read(entry).ok_or_else(|| format!("no entry: {entry:?} in {line}"))
        });
        Ok((column, entries.collect::<Result<_, _>>()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_value_and_entries() {
        let list = "# words\n\n2\tgood, very well*, *gut\nbroken\n1\ta,,b\n";
        let read: Vec<_> = lines(list).collect();
        assert_eq!(read.len(), 3);
        let (column, entries) = read[0].as_ref().unwrap();
        let of = |at: usize| (entries[at].words.text(), entries[at].shape);
        assert_eq!(*column, "2");
        assert_eq!(of(0), ("good", Shape::Word));
        assert_eq!(of(1), ("very well", Shape::Stem));
        assert_eq!(of(2), ("gut", Shape::Tail));
        assert!(read[1].as_ref().unwrap_err().contains("no tab"));
        assert!(read[2].as_ref().unwrap_err().contains("no entry"));
    }

    #[test]
    fn short_words_are_not_believed_elsewhere() {
        for (entry, long) in
            [("car", false), ("voiture", true), ("🚗", true), ("料理", true), ("茶", false)]
        {
            assert_eq!(Entry::read(entry).unwrap().is_long(), long, "{entry}");
        }
    }
}
