//! The schedule: what is enqueued when. To add an entry: its kind, and one line in [`ENTRIES`].

use entity::Time;
use entity::job::enqueue::NewJob;
use jobs::kinds::cdn_cleanup::CdnCleanup;
use jobs::kinds::cdn_drift::CdnDrift;
use jobs::kinds::cdn_freshness::CdnFreshness;
use jobs::kinds::cdn_stats::CdnStats;
use jobs::kinds::consistency_scan::ConsistencyScan;
use jobs::kinds::credit_reset::CreditReset;
use jobs::kinds::expiry_sweep::ExpirySweep;
use jobs::kinds::prune::Prune;
use jobs::submit::new_job;
use jobs::{Job, JobsError, Options};

/// One entry of the schedule.
///
/// Of the ticks that were missed (nobody ran, or the entry was paused) the latest is taken, once.
/// None has to make up for each of them: what is due (credits' months, exports, pictures) is found
/// by a scan, however long ago it became so.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its name, for operators and in the table.
    pub name: &'static str,
    /// Its ticks in UTC: second, minute, hour, day of the month, month, day of the week.
    pub cron: &'static str,
    /// The job a tick enqueues. Unless the last one has ended, a job with a key is joined.
    pub job: fn(tick: Time) -> Result<NewJob, JobsError>,
}

/// Every entry there is.
pub const ENTRIES: &[Entry] = &[
    Entry { name: "prune", cron: "0 45 * * * *", job: plain::<Prune> },
    Entry { name: "consistency_scan", cron: "0 0 3 * * *", job: plain::<ConsistencyScan> },
    Entry { name: "cdn_stats", cron: "0 5 * * * *", job: plain::<CdnStats> },
    Entry { name: "cdn_cleanup", cron: "0 0 */6 * * *", job: plain::<CdnCleanup> },
    Entry { name: "cdn_freshness", cron: "0 0 2 * * *", job: plain::<CdnFreshness> },
    Entry { name: "cdn_drift", cron: "0 30 2 */2 * *", job: plain::<CdnDrift> },
    Entry { name: "credit_reset", cron: "0 0 * * * *", job: plain::<CreditReset> },
    Entry { name: "expiry_sweep", cron: "0 30 * * * *", job: plain::<ExpirySweep> },
];

/// The names of all entries.
pub fn names() -> impl Iterator<Item = &'static str> {
    ENTRIES.iter().map(|entry| entry.name)
}

/// A job that is the same at every tick.
fn plain<J: Job + Default>(_: Time) -> Result<NewJob, JobsError> {
    new_job(&J::default(), &Options::default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::times::Times;

    #[test]
    fn every_entry_has_a_name_of_its_own_ticks_and_a_job() {
        for (at, entry) in ENTRIES.iter().enumerate() {
            assert!(ENTRIES[..at].iter().all(|other| other.name != entry.name), "{}", entry.name);
            let times = Times::parse(entry.cron).unwrap();
            let now = Time(1_795_358_400_000);
            assert!(times.latest(now).is_some() && times.after(now).next().is_some());
            assert!((entry.job)(now).is_ok());
        }
    }
}
