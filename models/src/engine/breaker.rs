//! When a tier is left alone: a pure state machine. `now` is the time since one fixed start.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;

/// When a tier's circuit opens and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Opens after this many failing batches in a row.
    pub consecutive: u32,
    /// Opens when at least half of this many batches or more failed within `window`.
    pub min_calls: usize,
    /// How far back batches are counted.
    pub window: Duration,
    /// How long it stays open the first time.
    pub open_for: Duration,
    /// Each failed probe doubles the open time, up to this factor.
    pub max_factor: u32,
    /// Good batches in a row that close it again.
    pub closing: u32,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            consecutive: 4,
            min_calls: 10,
            window: Duration::from_mins(1),
            open_for: Duration::from_mins(2),
            max_factor: 8,
            closing: 3,
        }
    }
}

/// Name of a circuit's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Circuit {
    /// All threads may serve the tier.
    Closed,
    /// None may.
    Open,
    /// One may, as a probe.
    HalfOpen,
}

/// A circuit as shown by health.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BreakerState {
    /// Where it stands.
    pub state: Circuit,
    /// Why it opened; `None` while closed.
    pub reason: Option<String>,
    /// Milliseconds until a probe; `None` unless open.
    pub probe_in_ms: Option<u64>,
}

/// Batches remembered at most: more within a window tell nothing new.
const MAX_SEEN: usize = 1_000;

#[derive(Debug)]
enum Phase {
    Closed { failures: u32, seen: VecDeque<(Duration, bool)> },
    Open { until: Duration },
    HalfOpen { successes: u32 },
}

impl Phase {
    fn closed() -> Self {
        Self::Closed { failures: 0, seen: VecDeque::new() }
    }
}

#[derive(Debug)]
pub(super) struct Breaker {
    policy: BreakerPolicy,
    phase: Phase,
    factor: u32,
    reason: Option<String>,
}

impl Breaker {
    pub(super) fn new(policy: BreakerPolicy) -> Self {
        Self { policy, phase: Phase::closed(), factor: 1, reason: None }
    }

    /// Where the circuit stands. One whose open time is over is half-open.
    pub(super) fn circuit(&self, now: Duration) -> Circuit {
        match self.phase {
            Phase::Closed { .. } => Circuit::Closed,
            Phase::Open { until } if now < until => Circuit::Open,
            Phase::Open { .. } | Phase::HalfOpen { .. } => Circuit::HalfOpen,
        }
    }

    /// Takes the outcome of a batch: `failure` says what went wrong. True when this opened the
    /// circuit.
    pub(super) fn record(&mut self, now: Duration, failure: Option<&str>) -> bool {
        if matches!(self.phase, Phase::Open { until } if until <= now) {
            self.phase = Phase::HalfOpen { successes: 0 };
        }
        match (&mut self.phase, failure) {
            // The end of a batch that was begun before.
            (Phase::Open { .. }, _) => false,
            (Phase::HalfOpen { successes }, None) => {
                *successes += 1;
                if *successes >= self.policy.closing {
                    self.reset();
                }
                false
            }
            (Phase::HalfOpen { .. }, Some(failure)) => {
                self.trip(now, failure);
                true
            }
            (Phase::Closed { failures, seen }, failure) => {
                *failures = if failure.is_some() { failures.saturating_add(1) } else { 0 };
                seen.push_back((now, failure.is_some()));
                while seen.len() > MAX_SEEN
                    || seen
                        .front()
                        .is_some_and(|(at, _)| now.saturating_sub(*at) >= self.policy.window)
                {
                    seen.pop_front();
                }
                let Some(failure) = failure else { return false };
                let (bad, all) = (seen.iter().filter(|(_, failed)| *failed).count(), seen.len());
                let reason = if *failures >= self.policy.consecutive {
                    format!("{failures} batches in a row failed, the last one: {failure}")
                } else if all >= self.policy.min_calls && bad * 2 >= all {
                    format!("{bad} of {all} batches failed, the last one: {failure}")
                } else {
                    return false;
                };
                self.trip(now, &reason);
                true
            }
        }
    }

