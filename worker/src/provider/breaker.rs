//! A circuit breaker: a pure state machine over an injected clock, and the gate that calls it.
//!
//! `now` is always the time since one fixed start.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

/// When a breaker opens and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Opens after this many failures in a row.
    pub consecutive: u32,
    /// Opens when at least half of this many calls or more failed within `window`.
    pub min_calls: usize,
    /// How far back calls are counted.
    pub window: Duration,
    /// How long it stays open the first time.
    pub open_for: Duration,
    /// Each failed probe doubles the open time, up to this factor.
    pub max_factor: u32,
    /// Successes in a row, one call at a time, that close it again.
    pub closing: u32,
    /// The failures that open it must be about at least so many different handles: one handle
    /// that never works must not cut everybody else off.
    pub min_handles: usize,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            consecutive: 5,
            min_calls: 10,
            window: Duration::from_mins(1),
            open_for: Duration::from_mins(1),
            max_factor: 8,
            closing: 3,
            min_handles: 3,
        }
    }
}

/// What a call taught about the dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It works.
    Success,
    /// It does not.
    Failure,
    /// Neither: the caller's own error, or a call broken off.
    Neutral,
}

/// Leave to make one call; give it back with [`Breaker::record`].
#[derive(Debug)]
#[must_use]
pub struct Permit {
    generation: u64,
    subject: u64,
}

impl Permit {
    /// Says which handle the call is about.
    pub fn about(mut self, handle: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        handle.hash(&mut hasher);
        self.subject = hasher.finish();
        self
    }
}

/// The circuit is not letting calls through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// When asking again is worthwhile, from now.
    pub retry_after: Duration,
}

/// Name of a state, as shown by health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CircuitState {
    /// Calls pass.
    Closed,
    /// Calls are refused.
    Open,
    /// One call at a time passes, as a probe.
    HalfOpen,
}

/// State for health and metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BreakerState {
    /// Where the circuit stands.
    pub state: CircuitState,
    /// Why it opened; `None` while closed.
    pub reason: Option<String>,
    /// Milliseconds until a probe is let through; `None` unless open.
    pub opens_again_in_ms: Option<u64>,
}

#[derive(Debug)]
struct Seen {
    at: Duration,
    failed: bool,
    subject: u64,
}

/// Calls remembered at most: more within a window tell nothing new.
const MAX_SEEN: usize = 1_000;

#[derive(Debug)]
enum Phase {
    Closed { failures: u32, calls: VecDeque<Seen> },
    Open { until: Duration },
    HalfOpen { probing: bool, successes: u32 },
}

/// The state machine.
#[derive(Debug)]
pub struct Breaker {
    policy: BreakerPolicy,
    phase: Phase,
    // Grows with every change of phase: results of calls begun before it are ignored.
    generation: u64,
    factor: u32,
    reason: Option<String>,
}

/// Wait suggested while a probe is under way; a good call takes about this long.
const PROBE_WAIT: Duration = Duration::from_secs(10);

impl Breaker {
    /// A closed breaker.
    pub fn new(policy: BreakerPolicy) -> Self {
        Self { policy, phase: closed(), generation: 0, factor: 1, reason: None }
    }

    /// Says whether a call would be refused, without claiming the probe.
    pub fn refusal(&self, now: Duration) -> Option<Refused> {
        match self.phase {
            Phase::Open { until } if now < until => {
                Some(Refused { retry_after: until.saturating_sub(now) })
            }
            Phase::HalfOpen { probing: true, .. } => Some(Refused { retry_after: PROBE_WAIT }),
            _ => None,
        }
    }

    /// Asks for leave to call.
    pub fn try_call(&mut self, now: Duration) -> Result<Permit, Refused> {
        if let Some(refused) = self.refusal(now) {
            return Err(refused);
        }
        match &mut self.phase {
            Phase::Closed { .. } => {}
            Phase::HalfOpen { probing, .. } => *probing = true,
            Phase::Open { .. } => self.turn(Phase::HalfOpen { probing: true, successes: 0 }),
        }
        Ok(Permit { generation: self.generation, subject: 0 })
    }

