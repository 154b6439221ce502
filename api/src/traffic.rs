//! How requests are answered: over the last minute, and counted for Prometheus.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use metrics::Histogram;
use poem::http::{Method, StatusCode};
use sketches_ddsketch::{Config, DDSketch};

/// How far back the figures reach.
const WINDOW: Duration = Duration::from_secs(60);
/// They are forgotten in steps of this.
const STEP: Duration = Duration::from_secs(5);
const STEPS: u64 = WINDOW.as_secs() / STEP.as_secs();
/// The operation of whoever asks whether this process can serve.
const PROBE: &str = "readyz";

tokio::task_local! {
    static WAITED: Cell<Duration>;
}

/// Runs a request, and says how long of it was spent waiting because the caller asked to.
pub(crate) async fn counting_waits<T>(request: impl Future<Output = T>) -> (T, Duration) {
    let counted = async move {
        let answer = request.await;
        (answer, WAITED.with(Cell::get))
    };
    WAITED.scope(Cell::new(Duration::ZERO), counted).await
}

/// Says that a caller was kept waiting as they asked. Outside a request nothing is counted.
pub(crate) fn waited(since: Instant) {
    let _ = WAITED.try_with(|waited| waited.set(waited.get() + since.elapsed()));
}

/// Threads count apart, so that they do not wait for each other: a request takes 15 µs.
const SHARDS: usize = 16;

/// What one process has answered.
#[derive(Debug)]
pub(crate) struct Traffic {
    began: Instant,
    shards: [Shard; SHARDS],
    /// Profiles shown from what was read a moment ago, and from what had to be read.
    shown: [AtomicU64; 2],
}

/// What some of the threads have answered, in cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    steps: VecDeque<Step>,
    /// For Prometheus, by method, operation and status: finding one by its labels takes longer than
    /// all the rest.
    told: HashMap<(&'static str, &'static str, u16), Histogram>,
}

impl Shard {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The shard of this thread.
fn shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
    }
    MINE.with(|mine| *mine)
}

struct Step {
    number: u64,
    errors: u64,
    seconds: DDSketch,
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Step").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Default for Traffic {
    fn default() -> Self {
        let (shards, shown) = Default::default();
        Self { began: Instant::now(), shards, shown }
    }
}

/// The last minute. Times are in seconds, without what callers asked to wait; null of nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Minute {
    /// Answers.
    pub(crate) answers: u64,
    /// Of them, those with a status of 500 and above.
    pub(crate) errors: u64,
    /// Answers a second; since the start when that was later.
    pub(crate) per_second: f64,
    pub(crate) mean: Option<f64>,
    /// Half of them took at most so long; within 1 %, as all that follow.
    pub(crate) p50: Option<f64>,
    pub(crate) p95: Option<f64>,
    pub(crate) p99: Option<f64>,
    pub(crate) slowest: Option<f64>,
}

impl Minute {
    /// Errors of all answers, 0 to 1.
    pub(crate) fn error_rate(&self) -> Option<f64> {
        (self.answers > 0).then(|| self.errors as f64 / self.answers as f64)
    }
}

