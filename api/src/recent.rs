//! What was read a moment ago: many who ask at once make one read, and for a short time after it
//! nobody makes any.

use std::hash::Hash;
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use quick_cache::{UnitWeighter, Weighter};

use crate::problem::Problem;

/// Readings by key, bounded by their weight.
pub(crate) struct Recent<K, V, W = UnitWeighter> {
    readings: Cache<K, Reading<V>, W>,
    /// How long a reading stands.
    window: Duration,
}

impl<K, V, W> std::fmt::Debug for Recent<K, V, W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recent").field("window", &self.window).finish_non_exhaustive()
    }
}

/// What a read gave.
#[derive(Clone, Debug)]
pub(crate) struct Reading<V> {
    /// None and refusals are shared with those who waited for the read, and never kept.
    pub(crate) value: Result<Option<V>, Problem>,
    /// Just before it.
    asked: Instant,
}

impl<V> Reading<V> {
    fn is_something(&self) -> bool {
        matches!(self.value, Ok(Some(_)))
    }
}

/// A value, and how it was come by.
#[derive(Clone, Debug)]
pub(crate) struct Found<V> {
    pub(crate) value: V,
    /// Just before it was read.
    pub(crate) asked: Instant,
    /// Nobody was asked, nor waited for.
    pub(crate) remembered: bool,
}

impl<K: Clone + Eq + Hash, V: Clone> Recent<K, V> {
    /// Remembers about `most` values for as long as `window`.
    pub(crate) fn new(window: Duration, most: usize) -> Self {
        Self::weighed(window, most, most as u64, UnitWeighter)
    }
}

impl<K, V, W> Recent<K, V, W>
where
    K: Clone + Eq + Hash,
    V: Clone,
    W: Weighter<K, Reading<V>> + Clone,
{
    /// Remembers values of at most `weight` together, about `most` of them.
    pub(crate) fn weighed(window: Duration, most: usize, weight: u64, weigher: W) -> Self {
        Self { readings: Cache::with_weighter(most, weight, weigher), window }
    }

    /// The value as it was read within the window, else as `read` finds it: given what it found
    /// before, for those who ask at the same time too.
    pub(crate) async fn get<R>(
        &self,
        key: &K,
        read: impl FnOnce(Option<V>) -> R,
    ) -> Result<Option<Found<V>>, Problem>
    where
        R: Future<Output = Result<Option<V>, Problem>>,
    {
        let known = self.readings.get(key);
        if let Some(known) = &known {
            if self.stands(known) {
                return found(known.clone(), true);
            }
            // Unless somebody has read it anew meanwhile.
            self.readings.remove_if(key, |known| !self.stands(known));
        }
        let place = match self.readings.get_value_or_guard_async(key).await {
            Ok(reading) => return found(reading, false),
            Err(place) => place,
        };
        let asked = Instant::now();
        let value = read(known.and_then(|known| known.value.ok()?)).await;
        let reading = Reading { value, asked };
        // Refused when it was forgotten meanwhile: then it is for those who waited, and no more.
        let _ = place.insert(reading.clone());
        if !reading.is_something() {
            self.readings.remove_if(key, |reading| !reading.is_something());
        }
        found(reading, false)
    }

    /// Forgets a value, one that is being read included: who asks from now on reads.
    pub(crate) fn forget(&self, key: &K) {
        self.readings.remove(key);
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.readings.clear();
    }

    fn stands(&self, reading: &Reading<V>) -> bool {
        reading.asked.elapsed() < self.window
    }
}

fn found<V>(reading: Reading<V>, remembered: bool) -> Result<Option<Found<V>>, Problem> {
    let asked = reading.asked;
    Ok(reading.value?.map(|value| Found { value, asked, remembered }))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use tokio::sync::Notify;

    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);

    fn values(window: Duration) -> Recent<u8, usize> {
        Recent::new(window, 100)
    }

    async fn read(recent: &Recent<u8, usize>, value: usize) -> (usize, bool) {
        let found = recent.get(&1, |_| async move { Ok(Some(value)) }).await.unwrap().unwrap();
        (found.value, found.remembered)
    }

    #[tokio::test]
    async fn a_hundred_who_ask_at_once_make_one_read() {
        // Found, missing, refused: the others neither ask again nor queue up to.
        for outcome in [Ok(Some(7)), Ok(None), Err(Problem::internal())] {
            let recent = values(LONG);
            let reads = AtomicUsize::new(0);
            let one = || {
                recent.get(&1, |_| async {
                    reads.fetch_add(1, Ordering::SeqCst);
                    // Everybody else comes in here.
                    tokio::task::yield_now().await;
                    outcome.clone()
                })
            };
            let all = join_all((0..100).map(|_| one())).await;
            assert_eq!(reads.load(Ordering::SeqCst), 1, "{outcome:?}");
            let value = |found: &Result<Option<Found<usize>>, Problem>| {
                found.as_ref().map(|found| found.as_ref().map(|found| found.value)).ok()
            };
            assert!(all.iter().all(|found| value(found) == outcome.clone().ok()), "{all:?}");
        }
    }

    #[tokio::test]
    async fn only_what_was_found_is_remembered() {
        let recent = values(LONG);
        assert!(recent.get(&1, |_| async { Ok(None) }).await.unwrap().is_none());
        assert!(recent.get(&1, |_| async { Err(Problem::internal()) }).await.is_err());
        assert_eq!(read(&recent, 1).await, (1, false));
        assert_eq!(read(&recent, 2).await, (1, true));
        let other = recent.get(&2, |_| async { Ok(Some(3)) }).await.unwrap().unwrap();
        assert_eq!((other.value, other.remembered), (3, false), "each key is its own");
    }

    #[tokio::test]
    async fn what_is_old_is_read_again_beside_what_was_known() {
        let recent = values(Duration::ZERO);
        assert_eq!(read(&recent, 1).await, (1, false));
        let next = |old: Option<usize>| async move { Ok(old.map(|old| old + 1)) };
        assert_eq!(recent.get(&1, next).await.unwrap().unwrap().value, 2);
    }

    #[tokio::test]
    async fn what_is_forgotten_while_it_is_read_is_not_remembered() {
        let forgets: [fn(&Recent<u8, usize>); 2] = [|recent| recent.forget(&1), Recent::clear];
        for forget in forgets {
            let recent = values(LONG);
            let (reading, go_on) = (Notify::new(), Notify::new());
            let slow = recent.get(&1, |_| async {
                reading.notify_one();
                go_on.notified().await;
                Ok(Some(1))
            });
            let meanwhile = async {
                reading.notified().await;
                forget(&recent);
                go_on.notify_one();
            };
            let (slow, ()) = tokio::join!(slow, meanwhile);
            assert_eq!(slow.unwrap().unwrap().value, 1, "who asked before is answered");
            assert_eq!(read(&recent, 2).await, (2, false));
        }
    }

    #[tokio::test]
    async fn one_is_forgotten_or_all_are() {
        let recent = values(LONG);
        let all = || {
            join_all((1..=3).map(async |key| {
                let found = recent.get(&key, |_| async { Ok(Some(0)) }).await;
                found.unwrap().unwrap().remembered
            }))
        };
        assert_eq!(all().await, [false, false, false]);
        recent.forget(&2);
        assert_eq!(all().await, [true, false, true]);
        recent.clear();
        assert_eq!(all().await, [false, false, false]);
    }
}
