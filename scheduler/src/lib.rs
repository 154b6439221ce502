//! What keeps the farm honest without anybody asking ([`Upkeep`]: tickets for due rows, rescue of
//! lost runs, deadlines, the reconciler), and what starts work by the clock ([`Schedule`]).
//!
//! Any number of processes may run it; every act is one conditional statement. Knows no handler
//! and no HTTP. Start reading at [`Scheduler`], then [`Upkeep::run_until`] and [`ENTRIES`].

mod entry;
pub mod process;
mod schedule;
mod times;
mod upkeep;
mod wake;

pub use entry::{ENTRIES, Entry, names};
use jobs::Jobs;
pub use schedule::{BadCron, Schedule, Taken};
use tokio_util::sync::CancellationToken;
pub use upkeep::{Upkeep, UpkeepConfig};

/// All a scheduler does, in a process of its own or beside the other roles.
#[derive(Clone, Debug)]
pub struct Scheduler {
    upkeep: Upkeep,
    schedule: Schedule,
}

impl Scheduler {
    /// Upkeep and the whole schedule over these jobs.
    ///
    /// # Errors
    /// When the ticks of an entry cannot be read.
    pub fn new(jobs: Jobs, config: UpkeepConfig) -> Result<Self, BadCron> {
        let schedule = Schedule::new(jobs.clone(), ENTRIES)?;
        Ok(Self { upkeep: Upkeep::new(jobs, config), schedule })
    }

    /// Runs until `stop` fires. A failing pass is logged and tried again at its next turn.
    pub async fn run_until(self, stop: CancellationToken) {
        tokio::join!(self.upkeep.run_until(stop.clone()), self.schedule.run_until(stop));
    }
}
