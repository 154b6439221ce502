//! Limits on how often something is done per second: by one process, or by all replicas of a
//! cluster together.
//!
//! The shared limit is a GCRA kept in Redis and timed by its clock: a caller books the next free
//! place and waits until its time has come, so that places are given in order and none is lost to
//! polling. While Redis is away every process keeps to its share, limit / replicas.

use std::num::NonZeroU32;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use redis::Script;
use tokio::sync::watch;

use crate::redis::Redis;

/// Places are booked at most so far ahead; who would wait longer asks again.
const BOOK_AHEAD: Duration = Duration::from_secs(5);

/// KEYS: the limit. ARGV: microseconds per place, places in a burst, microseconds of the longest
/// wait. Returns the microseconds to wait for the booked place, or, when that is too long, the
/// negative wait with nothing booked.
static BOOK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval = tonumber(ARGV[1])
local arrival = math.max(now, tonumber(redis.call('GET', KEYS[1]) or 0))
-- Further ahead than anybody books: the clock was set back.
if arrival > now + ARGV[3] + (ARGV[2] + 1) * interval then arrival = now end
local wait = math.max(0, arrival - (tonumber(ARGV[2]) - 1) * interval - now)
if wait > tonumber(ARGV[3]) then return -wait end
local next = arrival + interval
redis.call('SET', KEYS[1], string.format('%.0f', next), 'PX',
  math.ceil((next - now) / 1000) + 1000)
return wait",
    )
});

/// So many turns a second, with a burst of one second's worth.
pub struct RateLimit {
    per_second: NonZeroU32,
    shared: Option<Shared>,
    /// For so many replicas it was made.
    local: Mutex<(u32, Arc<DefaultDirectRateLimiter>)>,
}

struct Shared {
    redis: Redis,
    key: String,
    /// Workers alive, as last seen.
    replicas: watch::Receiver<u32>,
}

impl std::fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RateLimit")
            .field("per_second", &self.per_second)
            .field("shared", &self.shared.is_some())
            .finish_non_exhaustive()
    }
}

impl RateLimit {
    /// A limit of this process alone.
    pub fn local(per_second: NonZeroU32) -> Self {
        Self { per_second, shared: None, local: Mutex::new((1, limiter(per_second, 1))) }
    }

    /// A limit that all processes with the same Redis, prefix and name keep together.
    pub fn shared(
        per_second: NonZeroU32,
        redis: Redis,
        name: &str,
        replicas: watch::Receiver<u32>,
    ) -> Self {
        let key = redis.name(&format!("limit:{name}"));
        Self { shared: Some(Shared { redis, key, replicas }), ..Self::local(per_second) }
    }

    /// Waits for the caller's turn. Dropped while it waits, a booked place is lost.
    pub async fn turn(&self) {
        let Some(shared) = &self.shared else { return self.own_share(1).await };
        loop {
            let mut script = BOOK.key(&shared.key);
            script.arg(1_000_000 / u64::from(self.per_second.get()).min(1_000_000));
            script.arg(self.per_second.get()).arg(BOOK_AHEAD.as_micros() as u64);
            let Some(wait) = shared.redis.run_soon::<i64>(&script).await else {
                let replicas = *shared.replicas.borrow();
                return self.own_share(replicas).await;
            };
            tokio::time::sleep(Duration::from_micros(wait.unsigned_abs()).min(BOOK_AHEAD)).await;
            if wait >= 0 {
                return;
            }
        }
    }

    async fn own_share(&self, replicas: u32) {
        let limiter = {
            let mut local = self.local.lock().unwrap_or_else(PoisonError::into_inner);
            if local.0 != replicas {
                *local = (replicas, limiter(self.per_second, replicas));
            }
            local.1.clone()
        };
        limiter.until_ready().await;
    }
}

/// One replica's share: a turn every `replicas / per_second` seconds, and its part of the burst.
fn limiter(per_second: NonZeroU32, replicas: u32) -> Arc<DefaultDirectRateLimiter> {
    let replicas = replicas.max(1);
    let every = Duration::from_secs(1) * replicas / per_second.get();
    let burst = NonZeroU32::new(per_second.get() / replicas).unwrap_or(NonZeroU32::MIN);
    let quota = Quota::with_period(every).unwrap_or(Quota::per_second(per_second));
    Arc::new(RateLimiter::direct(quota.allow_burst(burst)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_share_is_smaller_the_more_replicas_there_are() {
        let limit = RateLimit::local(NonZeroU32::new(40).unwrap());
        limit.own_share(4).await;
        let share = limit.local.lock().unwrap().1.clone();
        let at_once = (0..40).filter(|_| share.check().is_ok()).count();
        assert_eq!(at_once, 9, "a burst of ten, of which one was taken");
        limit.own_share(100).await;
        let share = limit.local.lock().unwrap().1.clone();
        assert!(share.check().is_err(), "less than one a second has no burst left");
    }
}