    /// Opens the circuit at once: for longer when it was half-open.
    pub(super) fn trip(&mut self, now: Duration, reason: &str) {
        self.factor = match self.phase {
            Phase::Closed { .. } => 1,
            _ => self.factor.saturating_mul(2).min(self.policy.max_factor.max(1)),
        };
        let open_for = self.policy.open_for.saturating_mul(self.factor);
        self.phase = Phase::Open { until: now.saturating_add(open_for) };
        self.reason = Some(reason.to_owned());
    }

    /// Closes the circuit at once.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.policy);
    }

    pub(super) fn state(&self, now: Duration) -> BreakerState {
        let probe_in = match self.phase {
            Phase::Open { until } if now < until => Some(until.saturating_sub(now)),
            _ => None,
        };
        BreakerState {
            state: self.circuit(now),
            reason: self.reason.clone(),
            probe_in_ms: probe_in.map(|left| left.as_millis() as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn opened() -> Breaker {
        let mut breaker = Breaker::new(BreakerPolicy::default());
        let opened: Vec<bool> = (0..4).map(|_| breaker.record(at(0), Some("no"))).collect();
        assert_eq!(opened, [false, false, false, true]);
        breaker
    }

    #[test]
    fn four_failures_in_a_row_open_it_for_two_minutes() {
        let breaker = opened();
        let shown = breaker.state(at(20));
        assert_eq!((shown.state, shown.probe_in_ms), (Circuit::Open, Some(100_000)));
        assert_eq!(shown.reason.unwrap(), "4 batches in a row failed, the last one: no");
        assert_eq!(breaker.circuit(at(120)), Circuit::HalfOpen);
    }

    #[test]
    fn a_success_breaks_the_row() {
        let mut breaker = Breaker::new(BreakerPolicy::default());
        for round in 0..3 {
            (0..3).for_each(|_| assert!(!breaker.record(at(100 * round), Some("no"))));
            assert!(!breaker.record(at(100 * round), None));
        }
        assert_eq!(breaker.circuit(at(300)), Circuit::Closed);
    }

    #[test]
    fn half_of_ten_within_a_minute_open_it_too() {
        let mut breaker = Breaker::new(BreakerPolicy::default());
        let opened = (0..10).map(|n| breaker.record(at(n), (n % 2 == 1).then_some("no")));
        assert_eq!(opened.filter(|opened| *opened).count(), 1);
        assert_eq!(
            breaker.state(at(9)).reason.unwrap(),
            "5 of 10 batches failed, the last one: no"
        );

        let mut breaker = Breaker::new(BreakerPolicy::default());
        let mut slowly = (0..10).map(|n| breaker.record(at(10 * n), (n % 2 == 1).then_some("no")));
        assert!(slowly.all(|opened| !opened), "only six of them within any minute");
    }

    #[test]
    fn each_failed_probe_doubles_the_open_time_up_to_eight_times() {
        let mut breaker = opened();
        let mut now = at(120);
        for seconds in [240, 480, 960, 960] {
            assert!(breaker.record(now, Some("still no")));
            assert_eq!(breaker.state(now).probe_in_ms, Some(seconds * 1_000));
            now += at(seconds);
        }
    }

    #[test]
    fn three_good_probes_close_it_and_forget_the_past() {
        let mut breaker = opened();
        for circuit in [Circuit::HalfOpen, Circuit::HalfOpen, Circuit::Closed] {
            breaker.record(at(120), None);
            assert_eq!(breaker.circuit(at(120)), circuit);
        }
        assert_eq!(breaker.state(at(120)).reason, None);
        assert!((0..4).any(|_| breaker.record(at(121), Some("no"))));
        assert_eq!(breaker.state(at(121)).probe_in_ms, Some(120_000));
    }

    #[test]
    fn what_was_begun_before_it_opened_changes_nothing() {
        let mut breaker = opened();
        assert!(!breaker.record(at(1), Some("no")) && !breaker.record(at(1), None));
        assert_eq!(breaker.state(at(1)).probe_in_ms, Some(119_000));
    }
}
