//! The count that replicas keep together, in Redis.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::Script;

use super::{Clock, Rate, Verdict};
use crate::redis::Redis;

/// How long an answer of Redis is waited for.
const PATIENCE: Duration = Duration::from_millis(250);
/// After a failure Redis is not asked for so long.
const REST: Duration = Duration::from_secs(1);

/// KEYS: one user's or address's use of one quota. ARGV: microseconds until one comes back, how
/// many there are, whether to take one, microseconds that tests have moved the clock. Returns the
/// microseconds to wait (0: there is one), how many are left, the microseconds until all are
/// there.
static ASK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2] + ARGV[4]
local interval, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local whole = interval * most
local full = math.max(now, tonumber(redis.call('GET', KEYS[1]) or 0))
-- More than was ever used: the clock was set back.
if full > now + whole then full = now + whole end
local next = full + interval
local wait = next - whole - now
if wait > 0 then return {wait, 0, full - now} end
if ARGV[3] == '1' then
  redis.call('SET', KEYS[1], string.format('%.0f', next), 'PX',
    math.ceil((next - now) / 1000) + 1000)
end
return {0, math.floor((now + whole - next) / interval), next - now}",
    )
});

/// What quotas of several replicas have in common: the Redis, the clock, and the news that Redis
/// is away.
#[derive(Debug)]
pub struct Together {
    redis: Redis,
    clock: Clock,
    rest_until: Mutex<Option<Instant>>,
}

impl Together {
    /// Over this Redis.
    pub fn new(redis: Redis, clock: Clock) -> Self {
        Self { redis, clock, rest_until: Mutex::default() }
    }

    /// Asks Redis; `None` when it is away.
    pub(super) async fn ask(
        &self,
        name: &str,
        rate: Rate,
        key: u128,
        take: bool,
    ) -> Option<Verdict> {
        if self.rest().is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let mut script = ASK.key(format!("{{{}:{key:032x}}}", self.redis.name(name)));
        script.arg(rate.interval().as_micros() as u64).arg(rate.most.get());
        script.arg(u8::from(take)).arg(self.clock.ahead_us());
        let asked = self.redis.run_soon::<(u64, u32, u64)>(&script);
        // Somebody waits for more than this; tickets have more patience.
        let Ok(Some((wait, left, full_in))) = tokio::time::timeout(PATIENCE, asked).await else {
            tracing::warn!("Redis does not answer: each process keeps limits by itself");
            *self.rest() = Some(Instant::now() + REST);
            return None;
        };
        let wait = (wait > 0).then(|| Duration::from_micros(wait));
        Some(Verdict { rate, left, full_in: Duration::from_micros(full_in), wait })
    }

    fn rest(&self) -> MutexGuard<'_, Option<Instant>> {
        self.rest_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
