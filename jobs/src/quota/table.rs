//! Who has used how much, for governor: a table in parts that are locked one at a time, and that
//! does not grow beyond its size.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;

/// Parts.
const SHARDS: usize = 64;
/// Those who have a place of their own, in a part.
const PLACES: usize = 1_024;
/// Places shared by those who came when all others were taken, in a part.
const SHARED_PLACES: usize = 16;

/// Those who have a place of their own: about 3 MiB.
#[cfg(test)]
pub(super) const MOST_KEYS: usize = SHARDS * PLACES;

/// Who asks, and whether for more than a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ask {
    pub(super) key: u128,
    pub(super) take: bool,
}

/// When everybody has all of their quota again.
#[derive(Debug)]
pub(super) struct Table {
    shards: Vec<Mutex<Shard>>,
    /// With a seed: nobody can choose addresses that meet in one part.
    hasher: RandomState,
    /// Somebody found no place.
    crowded: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct Shard {
    places: HashMap<u128, Nanos>,
    shared: [Option<Nanos>; SHARED_PLACES],
}

impl Table {
    pub(super) fn new(crowded: Arc<AtomicBool>) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, hasher: RandomState::new(), crowded }
    }

    fn each_shard(&self, mut with: impl FnMut(&mut Shard)) {
        for shard in &self.shards {
            with(&mut shard.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl StateStore for Table {
    type Key = Ask;

    fn measure_and_replace<T, F, E>(&self, ask: &Ask, judge: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let hash = self.hasher.hash_one(ask.key) as usize;
        let shard = self.shards[hash % SHARDS].lock();
        let shard = &mut *shard.unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = shard.places.get_mut(&ask.key) {
            let (verdict, next) = judge(Some(*place))?;
            if ask.take {
                *place = next;
            }
            return Ok(verdict);
        }
        if shard.places.len() < PLACES {
            let (verdict, next) = judge(None)?;
            if ask.take {
                shard.places.insert(ask.key, next);
            }
            return Ok(verdict);
        }
        // Nobody loses their place: who is refused cannot make room for themselves.
        self.crowded.store(true, Ordering::Relaxed);
        let place = &mut shard.shared[hash / SHARDS % SHARED_PLACES];
        let (verdict, next) = judge(*place)?;
        if ask.take {
            *place = Some(next);
        }
        Ok(verdict)
    }
}

impl ShrinkableKeyedStateStore<Ask> for Table {
    fn retain_recent(&self, drop_below: Nanos) {
        self.each_shard(|shard| {
            shard.places.retain(|_, full_at| *full_at > drop_below);
            for place in &mut shard.shared {
                *place = place.filter(|full_at| *full_at > drop_below);
            }
        });
    }

    fn len(&self) -> usize {
        let mut len = 0;
        self.each_shard(|shard| len += shard.places.len() + shard.shared.iter().flatten().count());
        len
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
