//! The crew's state, in the words of health and metrics.

use std::time::Duration;

use super::cache::CacheState;
use super::crew::{Crew, Doing};
use super::settings::Settings;
use super::state::{State, Status, TierState};

/// Bounds of the wait suggested to who is refused; the shorter one when no rate is known yet.
const WAIT: (f64, f64) = (5.0, 120.0);

impl Crew {
    /// When about half of what waits now will be done.
    pub(super) fn retry_after(&self, now: Duration) -> Duration {
        let rate = self.tally.per_second(now);
        let seconds = if rate > 0.0 { self.queue.len() as f64 / 2.0 / rate } else { 0.0 };
        Duration::from_secs_f64(seconds.clamp(WAIT.0, WAIT.1))
    }

    pub(super) fn state(&self, now: Duration, cache: CacheState, settings: &Settings) -> State {
        let serving = self.serving();
        let status = match serving {
            _ if self.stopped => Status::Stopped,
            None => Status::Loading,
            Some(0) => Status::Serving,
            Some(_) => Status::Degraded,
        };
        let tiers: Vec<TierState> =
            (0..self.rungs.len()).map(|rung| self.tier(rung, now)).collect();
        let above = &tiers[..serving.unwrap_or(tiers.len())];
        let why = above.iter().find_map(|tier| {
            let reason = tier.breaker.reason.as_ref().or(tier.load_error.as_ref())?;
            Some(format!("{}: {reason}", tier.tier))
        });
        let running = self.workers.values().map(|worker| match &worker.doing {
            Doing::Running { batch, .. } => batch.flights.len(),
            _ => 0,
        });
        let rate = self.tally.per_second(now);
        State {
            status,
            wanted: self.rungs.first().map(|rung| rung.loader.tier),
            serving: serving.map(|rung| self.rungs[rung].loader.tier),
            why,
            replace: self.replace.clone(),
            threads: self.slots.iter().filter(|slot| slot.current.is_some()).count(),
            hung: self.hung.len(),
            restarts: self.tally.restarts,
            queue: self.queue.len(),
            queue_most: settings.queue,
            running: running.sum(),
            batch_p50: self.tally.batch_p50(),
            done: self.tally.tiers.clone(),
            methods: self.tally.methods.clone(),
            offences: self.tally.offences,
            lost: self.tally.lost,
            captions_per_second: rate,
            posts_per_hour: rate * 3_600.0,
            cache,
            weights: tiers.iter().filter(|tier| tier.threads > 0).map(|tier| tier.bytes).sum(),
            tiers,
        }
    }

    fn tier(&self, index: usize, now: Duration) -> TierState {
        let rung = &self.rungs[index];
        let workers = || self.workers.values().filter(|worker| worker.rung == index);
        let loading = workers().find_map(|worker| match &worker.doing {
            Doing::Loading { progress, .. } => Some(progress.percent()),
            _ => None,
        });
        let ready = workers().filter(|worker| !matches!(worker.doing, Doing::Loading { .. }));
        let facts = rung.facts.as_ref().map(|(facts, _)| facts);
        TierState {
            tier: rung.loader.tier,
            threads: ready.count(),
            loading,
            load_ms: rung.load_took.map(|took| took.as_millis() as u64),
            models: facts.map(|facts| facts.models.clone()).unwrap_or_default(),
            bytes: facts.map_or(0, |facts| facts.bytes),
            load_error: rung.load_error.clone(),
            breaker: rung.breaker.state(now),
        }
    }
}
