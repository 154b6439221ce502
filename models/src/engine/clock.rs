//! The engine's time, counted from its start.

use std::sync::{Condvar, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Where the time comes from.
#[derive(Debug)]
pub(super) enum Clock {
    /// The system's monotonic clock.
    System(Instant),
    /// Stands still until a test moves it, and then wakes whoever waits.
    #[cfg(test)]
    Manual(std::sync::Mutex<Duration>),
}

impl Clock {
    pub(super) fn now(&self) -> Duration {
        match self {
            Self::System(start) => start.elapsed(),
            #[cfg(test)]
            Self::Manual(now) => *now.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Waits to be woken, at most until then. May return early.
    pub(super) fn wait<'a, T>(
        &self,
        wake: &Condvar,
        guard: MutexGuard<'a, T>,
        until: Option<Duration>,
    ) -> MutexGuard<'a, T> {
        let left = match (self, until) {
            (Self::System(start), Some(until)) => until.saturating_sub(start.elapsed()),
            _ => return wake.wait(guard).unwrap_or_else(PoisonError::into_inner),
        };
        wake.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0
    }
}
