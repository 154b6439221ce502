//! How a caption sounds, by words that say so.
//!
//! The way of VADER (Hutto and Gilbert, 2014), with lists of our own and in more languages: each
//! word of a list has a valence from −4 to 4, which the words around it strengthen, weaken or turn;
//! their sum becomes a number between −1 and 1, and that the three probabilities.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::lists::SENTIMENT;
use super::table::{Found, Tables};
use super::tags;
use super::words::{Kind, Words};
use crate::analysis::SentimentFound;
use crate::label::Method;

/// What `very` adds to a valence, and `slightly` takes. This and the next four are VADER's.
const DEGREE: f64 = 0.293;
/// What capitals among small letters add.
const CAPITALS: f64 = 0.733;
/// What a negation makes of a valence.
const NEGATED: f64 = -0.74;
/// What an exclamation mark adds to the sum, and how many do.
const EXCLAMATION: f64 = 0.292;
const EXCLAMATIONS: usize = 4;
/// A sum of its root becomes 0.7.
const NORMAL: f64 = 15.0;

/// What a letter that is held adds (`sooo`).
const HELD: f64 = 0.3;
/// How far a degree or negation reaches, in units.
const REACH: usize = 3;
/// How far `but` reaches to both sides, in units; what it leaves of what stands before it, and makes
/// of what stands after it.
const CLAUSE: usize = 12;
const BEFORE_BUT: f64 = 0.5;
const AFTER_BUT: f64 = 1.5;
/// What a hashtag's word is worth: `#love` is said under everything.
const HASHTAG: f64 = 0.5;
/// What the first, the second and each further one of the same emoji is worth.
const REPEATED: [f64; 3] = [1.0, 0.5, 0.0];

/// How fast the probabilities change with the sum, and where positive and neutral are even.
const STEEP: f64 = 5.0;
const EVEN: f64 = 0.3;

/// What a word does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    Valence(f64),
    /// Strengthens (1) or weakens (−1) what follows.
    Degree(f64),
    /// Turns what follows.
    Not,
    /// Turns what stands just before it, else what follows.
    NotAround,
    But,
}

static TABLES: LazyLock<Tables<Role>> =
    LazyLock::new(|| Tables::read(SENTIMENT, role, |old, _| old));

fn role(column: &str) -> Result<Option<Role>, String> {
    Ok(Some(match column {
        "none" => return Ok(None),
        "more" => Role::Degree(1.0),
        "less" => Role::Degree(-1.0),
        "not" => Role::Not,
        "not around" => Role::NotAround,
        "but" => Role::But,
        number => {
            let valence = number.parse().ok().filter(|valence: &f64| valence.abs() <= 4.0);
            Role::Valence(valence.ok_or_else(|| format!("no valence: {number}"))?)
        }
    }))
}

/// How the words and hashtags of a text sound together; `exclamations` stand in it.
pub(super) fn of(
    words: &Words,
    tags: &[&str],
    exclamations: usize,
    language: &str,
) -> SentimentFound {
    let spoken: f64 = Sentence::read(words, language).iter().sum();
    let tagged = tags.iter().map(|tag| {
        let words = Words::of(&tags::apart(tag));
        HASHTAG * Sentence::read(&words, language).iter().sum::<f64>()
    });
    let sum = spoken + tagged.sum::<f64>();
    let loud = EXCLAMATION * exclamations.min(EXCLAMATIONS) as f64;
    judge(if sum == 0.0 { 0.0 } else { sum + loud.copysign(sum) })
}

/// Probabilities of a sum of valences.
fn judge(sum: f64) -> SentimentFound {
    let tone = sum / sum.mul_add(sum, NORMAL).sqrt();
    let weights = [(STEEP * (-tone - EVEN)).exp(), 1.0, (STEEP * (tone - EVEN)).exp()];
    let total: f64 = weights.iter().sum();
    SentimentFound::of_shares(&weights.map(|weight| weight / total), Method::Rules)
}

/// A text while it is read, from left to right.
struct Sentence {
    /// Valences so far, and the units that they stand at.
    heard: Vec<(usize, f64)>,
    degree: Option<(usize, f64)>,
    negation: Option<usize>,
    but: Option<usize>,
    /// Where something last ended.
    began: usize,
    /// Not every word is in capitals, so that those that are mean something.
    mixed: bool,
    emoji: HashMap<String, usize>,
}

impl Sentence {
    /// The valences of a text, each as its surroundings make it.
    fn read(words: &Words, language: &str) -> Vec<f64> {
        let mut sentence = Self {
            heard: Vec::new(),
            degree: None,
            negation: None,
            but: None,
            began: 0,
            mixed: words.units.iter().any(|unit| unit.kind == Kind::Word && !unit.shouted),
            emoji: HashMap::new(),
        };
        let mut at = 0;
        while at < words.units.len() {
            if words.units[at].breaks {
                (sentence.degree, sentence.negation, sentence.began) = (None, None, at);
            }
            at += match TABLES.find(language, words, at) {
                Some(found) => {
                    sentence.hear(words, at, &found);
                    found.units
                }
                None => 1,
            };
        }
        sentence.heard.into_iter().map(|(_, valence)| valence).collect()
    }

    fn hear(&mut self, words: &Words, at: usize, found: &Found<'_, Role>) {
        // A phrase acts from its last word on.
        let last = at + found.units - 1;
        match found.value {
            Role::Valence(valence) => {
                let valence = self.said(words, at, found.entry, valence);
                self.heard.push((last, valence));
            }
            Role::Degree(degree) => {
                let unit = &words.units[at];
                let held = if unit.stretched.is_some() { HELD } else { 0.0 };
                let before = self.degree.map_or(0.0, |(_, before)| before);
                self.degree = Some((last, before + degree * (DEGREE + held)));
            }
            Role::Not => self.negation = Some(last),
            Role::NotAround => match self.heard.last_mut() {
                Some((heard, valence)) if *heard >= self.began && at - *heard <= REACH => {
                    *valence *= NEGATED;
                }
                _ => self.negation = Some(last),
            },
            Role::But => {
                for (heard, valence) in &mut self.heard {
                    if at - *heard <= CLAUSE {
                        *valence *= BEFORE_BUT;
                    }
                }
                self.but = Some(last);
            }
        }
    }

    /// A valence as it is said here.
    fn said(&mut self, words: &Words, at: usize, entry: &str, valence: f64) -> f64 {
        let unit = &words.units[at];
        if unit.kind == Kind::Emoji {
            let times = self.emoji.entry(entry.to_owned()).or_default();
            *times += 1;
            return valence * REPEATED[(*times - 1).min(REPEATED.len() - 1)];
        }
        let mut strength = valence.abs();
        if unit.shouted && self.mixed {
            strength += CAPITALS;
        }
        if unit.stretched.is_some() {
            strength += HELD;
        }
        if let Some((from, degree)) = self.degree.take()
            && at - from <= REACH
        {
            strength += degree;
        }
        let mut said = strength.max(0.0).copysign(valence);
        if self.negation.is_some_and(|from| at - from <= REACH) {
            said *= NEGATED;
        }
        if self.but.is_some_and(|from| at - from <= CLAUSE) {
            said *= AFTER_BUT;
        }
        said
    }
}
