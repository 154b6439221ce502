//! What the engine has done, counted.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::analysis::Analysis;
use crate::label::Method;
use crate::tier::Tier;

/// Batches whose size is remembered.
const SIZES: usize = 128;
/// The last minute, by the second.
const SECONDS: u64 = 60;

#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) tiers: BTreeMap<Tier, u64>,
    /// By how the category was found.
    pub(super) methods: BTreeMap<Method, u64>,
    pub(super) offences: u64,
    pub(super) lost: u64,
    pub(super) restarts: u64,
    sizes: VecDeque<u32>,
    /// Captions computed within a second since the start.
    seconds: VecDeque<(u64, u64)>,
}

impl Tally {
    /// A batch was answered.
    pub(super) fn batch(&mut self, now: Duration, captions: usize) {
        if self.sizes.len() == SIZES {
            self.sizes.pop_front();
        }
        self.sizes.push_back(captions as u32);
        metrics::histogram!("farm_ai_batch_size").record(captions as f64);
        match self.seconds.back_mut() {
            Some((second, count)) if *second == now.as_secs() => *count += captions as u64,
            _ => self.seconds.push_back((now.as_secs(), captions as u64)),
        }
        while self.seconds.front().is_some_and(|(second, _)| second + SECONDS <= now.as_secs()) {
            self.seconds.pop_front();
        }
    }

    /// A caption has its answer.
    pub(super) fn answer(&mut self, answer: &Analysis) {
        *self.tiers.entry(answer.tier).or_default() += 1;
        let tier = answer.tier.as_str();
        metrics::counter!("farm_ai_captions_total", "engine" => tier).increment(1);
        *self.methods.entry(answer.category.method).or_default() += 1;
    }

    /// Captions a second over the last minute, or since the start when that was later.
    pub(super) fn per_second(&self, now: Duration) -> f64 {
        let recent = self.seconds.iter().filter(|(second, _)| second + SECONDS > now.as_secs());
        let captions: u64 = recent.map(|(_, count)| count).sum();
        captions as f64 / now.as_secs().clamp(1, SECONDS) as f64
    }

    /// The middle size of the last batches.
    pub(super) fn batch_p50(&self) -> Option<u32> {
        let mut sizes: Vec<u32> = self.sizes.iter().copied().collect();
        sizes.sort_unstable();
        sizes.get(sizes.len().saturating_sub(1) / 2).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_of_the_last_minute() {
        let mut tally = Tally::default();
        assert_eq!((tally.per_second(Duration::ZERO), tally.batch_p50()), (0.0, None));
        tally.batch(Duration::from_millis(400), 16);
        tally.batch(Duration::from_millis(900), 14);
        assert!((tally.per_second(Duration::from_secs(2)) - 15.0).abs() < 1e-9);
        tally.batch(Duration::from_secs(59), 30);
        assert!((tally.per_second(Duration::from_secs(59)) - 60.0 / 59.0).abs() < 1e-9);
        assert!((tally.per_second(Duration::from_secs(61)) - 0.5).abs() < 1e-9);
        assert!(tally.per_second(Duration::from_secs(120)).abs() < 1e-9);
        assert_eq!(tally.batch_p50(), Some(16));
    }
}
