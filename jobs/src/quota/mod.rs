//! Quotas: how often each of many (users, addresses) may do something. Asked, they answer at once:
//! yes or no, how much is left, when to come back. Counted by one process, or by all replicas of a
//! cluster together.
//!
//! Both are a GCRA: a quota of 100 a minute may be used all at once, and comes back one by one,
//! every 0.6 s. A process counts with governor over a table of bounded size; replicas count in
//! Redis, by its clock, with one script. While Redis is away each process goes by its own count,
//! which it keeps all the time: what it refuses by itself costs Redis nothing.

mod shared;
mod table;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use governor::clock::Clock as _;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::{Quota as Pace, RateLimiter};

use self::table::{Ask, Table};

pub use self::shared::Together;

/// A crowded table is tidied up no more often than this.
const TIDY_EVERY: Duration = Duration::from_secs(1);

/// So many within so long: all at once, or spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// So many …
    pub most: NonZeroU32,
    /// … within this time.
    pub per: Duration,
}

impl Rate {
    /// So many within so many seconds; of either at least one.
    pub const fn new(most: u32, seconds: u64) -> Self {
        let most = match NonZeroU32::new(most) {
            Some(most) => most,
            None => NonZeroU32::MIN,
        };
        let seconds = if seconds == 0 { 1 } else { seconds };
        Self { most, per: Duration::from_secs(seconds) }
    }

    /// How long it takes until one comes back.
    fn interval(self) -> Duration {
        (self.per / self.most.get()).max(Duration::from_micros(1))
    }
}

/// What a quota says about one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The quota.
    pub rate: Rate,
    /// How much is left, after this one.
    pub left: u32,
    /// How long until all of it is there again.
    pub full_in: Duration,
    /// Refused; the next one has a place after so long.
    pub wait: Option<Duration>,
}

/// The time that quotas go by: ours, or that of Redis, and whatever tests add to it.
#[derive(Clone, Debug)]
pub struct Clock {
    /// `None`: it stands still.
    start: Option<Instant>,
    ahead_us: Arc<AtomicU64>,
}

impl Default for Clock {
    fn default() -> Self {
        Self { start: Some(Instant::now()), ahead_us: Arc::default() }
    }
}

impl Clock {
    /// One that stands still until it is moved, for tests. (That of Redis goes on.)
    pub fn still() -> Self {
        Self { start: None, ahead_us: Arc::default() }
    }

    /// Moves it on, for tests.
    pub fn advance(&self, by: Duration) {
        self.ahead_us.fetch_add(by.as_micros() as u64, Ordering::Relaxed);
    }

    /// How far it was moved, in microseconds.
    fn ahead_us(&self) -> u64 {
        self.ahead_us.load(Ordering::Relaxed)
    }
}

impl governor::clock::Clock for Clock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        let passed = self.start.map_or(Duration::ZERO, |start| start.elapsed());
        Nanos::from(passed + Duration::from_micros(self.ahead_us()))
    }
}

/// A quota that each of many has.
#[derive(Debug)]
pub struct Quota {
    rate: Rate,
    limiter: RateLimiter<Ask, Table, Clock, StateInformationMiddleware>,
    /// Set by the table when it had no room for somebody.
    crowded: Arc<AtomicBool>,
    tidied_at: AtomicU64,
    /// What its keys in Redis begin with, where it is shared.
    shared: Option<(Arc<Together>, &'static str)>,
}

impl Quota {
    /// Of this process alone.
    pub fn local(rate: Rate, clock: &Clock) -> Self {
        let crowded = Arc::new(AtomicBool::new(false));
        let table = Table::new(Arc::clone(&crowded));
        let pace = Pace::with_period(rate.interval()).unwrap_or(Pace::per_second(rate.most));
        let limiter = RateLimiter::new(pace.allow_burst(rate.most), table, clock.clone());
        Self { rate, limiter, crowded, tidied_at: AtomicU64::new(0), shared: None }
    }

    /// Of all replicas that have the same Redis, prefix and name; of this process alone without.
    pub fn shared(
        rate: Rate,
        clock: &Clock,
        name: &'static str,
        together: Option<&Arc<Together>>,
    ) -> Self {
        let shared = together.map(|together| (Arc::clone(together), name));
        Self { shared, ..Self::local(rate, clock) }
    }

    /// Takes one, if there is one, by this process's own count.
    pub fn take_here(&self, key: u128) -> Verdict {
        self.ask_here(Ask { key, take: true })
    }

    /// Takes one, if there is one.
    pub async fn take(&self, key: u128) -> Verdict {
        self.ask(Ask { key, take: true }).await
    }

