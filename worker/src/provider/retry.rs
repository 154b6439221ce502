//! Pauses between calls, and how many repeated calls the process may make at all.

use std::collections::VecDeque;
use std::time::Duration;

use backoff::SystemClock;
use backoff::backoff::Backoff;
use backoff::exponential::{ExponentialBackoff, ExponentialBackoffBuilder};

/// Window of the retry budget.
const WINDOW: Duration = Duration::from_secs(10);

/// Pauses between the calls of one fetch, with full jitter: each is drawn evenly from zero to a
/// ceiling that starts at `initial` and grows by half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pauses {
    /// Ceiling of the first pause.
    pub initial: Duration,
    /// Ceiling of any pause.
    pub cap: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { initial: Duration::from_millis(500), cap: Duration::from_secs(10) }
    }
}

impl Pauses {
    /// A fresh series of pauses; it never ends by itself.
    pub(crate) fn series(self) -> Series {
        // The crate draws from middle ± factor × middle. Factor 1 around half of the ceiling is
        // the even draw from zero to the ceiling.
        let inner = ExponentialBackoffBuilder::new()
            .with_initial_interval(self.initial / 2)
            .with_randomization_factor(1.0)
            .with_multiplier(1.5)
            .with_max_interval(self.cap / 2)
            .with_max_elapsed_time(None)
            .build();
        Series { inner, cap: self.cap }
    }
}

/// The pauses of one fetch.
pub(crate) struct Series {
    inner: ExponentialBackoff<SystemClock>,
    cap: Duration,
}

impl Series {
    /// The next pause, at least `floor` (a `Retry-After`).
    pub(crate) fn next(&mut self, floor: Option<Duration>) -> Duration {
        let drawn = self.inner.next_backoff().unwrap_or(self.cap).min(self.cap);
        drawn.max(floor.unwrap_or_default())
    }
}

/// Lets a process repeat failed calls only as a fifth of its first calls within 10 s, so that a
/// sick provider is not met with five times the load. A floor keeps quiet processes free to try.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    floor: usize,
    firsts: VecDeque<Duration>,
    retries: VecDeque<Duration>,
}

impl RetryBudget {
    pub(crate) fn new(floor: usize) -> Self {
        Self { floor, firsts: VecDeque::new(), retries: VecDeque::new() }
    }

    /// Counts a first call.
    pub(crate) fn first(&mut self, now: Duration) {
        forget(&mut self.firsts, now);
        self.firsts.push_back(now);
    }

    /// Counts a retry when one is left; `now` is the time since one fixed start.
    pub(crate) fn try_retry(&mut self, now: Duration) -> bool {
        forget(&mut self.firsts, now);
        forget(&mut self.retries, now);
        let allowed = self.floor.max(self.firsts.len() / 5);
        let granted = self.retries.len() < allowed;
        if granted {
            self.retries.push_back(now);
        }
        granted
    }
}

fn forget(moments: &mut VecDeque<Duration>, now: Duration) {
    while moments.front().is_some_and(|at| now.saturating_sub(*at) >= WINDOW) {
        moments.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_use_the_whole_range_up_to_a_growing_ceiling() {
        let pauses = Pauses { initial: Duration::from_millis(400), cap: Duration::from_secs(1) };
        for (index, ceiling) in [400_u64, 600, 900, 1000, 1000].into_iter().enumerate() {
            let draws: Vec<Duration> = (0..400)
                .filter_map(|_| {
                    let mut series = pauses.series();
                    (0..=index).map(|_| series.next(None)).last()
                })
                .collect();
            let ceiling = Duration::from_millis(ceiling);
            assert!(draws.iter().all(|d| *d <= ceiling + Duration::from_nanos(2)), "{index}");
            assert!(draws.iter().any(|d| *d < ceiling / 4), "{index}: low draws occur");
            assert!(draws.iter().any(|d| *d > ceiling * 3 / 4), "{index}: high draws occur");
        }
    }

    #[test]
    fn retry_after_is_the_least_pause() {
        let mut series = Pauses::default().series();
        let floor = Duration::from_secs(11);
        assert_eq!(series.next(Some(floor)), floor);
    }

    #[test]
    fn retries_stay_a_fifth_of_first_calls_above_the_floor() {
        let mut budget = RetryBudget::new(2);
        let now = Duration::from_secs(100);
        assert!(budget.try_retry(now) && budget.try_retry(now));
        assert!(!budget.try_retry(now), "the floor is used up");
        for _ in 0..15 {
            budget.first(now);
        }
        assert!(budget.try_retry(now), "a fifth of 15 is 3");
        assert!(!budget.try_retry(now));
        assert!(budget.try_retry(now + WINDOW), "ten seconds later the count is empty");
    }
}
