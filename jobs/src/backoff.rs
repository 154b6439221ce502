//! The pause between the attempts of a job: exponential with full jitter. It lives in the row
//! (`run_at`), so it survives every process.

use std::time::Duration;

/// How the pause grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Ceiling of the first pause.
    pub first: Duration,
    /// Ceiling of every pause.
    pub max: Duration,
}

impl Backoff {
    /// Ceiling of the pause after attempt `attempt` (from 1): `min(max, first · 2^(attempt−1))`.
    pub fn ceiling(&self, attempt: u32) -> Duration {
        let factor = 2_u32.saturating_pow(attempt.saturating_sub(1).min(30));
        self.first.saturating_mul(factor).min(self.max)
    }

    /// A pause drawn evenly from nothing to the ceiling.
    pub fn pause(&self, attempt: u32) -> Duration {
        let ceiling = self.ceiling(attempt).as_millis() as u64;
        Duration::from_millis(rand::random_range(0..=ceiling))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pauses_stay_below_a_ceiling_that_grows_to_its_maximum(
            first in 1_u64..100_000, max in 1_u64..10_000_000, attempt in 1_u32..1_000,
        ) {
            let b = Backoff { first: Duration::from_millis(first), max: Duration::from_millis(max) };
            prop_assert!(b.ceiling(attempt) <= b.max);
            prop_assert!(b.ceiling(attempt) <= b.ceiling(attempt + 1));
            prop_assert_eq!(b.ceiling(1), b.first.min(b.max));
            prop_assert!(b.pause(attempt) <= b.ceiling(attempt));
        }
    }
}
