//! How good answers are, against answers known to be right.

use std::collections::BTreeMap;

/// Right and found answers, counted. Made of pairs: `pairs.collect::<Confusion<_>>()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion<L> {
    /// How often each label was found where another, or it, was right: `(right, found)`.
    pub counts: BTreeMap<(L, L), usize>,
}

/// How one label fares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fared {
    /// Cases in which it is right.
    pub cases: usize,
    /// Share of those in which it was found, 0 to 1; `None` without such cases.
    pub recall: Option<f64>,
    /// Share of the cases in which it was found that are right, 0 to 1; `None` when it never was.
    pub precision: Option<f64>,
}

impl<L: Ord> FromIterator<(L, L)> for Confusion<L> {
    /// From pairs of the right label and the found one.
    fn from_iter<I: IntoIterator<Item = (L, L)>>(pairs: I) -> Self {
        let mut counts = BTreeMap::new();
        for pair in pairs {
            *counts.entry(pair).or_default() += 1;
        }
        Self { counts }
    }
}

impl<L: Ord + Clone> Confusion<L> {
    /// Share of cases with the right answer, 0 to 1; `None` without cases.
    pub fn accuracy(&self) -> Option<f64> {
        share(self.sum(|right, found| right == found), self.sum(|_, _| true))
    }

    /// Mean of the recalls of the labels that are right somewhere, 0 to 1; `None` without cases.
    /// Labels that are only ever found wrongly have no recall to count.
    pub fn macro_recall(&self) -> Option<f64> {
        let recalls: Vec<f64> = self.labels().values().filter_map(|fared| fared.recall).collect();
        (!recalls.is_empty()).then(|| recalls.iter().sum::<f64>() / recalls.len() as f64)
    }

    /// Each label that is right or was found somewhere, and how it fares.
    pub fn labels(&self) -> BTreeMap<L, Fared> {
        let labels = self.counts.keys().flat_map(|(right, found)| [right, found]);
        let fared = |label: &L| {
            let hits = self.sum(|right, found| right == label && found == label);
            let cases = self.sum(|right, _| right == label);
            let found = self.sum(|_, found| found == label);
            Fared { cases, recall: share(hits, cases), precision: share(hits, found) }
        };
        labels.map(|label| (label.clone(), fared(label))).collect()
    }

    fn sum(&self, which: impl Fn(&L, &L) -> bool) -> usize {
        let counts = self.counts.iter().filter(|((right, found), _)| which(right, found));
        counts.map(|(_, count)| count).sum()
    }
}

fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: Option<f64>, expected: f64) {
        let found = found.unwrap();
        assert!((found - expected).abs() < 1e-9, "{found} {expected}");
    }

    #[test]
    fn answers_are_counted_by_what_was_right_and_what_was_found() {
        let pairs = [("a", "a"), ("a", "a"), ("a", "b"), ("b", "b"), ("c", "a"), ("c", "d")];
        let confusion: Confusion<_> = pairs.into_iter().collect();
        near(confusion.accuracy(), 3.0 / 6.0);
        near(confusion.macro_recall(), (2.0 / 3.0 + 1.0 + 0.0) / 3.0);
        assert_eq!(confusion.counts[&("a", "a")], 2);
        assert_eq!(confusion.counts.get(&("b", "a")), None);

        let labels = confusion.labels();
        assert_eq!(labels.keys().copied().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
        near(labels["a"].precision, 2.0 / 3.0);
        near(labels["b"].precision, 0.5);
        assert_eq!((labels["c"].cases, labels["c"].precision), (2, None));
        assert_eq!((labels["d"].cases, labels["d"].recall), (0, None));
    }

    #[test]
    fn no_cases_have_no_figures() {
        let confusion: Confusion<&str> = std::iter::empty().collect();
        assert_eq!((confusion.accuracy(), confusion.macro_recall()), (None, None));
        assert!(confusion.labels().is_empty());
    }
}
