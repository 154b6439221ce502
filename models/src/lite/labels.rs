//! What the labels mean, in texts of which the embeddings are compared with a caption's.

use std::collections::HashMap;

use serde::Deserialize;

use super::{ENGLISH, emoji};
use crate::analysis::{largest, rounded};
use crate::label::Category;
use crate::nets::{Embedder, NetError, normalise};

/// Texts and numbers; the file says what each is for.
pub(super) const FILE: &str = include_str!("../../data/lite-labels.toml");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    scoring: Scoring,
    labels: HashMap<String, Vec<String>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scoring {
    floor: f64,
    temperature: f64,
    zero_english: f64,
    zero_other: f64,
    span: f64,
}

/// Every label's texts as directions.
pub(super) struct Labels {
    scoring: Scoring,
    /// In the order of [`Category::ALL`].
    labels: Vec<Directions>,
}

struct Directions {
    texts: Vec<Vec<f32>>,
    mean: Vec<f32>,
}

/// What a caption is about, by the model alone.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Recognised {
    pub(super) label: Category,
    /// 0 to 1.
    pub(super) confidence: f64,
    /// The share of each label, in the order of [`Category::ALL`].
    pub(super) shares: Vec<(Category, f64)>,
}

impl Labels {
    /// Embeds the texts; `done` hears of the part that is, 0 to 1.
    pub(super) fn load(net: &Embedder, mut done: impl FnMut(f64)) -> Result<Self, NetError> {
        let (scoring, labels) =
            written().map_err(|why| NetError::config("lite-labels.toml".as_ref(), why))?;
        let mut directions = Vec::with_capacity(labels.len());
        for (number, texts) in labels.iter().enumerate() {
            let tokens: Vec<_> = texts.iter().map(|text| net.tokens(&emoji::named(text))).collect();
            directions.push(Directions::of(net.embeddings(&tokens)?));
            done((number + 1) as f64 / labels.len() as f64);
        }
        Ok(Self { scoring, labels: directions })
    }

    /// `direction` is a caption's embedding, of length 1; `language` what it is written in.
    pub(super) fn recognise(&self, direction: &[f32], language: &str) -> Recognised {
        let Scoring { floor, temperature, zero_english, zero_other, span } = self.scoring;
        let scores: Vec<_> = self.labels.iter().map(|label| label.score(direction)).collect();
        let grown: Vec<_> = scores.iter().map(|score| (score / temperature).exp()).collect();
        let total: f64 = grown.iter().sum();
        let best = largest(&scores).unwrap_or_default();
        let score = scores.get(best).copied().unwrap_or(f64::NAN);
        let label = match Category::ALL.get(best) {
            Some(label) if score >= floor => *label,
            _ => Category::General,
        };
        let shares: Vec<_> =
            Category::ALL.iter().copied().zip(grown.iter().map(|g| g / total)).collect();
        let share =
            shares.iter().find(|(one, _)| *one == label).map_or(f64::NAN, |(_, share)| *share);
        let zero = if language == ENGLISH { zero_english } else { zero_other };
        Recognised {
            label,
            confidence: rounded(share * ((score - zero) / span).clamp(0.0, 1.0)),
            shares: shares.into_iter().map(|(label, share)| (label, rounded(share))).collect(),
        }
    }
}

impl Directions {
    fn of(texts: Vec<Vec<f32>>) -> Self {
        let width = texts.first().map_or(0, Vec::len);
        let mut mean: Vec<f32> =
            (0..width).map(|at| texts.iter().map(|text| text[at]).sum()).collect();
        normalise(&mut mean);
        Self { texts, mean }
    }

    /// Mean of the cosines with the nearest text and with the mean of all.
    fn score(&self, direction: &[f32]) -> f64 {
        let cosine = |with: &Vec<f32>| {
            f64::from(with.iter().zip(direction).map(|(a, b)| a * b).sum::<f32>())
        };
        let nearest = self.texts.iter().map(cosine).fold(f64::NEG_INFINITY, f64::max);
        f64::midpoint(nearest, cosine(&self.mean))
    }
}

/// The file, its labels in the order of [`Category::ALL`].
fn written() -> Result<(Scoring, Vec<Vec<String>>), String> {
    let Written { scoring, mut labels } =
        toml::from_str(FILE).map_err(|error| error.message().to_owned())?;
    let in_order = Category::ALL.iter().map(|label| {
        let texts = labels.remove(label.as_str()).unwrap_or_default();
        if texts.is_empty() { Err(format!("{label} has no texts")) } else { Ok(texts) }
    });
    let in_order = in_order.collect::<Result<Vec<_>, _>>()?;
    match labels.keys().next() {
        Some(name) => Err(format!("there is no label {name}")),
        None => Ok((scoring, in_order)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_has_texts_and_no_other_is_described() {
        let (scoring, labels) = written().unwrap();
        assert_eq!(labels.len(), Category::ALL.len());
        assert!(scoring.temperature > 0.0 && scoring.span > 0.0);
    }

    /// Labels that point along one axis each; the last along none.
    fn axes() -> Labels {
        let (scoring, _) = written().unwrap();
        let axis = |at: usize| {
            let mut direction = vec![0.0; Category::ALL.len() - 1];
            direction.get_mut(at).into_iter().for_each(|x| *x = 1.0);
            Directions { texts: vec![direction.clone()], mean: direction }
        };
        Labels { scoring, labels: (0..Category::ALL.len()).map(axis).collect() }
    }

    #[test]
    fn the_nearest_label_is_recognised_and_sure_when_it_is_near() {
        let labels = axes();
        let mut direction = vec![0.0; Category::ALL.len() - 1];
        direction[2] = 0.6;
        direction[3] = 0.3;
        let found = labels.recognise(&direction, "en");
        assert_eq!(found.label, Category::ALL[2]);
        assert!(found.confidence > 0.99, "{found:?}");
        assert_eq!(found.shares.len(), Category::ALL.len());
        let sum: f64 = found.shares.iter().map(|(_, share)| share).sum();
        assert!((sum - 1.0).abs() < 0.02);
        direction[3] = 0.59;
        assert!(labels.recognise(&direction, "en").confidence < 0.6, "two are as near");
    }

    #[test]
    fn what_is_near_nothing_is_general_and_other_languages_say_less() {
        let labels = axes();
        let mut direction = vec![0.0; Category::ALL.len() - 1];
        direction[5] = 0.19;
        assert_eq!(labels.recognise(&direction, "en").label, Category::General);
        direction[5] = 0.25;
        let (english, turkish) =
            (labels.recognise(&direction, "en"), labels.recognise(&direction, "tr"));
        assert_eq!((english.label, turkish.label), (Category::ALL[5], Category::ALL[5]));
        assert!(english.confidence > turkish.confidence, "{english:?} {turkish:?}");
    }
}