    /// Says what [`Self::take`] would, and takes none.
    pub async fn look(&self, key: u128) -> Verdict {
        self.ask(Ask { key, take: false }).await
    }

    async fn ask(&self, ask: Ask) -> Verdict {
        let here = self.ask_here(ask);
        let Some((together, name)) = &self.shared else { return here };
        if here.wait.is_some() {
            // Who asks one process more often than all together may is not worth a round trip.
            return here;
        }
        together.ask(name, self.rate, ask.key, ask.take).await.unwrap_or(here)
    }

    fn ask_here(&self, ask: Ask) -> Verdict {
        let (rate, interval) = (self.rate, self.rate.interval());
        let verdict = match self.limiter.check_key(&ask) {
            Ok(state) => {
                let left = state.remaining_burst_capacity();
                let used = rate.most.get().saturating_sub(left);
                Verdict { rate, left, full_in: interval * used, wait: None }
            }
            Err(until) => {
                let wait = until.wait_time_from(self.limiter.clock().now());
                let full_in = wait + interval * (rate.most.get() - 1);
                Verdict { rate, left: 0, full_in, wait: Some(wait) }
            }
        };
        if self.crowded.load(Ordering::Relaxed) {
            self.tidy();
        }
        verdict
    }

    /// Forgets who has all of the quota again. One of those who find the table crowded does it.
    fn tidy(&self) {
        let now = self.limiter.clock().now().as_u64();
        let last = self.tidied_at.load(Ordering::Relaxed);
        let due = last == 0 || now.saturating_sub(last) >= TIDY_EVERY.as_nanos() as u64;
        let (read, set) = (Ordering::Relaxed, Ordering::Relaxed);
        if due && self.tidied_at.compare_exchange(last, now.max(1), set, read).is_ok() {
            self.crowded.store(false, Ordering::Relaxed);
            self.limiter.retain_recent();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::table::MOST_KEYS;
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn quota(most: u32) -> (Quota, Clock) {
        let clock = Clock::still();
        (Quota::local(Rate::new(most, 60), &clock), clock)
    }

    #[test]
    fn all_may_be_used_at_once_and_comes_back_one_by_one() {
        let (quota, clock) = quota(60);
        let left: Vec<u32> = (0..60).map(|_| quota.take_here(7).left).collect();
        assert_eq!((left[0], left[59]), (59, 0));
        let refused = quota.take_here(7);
        let wait = refused.wait.unwrap();
        assert!(wait <= Duration::from_secs(1) && refused.left == 0, "{refused:?}");
        assert!(refused.full_in <= MINUTE && refused.full_in > Duration::from_secs(58));
        assert_eq!(quota.take_here(8).wait, None, "each has their own");
        clock.advance(wait);
        assert_eq!(quota.take_here(7).wait, None);
        assert!(quota.take_here(7).wait.is_some(), "only one has come back");
        clock.advance(MINUTE);
        assert_eq!(quota.take_here(7).left, 59, "and in the end all");
    }

    #[tokio::test]
    async fn looking_takes_nothing() {
        let (quota, _) = quota(2);
        for _ in 0..10 {
            assert_eq!(quota.look(7).await.wait, None);
        }
        assert_eq!(quota.take(7).await.left, 1);
        for _ in 0..10 {
            assert_eq!(quota.look(7).await.wait, None);
        }
        assert_eq!(quota.take(7).await.wait, None);
        assert!(quota.look(7).await.wait.is_some());
    }

    #[test]
    fn a_flood_of_strangers_takes_no_more_than_its_memory_and_frees_nobody() {
        let (quota, clock) = quota(2);
        let used_up = |key: u128| {
            quota.take_here(key);
            quota.take_here(key);
        };
        used_up(1);
        for stranger in 0..2 * MOST_KEYS as u128 {
            quota.take_here(1_000 + stranger);
        }
        assert!(quota.limiter.len() <= MOST_KEYS + 2 * MOST_KEYS / 64, "{}", quota.limiter.len());
        assert!(quota.take_here(1).wait.is_some(), "who was refused still is");
        // Without a place of their own newcomers are counted, with others.
        let newcomers = (0..MOST_KEYS as u128).map(|key| quota.take_here(u128::MAX - key));
        assert!(newcomers.filter(|verdict| verdict.wait.is_some()).count() > 0);
        clock.advance(MINUTE);
        // Who finds it crowded tidies up.
        for stranger in 0..MOST_KEYS as u128 {
            quota.take_here(9_000_000 + stranger);
        }
        assert_eq!(quota.take_here(1).left, 1);
        assert!(quota.limiter.len() < MOST_KEYS + MOST_KEYS / 8, "{}", quota.limiter.len());
    }
}