    /// Takes the result of a permitted call. True when this opened the circuit.
    pub fn record(&mut self, permit: Permit, verdict: Verdict, now: Duration) -> bool {
        if permit.generation != self.generation {
            return false;
        }
        let policy = self.policy;
        match &mut self.phase {
            Phase::Closed { failures, calls } => {
                let failed = match verdict {
                    Verdict::Neutral => return false,
                    Verdict::Success => false,
                    Verdict::Failure => true,
                };
                *failures = if failed { failures.saturating_add(1) } else { 0 };
                calls.push_back(Seen { at: now, failed, subject: permit.subject });
                while calls.len() > MAX_SEEN
                    || calls.front().is_some_and(|c| now.saturating_sub(c.at) >= policy.window)
                {
                    calls.pop_front();
                }
                let handles: HashSet<u64> =
                    calls.iter().filter(|call| call.failed).map(|call| call.subject).collect();
                let (bad, total) = (calls.iter().filter(|call| call.failed).count(), calls.len());
                let reason = if !failed || handles.len() < policy.min_handles {
                    return false;
                } else if *failures >= policy.consecutive {
                    format!("{failures} calls in a row failed")
                } else if total >= policy.min_calls && bad * 2 >= total {
                    format!("{bad} of {total} calls within {} s failed", policy.window.as_secs())
                } else {
                    return false;
                };
                self.factor = 1;
                self.open(reason, now);
                true
            }
            Phase::HalfOpen { probing, successes } => {
                *probing = false;
                match verdict {
                    Verdict::Neutral => false,
                    Verdict::Success => {
                        *successes += 1;
                        if *successes >= policy.closing {
                            self.factor = 1;
                            self.reason = None;
                            self.turn(closed());
                        }
                        false
                    }
                    Verdict::Failure => {
                        self.factor = self.factor.saturating_mul(2).min(policy.max_factor.max(1));
                        self.open("a probe failed".to_owned(), now);
                        true
                    }
                }
            }
            Phase::Open { .. } => false,
        }
    }

    /// The state at `now`. An open circuit whose time is over counts as half-open.
    pub fn state(&self, now: Duration) -> BreakerState {
        let (state, left) = match self.phase {
            Phase::Closed { .. } => (CircuitState::Closed, None),
            Phase::Open { until } if now < until => {
                (CircuitState::Open, Some(until.saturating_sub(now)))
            }
            Phase::Open { .. } | Phase::HalfOpen { .. } => (CircuitState::HalfOpen, None),
        };
        let left = left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        BreakerState { state, reason: self.reason.clone(), opens_again_in_ms: left }
    }

    fn open(&mut self, reason: String, now: Duration) {
        let open_for = self.policy.open_for.saturating_mul(self.factor);
        self.reason = Some(reason);
        self.turn(Phase::Open { until: now.saturating_add(open_for) });
    }

    fn turn(&mut self, phase: Phase) {
        self.phase = phase;
        self.generation += 1;
    }
}

fn closed() -> Phase {
    Phase::Closed { failures: 0, calls: VecDeque::new() }
}

/// A breaker shared by the calls of one client, on the runtime's clock.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    breaker: Arc<Mutex<Breaker>>,
    start: Instant,
}

impl Gate {
    pub(crate) fn new(policy: BreakerPolicy) -> Self {
        Self { breaker: Arc::new(Mutex::new(Breaker::new(policy))), start: Instant::now() }
    }

    pub(crate) fn refusal(&self) -> Option<Refused> {
        self.lock().refusal(self.start.elapsed())
    }

    pub(crate) fn enter(&self, handle: &str) -> Result<Passage, Refused> {
        let permit = self.lock().try_call(self.start.elapsed())?.about(handle);
        Ok(Passage { gate: self.clone(), permit: Some(permit) })
    }

    pub(crate) fn state(&self) -> BreakerState {
        self.lock().state(self.start.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One call under way. Dropped without a verdict it counts as neutral, so that a cancelled probe
/// frees its place.
#[derive(Debug)]
pub(crate) struct Passage {
    gate: Gate,
    permit: Option<Permit>,
}

impl Passage {
    pub(crate) fn settle(mut self, verdict: Verdict) {
        self.give_back(verdict);
    }

    fn give_back(&mut self, verdict: Verdict) {
        let Some(permit) = self.permit.take() else { return };
        let now = self.gate.start.elapsed();
        let mut breaker = self.gate.lock();
        if breaker.record(permit, verdict, now) {
            let state = breaker.state(now);
            drop(breaker);
            tracing::warn!(
                dependency = "provider",
                breaker.reason = state.reason,
                breaker.open_ms = state.opens_again_in_ms,
                "circuit opened; calls are refused until a probe succeeds"
            );
        }
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.give_back(Verdict::Neutral);
    }
}
