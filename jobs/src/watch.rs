//! Waiting for a job to change: subscribe, then read. Signals wake waiters at once; one batched
//! re-read every two seconds covers signals that were lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use entity::Db;
use entity::job::query::{self, Stamp};
use tokio::sync::{Notify, broadcast, watch};
use uuid::Uuid;

use crate::ticket::{Signal, TicketQueue};

/// How often lost signals are covered.
pub const REREAD_EVERY: Duration = Duration::from_secs(2);

/// Jobs per statement of a re-read.
const CHUNK: usize = 1_000;

type Waiters = Arc<Mutex<HashMap<Uuid, watch::Sender<Stamp>>>>;

/// The waiters of one process.
#[derive(Clone, Debug)]
pub struct Watch {
    waiters: Waiters,
    // Asks for a re-read of everything.
    look: Arc<Notify>,
    // Ends the background task with the last handle.
    _alive: Arc<watch::Sender<()>>,
}

/// A place in the waiting room of one job.
#[derive(Debug)]
pub struct Waiting {
    id: Uuid,
    // Empty only while it is being dropped.
    stamps: Option<watch::Receiver<Stamp>>,
    waiters: Waiters,
}

impl Watch {
    pub(crate) fn start(db: Db, tickets: &dyn TicketQueue) -> Self {
        let waiters: Waiters = Arc::default();
        let (alive, mut gone) = watch::channel(());
        let mut signals = tickets.signals();
        let room = waiters.clone();
        let look = Arc::new(Notify::new());
        let asked = look.clone();
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(REREAD_EVERY);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
            loop {
                let ids = tokio::select! {
                    _ = gone.changed() => return,
                    _ = tick.tick() => waited(&room, None),
                    () = asked.notified() => waited(&room, None),
                    signal = signals.recv() => match signal {
                        Ok(Signal::Changed(ids)) => {
                            let mut ids = ids;
                            // One re-read for all that has piled up.
                            while let Ok(Signal::Changed(more)) = signals.try_recv() {
                                ids.extend(more);
                            }
                            waited(&room, Some(&ids))
                        }
                        Ok(Signal::Stop(_) | Signal::Low(_)) => continue,
                        Err(broadcast::error::RecvError::Lagged(_)) => waited(&room, None),
                        Err(broadcast::error::RecvError::Closed) => return,
                    },
                };
                for ids in ids.chunks(CHUNK) {
                    match query::stamps(db.read(), ids).await {
                        Ok(stamps) => wake(&room, &stamps),
                        Err(error) => tracing::warn!(%error, "versions could not be read"),
                    }
                }
            }
        });
        Self { waiters, look, _alive: Arc::new(alive) }
    }

    /// Takes a place. Read the job after this: a change in between then shows.
    pub fn subscribe(&self, id: Uuid) -> Waiting {
        let mut room = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = room.entry(id).or_insert_with(|| watch::channel(Stamp::default()).0);
        Waiting { id, stamps: Some(sender.subscribe()), waiters: self.waiters.clone() }
    }

    /// Looks at every job that is waited for, now: for changes that concern many at once, like a
    /// paused queue. Other processes see them at their next re-read.
    pub fn look(&self) {
        self.look.notify_one();
    }

    /// How many jobs are waited for.
    pub fn waited_for(&self) -> usize {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

fn waited(room: &Waiters, among: Option<&[Uuid]>) -> Vec<Uuid> {
    let room = room.lock().unwrap_or_else(PoisonError::into_inner);
    match among {
        Some(ids) => ids.iter().filter(|id| room.contains_key(id)).copied().collect(),
        None => room.keys().copied().collect(),
    }
}

fn wake(room: &Waiters, stamps: &[(Uuid, Stamp)]) {
    let room = room.lock().unwrap_or_else(PoisonError::into_inner);
    for (id, seen) in stamps {
        if let Some(sender) = room.get(id) {
            sender.send_if_modified(|known| {
                let newer = seen > known;
                *known = (*seen).max(*known);
                newer
            });
        }
    }
}

impl Waiting {
    /// Returns when the job is known to be past `stamp`.
    pub async fn past(&mut self, stamp: Stamp) {
        // The sender lives in the map as long as this place does.
        if let Some(stamps) = &mut self.stamps {
            let _ = stamps.wait_for(|seen| *seen > stamp).await;
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut room = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock, so that of two who leave together the last one sees that it is.
        self.stamps = None;
        if room.get(&self.id).is_some_and(|sender| sender.receiver_count() == 0) {
            room.remove(&self.id);
        }
    }
}
