//! The apalis-cron worker that wakes the schedule.
//!
//! Its clock is the host's, so a wake decides nothing: it waits until the farm's clock has come
//! to the tick as well, and then has the schedule look at everything.

use std::time::Duration;

use apalis::prelude::*;
use apalis_cron::timezone::Utc;
use apalis_cron::{CronScheduler, Tick};
use entity::time::wall_now;
use entity::{DbErr, Time};

use crate::schedule::Schedule;

/// The longest wait for a farm's clock that is behind the host's; beyond it the sweep is in time.
const LONGEST_WAIT_MS: i64 = 15 * 60_000;
/// Pause before a worker that ended is replaced.
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// The ticks of all entries, as the host's clock comes to them.
#[derive(Debug)]
struct Wakes(Schedule);

impl apalis_cron::Schedule<Utc> for Wakes {
    fn next_tick(&mut self, _: &Utc) -> Option<Tick<Utc>> {
        let next = self.0.next_tick(wall_now())?;
        u64::try_from(next.0 / 1_000).ok().map(Tick::new)
    }
}

/// Wakes the schedule at every tick of its entries, for ever. The stream ends with an error when
/// it is polled too late for its next tick; what was missed meanwhile is the sweep's.
pub(crate) async fn at_every_tick(schedule: &Schedule) {
    loop {
        let waking = schedule.clone();
        let worker = WorkerBuilder::new("farm-schedule")
            .backend(CronScheduler::new(Wakes(schedule.clone())))
            .build(move |tick: Tick<Utc>| wake(waking.clone(), tick));
        if let Err(error) = worker.run().await {
            tracing::warn!(%error, "the schedule's stream ended; it starts again");
        }
        tokio::time::sleep(RESTART_AFTER).await;
    }
}

async fn wake(schedule: Schedule, tick: Tick<Utc>) {
    let tick = Time(tick.get_timestamp() as i64 * 1_000);
    let done = async {
        wait_for(&schedule, tick).await?;
        schedule.pass().await
    };
    if let Err(error) = done.await {
        tracing::warn!(%error, "a tick could not be looked at; the sweep comes to it");
    }
}

/// Returns when the farm's clock has come to the tick.
async fn wait_for(schedule: &Schedule, tick: Time) -> Result<(), DbErr> {
    loop {
        let early = tick.millis_since(schedule.now().await?);
        if early <= 0 || early > LONGEST_WAIT_MS {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(early as u64)).await;
    }
}
