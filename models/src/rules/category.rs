//! What a caption is about, by words and hashtags.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::lists::CATEGORY;
use super::table::Tables;
use super::tags;
use super::words::Words;
use crate::label::Category;

/// What a word, and what a hashtag is worth.
const WORD: f64 = 1.0;
const HASHTAG: f64 = 1.5;
/// Nearly everything is life: its words say half as much.
const LIFESTYLE: f64 = 0.5;
/// Shortest word believed as the beginning or end of a hashtag, and the least that stands beside
/// it, in characters and bytes.
const PART: usize = 4;
const BESIDE: usize = 3;

/// A set of categories: a bit each, by their order.
type Set = u32;

/// What an entry says where it stands as a word, and where it stands in a hashtag.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Says {
    words: Set,
    tags: Set,
}

impl Says {
    fn in_tag(self) -> Set {
        self.words | self.tags
    }
}

static TABLES: LazyLock<Tables<Says>> = LazyLock::new(|| {
    let merge =
        |old: Says, new: Says| Says { words: old.words | new.words, tags: old.tags | new.tags };
    Tables::read(CATEGORY, says, merge)
});

/// The first column: `Music`; `Music #` of what is believed in hashtags only; `none`.
fn says(column: &str) -> Result<Option<Says>, String> {
    if column == "none" {
        return Ok(None);
    }
    let (label, only_tags) =
        column.strip_suffix(" #").map_or((column, false), |label| (label, true));
    let at = Category::ALL.iter().position(|one| one.as_str() == label);
    let set = 1 << at.ok_or_else(|| format!("no category: {label}"))?;
    Ok(Some(Says { words: if only_tags { 0 } else { set }, tags: set }))
}

/// The category with the most hits and the confidence in it; `None` when nothing hits.
///
/// A word counts once however often it stands in the caption; a hashtag counts once for each
/// category that it names.
pub(super) fn hit(words: &Words, tags: &[&str], language: &str) -> Option<(Category, f64)> {
    let mut scores = [0.0; Category::ALL.len()];
    let mut add = |set: Set, worth: f64| {
        for (at, score) in scores.iter_mut().enumerate() {
            if set & (1 << at) != 0 {
                *score += worth;
            }
        }
    };
    let mut seen = HashSet::new();
    for (entry, says) in entries(words, language) {
        if seen.insert(entry) {
            add(says.words, WORD);
        }
    }
    for tag in tags {
        add(of_tag(tag, language), HASHTAG);
    }
    scores[Category::Lifestyle as usize] *= LIFESTYLE;
    decide(&scores)
}

fn decide(scores: &[f64; Category::ALL.len()]) -> Option<(Category, f64)> {
    let total: f64 = scores.iter().sum();
    let mut best: Option<(Category, f64)> = None;
    for (label, score) in Category::ALL.iter().zip(scores) {
        if *score > best.map_or(0.0, |(_, best)| best) {
            best = Some((*label, *score));
        }
    }
    best.map(|(label, best)| (label, (0.4 + best / total * 0.5).min(0.9)))
}

/// The entries in a text, from left to right; what is part of a longer one is passed over.
fn entries<'a>(
    words: &'a Words,
    language: &'a str,
) -> impl Iterator<Item = (&'static str, Says)> + 'a {
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < words.units.len() {
            match TABLES.find(language, words, at) {
                Some(found) => {
                    at += found.units;
                    return Some((found.entry, found.value));
                }
                None => at += 1,
            }
        }
        None
    })
}

/// The categories that a hashtag names: by its words where it shows them, else as a whole, else by
/// how it begins and ends.
fn of_tag(tag: &str, language: &str) -> Set {
    let named =
        |words: &Words| entries(words, language).fold(0, |set, (_, says)| set | says.in_tag());
    let parts = Words::of(&tags::apart(tag));
    if parts.units.len() > 1 {
        let named = named(&parts);
        if named != 0 {
            return named;
        }
    }
    let whole = Words::of(&tag.replace('_', ""));
    let [_] = whole.units.as_slice() else { return named(&whole) };
    let word = whole.text();
    let leaves = |part: &(usize, Says)| word.len() - part.0 >= BESIDE;
    let head = match TABLES.find(language, &whole, 0) {
        Some(found) if found.entry.len() >= word.len() => return found.value.in_tag(),
        Some(found) => Some((found.entry.len(), found.value)),
        None => TABLES.head(word, PART).filter(leaves),
    };
    let tail = TABLES.tail(word, PART).filter(leaves);
    match (head, tail) {
        // Two words do not share letters: the longer one is meant.
        (Some((head, says)), Some((tail, _))) if head + tail > word.len() && head >= tail => {
            says.in_tag()
        }
        (Some((head, _)), Some((tail, says))) if head + tail > word.len() => says.in_tag(),
        (head, tail) => [head, tail].iter().flatten().fold(0, |set, (_, says)| set | says.in_tag()),
    }
}
