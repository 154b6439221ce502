//! Ticks into jobs. Decisive is the farm's clock, and the row in `schedules`: whoever looks, and
//! however often, each tick is taken once.

use std::sync::Arc;
use std::time::Duration;

use entity::job::enqueue::{self, Enqueued, NewJob};
use entity::{DbErr, Time, clock, schedule};
use jobs::{Jobs, JobsError};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::entry::Entry;
use crate::times::Times;
use crate::upkeep::every;
use crate::wake;

/// How often everything is looked at, whatever the wakes did: a scheduler may die between waking
/// and taking, and a host's clock may be behind.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// A cron expression that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ticks of {name} cannot be read from {cron:?}: {why}")]
pub struct BadCron {
    /// The entry.
    pub name: &'static str,
    /// What it says.
    pub cron: &'static str,
    /// What is wrong with it.
    pub why: String,
}

/// A tick that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The entry.
    pub name: &'static str,
    /// The tick.
    pub tick: Time,
    /// The job it enqueued or joined.
    pub job: Uuid,
}

/// The schedule as one scheduler runs it; any number may.
#[derive(Clone, Debug)]
pub struct Schedule {
    jobs: Jobs,
    entries: Arc<[(Entry, Times)]>,
}

impl Schedule {
    /// These entries over these jobs.
    ///
    /// # Errors
    /// When the ticks of an entry cannot be read.
    pub fn new(jobs: Jobs, entries: &[Entry]) -> Result<Self, BadCron> {
        let entries = entries.iter().map(|entry| match Times::parse(entry.cron) {
            Ok(times) => Ok((*entry, times)),
            Err(why) => Err(BadCron { name: entry.name, cron: entry.cron, why }),
        });
        Ok(Self { jobs, entries: entries.collect::<Result<_, _>>()? })
    }

    /// Takes ticks until `stop` fires: the latest missed one of each entry at once, then each as
    /// its time comes.
    pub async fn run_until(self, stop: CancellationToken) {
        let loops = async {
            tokio::join!(
                every(SWEEP_EVERY, "schedule", || async { self.pass().await.map(drop) }),
                wake::at_every_tick(&self),
            )
        };
        tokio::select! {
            // What is broken off is a transaction that rolls back.
            () = stop.cancelled() => {}
            _ = loops => {}
        }
    }

    /// Registers entries that are new and takes what is due, once. An entry whose job cannot be
    /// enqueued does not hold up the others, and its tick stays for the next pass.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn pass(&self) -> Result<Vec<Taken>, DbErr> {
        let db = self.jobs.db();
        let known = schedule::list(db.read()).await?;
        let now = clock::now(db.read()).await?;
        let mut taken = vec![];
        for (entry, times) in self.entries.iter() {
            let Some(tick) = times.latest(now) else { continue };
            let row = known.iter().find(|row| row.name == entry.name);
            let Some((row, last)) = row.and_then(|row| Some((row, row.last_tick?))) else {
                schedule::register(db.write(), entry.name, tick).await?;
                continue;
            };
            if row.paused || last >= tick {
                continue;
            }
            match self.enqueue_tick(entry, tick).await {
                Ok(Some(job)) => {
                    tracing::info!(name = entry.name, tick = tick.rfc3339(), job = %job.id, "tick");
                    taken.push(Taken { name: entry.name, tick, job: job.id });
                }
                Ok(None) => {} // another scheduler was faster, or it was paused just now
                Err(error) => {
                    tracing::warn!(%error, name = entry.name, "a tick failed; it comes again");
                }
            }
        }
        Ok(taken)
    }

    /// Registers what is new and takes nothing: for operators who act on an entry before any
    /// scheduler ran.
    pub async fn register(&self) -> Result<(), DbErr> {
        let now = clock::now(self.jobs.db().read()).await?;
        for (entry, times) in self.entries.iter() {
            if let Some(tick) = times.latest(now) {
                schedule::register(self.jobs.db().write(), entry.name, tick).await?;
            }
        }
        Ok(())
    }

    /// Takes one tick and enqueues its job, both or neither. `None` when the tick is not there to
    /// be taken (taken already, in the future, paused) or there is no such entry.
    pub async fn take(&self, name: &str, tick: Time) -> Result<Option<Enqueued>, JobsError> {
        match self.entry(name) {
            Some((entry, _)) => self.enqueue_tick(entry, tick).await,
            None => Ok(None),
        }
    }

    async fn enqueue_tick(&self, entry: &Entry, tick: Time) -> Result<Option<Enqueued>, JobsError> {
        let tx = self.jobs.db().begin().await?;
        if !schedule::take(&tx, entry.name, tick).await? {
            return Ok(None);
        }
        let job = entry_job(entry, tick, &tick.rfc3339())?;
        let enqueued = enqueue::enqueue_many(&tx, &[job]).await?.pop();
        let enqueued = enqueued.ok_or(DbErr::RecordNotInserted)?;
        schedule::set_job(&tx, entry.name, enqueued.id).await?;
        tx.commit().await?;
        self.jobs.announce(std::slice::from_ref(&enqueued)).await;
        Ok(Some(enqueued))
    }

    /// Enqueues an entry's job now, paused or not; its ticks stay as they are. `None` when there
    /// is no such entry.
    pub async fn run_now(&self, name: &str) -> Result<Option<Enqueued>, JobsError> {
        let Some((entry, _)) = self.entry(name) else { return Ok(None) };
        let now = clock::now(self.jobs.db().read()).await?;
        let job = entry_job(entry, now, "by hand")?;
        Ok(self.jobs.submit_many(&[job]).await?.pop())
    }

    /// The ticks of an entry after `time`, soonest first; none when there is no such entry.
    pub fn ticks_after(&self, name: &str, time: Time) -> impl Iterator<Item = Time> + use<> {
        self.entry(name).map(|(_, times)| times.after(time)).into_iter().flatten()
    }

    /// The soonest tick of any entry after `time`.
    pub(crate) fn next_tick(&self, time: Time) -> Option<Time> {
        self.entries.iter().filter_map(|(_, times)| times.after(time).next()).min()
    }

    /// The farm's clock.
    pub(crate) async fn now(&self) -> Result<Time, DbErr> {
        clock::now(self.jobs.db().read()).await
    }

    fn entry(&self, name: &str) -> Option<&(Entry, Times)> {
        self.entries.iter().find(|(entry, _)| entry.name == name)
    }
}

/// The job of a tick; where it came from stands where a request's id would.
fn entry_job(entry: &Entry, tick: Time, why: &str) -> Result<NewJob, JobsError> {
    let request_id = Some(format!("schedule:{}:{why}", entry.name));
    Ok(NewJob { request_id, ..(entry.job)(tick)? })
}