impl Traffic {
    /// Counts an answer to an operation. The label of its route comes from `route`, and is the path
    /// as documented, never the one that was asked for: that names people.
    pub(crate) fn answered<'a>(
        &self,
        method: &Method,
        operation: &'static str,
        route: impl FnOnce() -> &'a str,
        status: StatusCode,
        took: Duration,
        waited: Duration,
    ) {
        let key = (word(method), operation, status.as_u16());
        let mut counts = self.shards[shard()].counts();
        let told = counts.told.entry(key).or_insert_with(|| {
            let labels = [
                ("http_request_method", key.0.to_owned()),
                ("http_route", route().to_owned()),
                ("http_response_status_code", status.as_str().to_owned()),
            ];
            metrics::histogram!("http_server_request_duration_seconds", &labels)
        });
        told.record(took);
        if operation == PROBE {
            // That it cannot serve is what it is asked for, not an error of an answer.
            return;
        }
        let own = took.saturating_sub(waited);
        counts.count(self.began.elapsed(), status.is_server_error(), own);
    }

    /// Counts a profile that is shown: as it was read a moment ago, or read for this.
    pub(crate) fn shown(&self, remembered: bool) {
        self.shown[usize::from(!remembered)].fetch_add(1, Ordering::Relaxed);
    }

    /// The last minute.
    pub(crate) fn minute(&self) -> Minute {
        self.minute_at(self.began.elapsed())
    }

    fn minute_at(&self, now: Duration) -> Minute {
        let mut all = DDSketch::new(Config::defaults());
        let mut errors = 0;
        for shard in &self.shards {
            let mut counts = shard.counts();
            counts.forget(now.as_secs() / STEP.as_secs());
            for step in &counts.steps {
                errors += step.errors;
                // Sketches of one configuration always merge.
                let _ = all.merge(&step.seconds);
            }
        }
        let answers = all.count() as u64;
        let quantile = |share| all.quantile(share).ok().flatten();
        let seconds = now.as_secs_f64().clamp(1.0, WINDOW.as_secs_f64());
        Minute {
            answers,
            errors,
            per_second: answers as f64 / seconds,
            mean: all.sum().filter(|_| answers > 0).map(|sum| sum / answers as f64),
            p50: quantile(0.5),
            p95: quantile(0.95),
            p99: quantile(0.99),
            slowest: all.max(),
        }
    }

    /// Profiles shown from memory and from the database, since the start.
    pub(crate) fn cached(&self) -> (u64, u64) {
        let [hits, misses] = &self.shown;
        (hits.load(Ordering::Relaxed), misses.load(Ordering::Relaxed))
    }
}

impl Counts {
    fn count(&mut self, now: Duration, error: bool, took: Duration) {
        let number = now.as_secs() / STEP.as_secs();
        if self.steps.back().is_none_or(|step| step.number < number) {
            self.forget(number);
            let seconds = DDSketch::new(Config::defaults());
            self.steps.push_back(Step { number, errors: 0, seconds });
        }
        if let Some(step) = self.steps.back_mut() {
            step.errors += u64::from(error);
            step.seconds.add(took.as_secs_f64());
        }
    }

    fn forget(&mut self, now: u64) {
        while self.steps.front().is_some_and(|step| step.number + STEPS <= now) {
            self.steps.pop_front();
        }
    }
}

/// Whoever invents methods must not make labels.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_figures_are_of_the_last_minute() {
        let traffic = Traffic::default();
        assert_eq!(traffic.minute_at(SECOND), Minute::default());
        for millis in 1..=100 {
            let mut counts = traffic.shards[millis as usize % SHARDS].counts();
            counts.count(10 * SECOND, millis > 97, Duration::from_millis(millis));
        }
        let minute = traffic.minute_at(20 * SECOND);
        assert_eq!((minute.answers, minute.errors), (100, 3));
        assert!((minute.per_second - 5.0).abs() < 1e-9);
        let near = |value: Option<f64>, want: f64| (value.unwrap() / want - 1.0).abs() < 0.03;
        assert!(near(minute.mean, 0.0505) && near(minute.p50, 0.050), "{minute:?}");
        assert!(near(minute.p99, 0.099) && near(minute.slowest, 0.100), "{minute:?}");
        assert!((minute.error_rate().unwrap() - 0.03).abs() < 1e-9);
        traffic.shards[0].counts().count(65 * SECOND, false, SECOND);
        assert_eq!(traffic.minute_at(69 * SECOND).answers, 101);
        let later = traffic.minute_at(70 * SECOND);
        assert_eq!((later.answers, later.errors), (1, 0));
        assert_eq!(traffic.minute_at(130 * SECOND).error_rate(), None);
    }

    #[tokio::test]
    async fn what_a_caller_asked_to_wait_is_told_apart() {
        let before = Instant::now();
        let (answer, waits) = counting_waits(async {
            waited(before);
            waited(before);
            7
        })
        .await;
        assert_eq!(answer, 7);
        assert!(waits > Duration::ZERO && waits <= 2 * before.elapsed());
        waited(before);
        assert_eq!(counting_waits(async {}).await.1, Duration::ZERO);
    }
}
