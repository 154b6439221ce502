//! From tickets to runs: never more than there are free slots.

use std::sync::Arc;
use std::time::Duration;

use entity::enums::Queue;
use entity::job::Model;
use entity::job::end::Settle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use uuid::Uuid;

use super::Shared;
use super::life::{Life, RunHandle};
use super::run::Run;

/// How often an idle queue is looked at although no arrival was heard of: the news may be lost.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Claims for one queue until the worker stops; the runs go to apalis through the channel.
pub(crate) async fn claim_loop(
    shared: Arc<Shared>,
    queue: Queue,
    slots: usize,
    runs: mpsc::Sender<Run>,
) {
    let kinds = jobs::Kind::words();
    let free = Arc::new(Semaphore::new(slots));
    // A quarter of the slots, at least one of several, is for people who wait.
    let reserved = if slots > 1 { (slots / 4).max(1) } else { 0 };
    let mut arrivals = shared.jobs.tickets().arrivals(queue);
    loop {
        let taken = take_tickets(&shared, &free, &mut arrivals, queue, reserved).await;
        let Some((mut permits, ids)) = taken else { return };
        let life = shared.life.borrow().clone();
        let claimed =
            entity::job::claim::claim(shared.jobs.db().write(), life.id, &ids, &kinds).await;
        let claimed = match claimed {
            Ok(claimed) => claimed,
            Err(error) => {
                // Most likely the rows are untouched and upkeep sends their tickets again; if only
                // the answer was lost, the lease's next trips find runs that nobody runs.
                tracing::warn!(%error, queue = %queue, "claim failed");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        if shared.stop.is_cancelled() {
            put_back(&shared, &claimed).await;
            return;
        }
        if claimed.is_empty() {
            wait_for_life(&shared, &life).await;
            // Stale tickets, or those of a kind that only a newer version knows: whoever can use
            // them gets a chance. No longer, because a thousand stale ones may lie before a good
            // one.
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        }
        shared.jobs.changed(claimed.iter().map(|job| job.id).collect());
        for job in claimed {
            let Some(slot) = permits.pop() else { break };
            if let Some(began) = job.claimed_at {
                let waited = began.millis_since(job.run_at).max(0) as f64 / 1_000.0;
                let queue = queue.as_str();
                metrics::histogram!("farm_job_wait_seconds", "queue" => queue).record(waited);
            }
            let handle = Arc::new(RunHandle::new(job.fence(), life.clone()));
            if !shared.runs.add(handle.clone()) {
                // The database crashed and forgot the first claim; that run goes on.
                continue;
            }
            if life.dead.is_cancelled() {
                // The lease was lost while we claimed: the sweep over the runs missed this one.
                handle.abandon();
            }
            let run = Run { job, handle, slot: Arc::new(slot) };
            if let Err(refused) = runs.send(run).await {
                shared.runs.remove(refused.0.handle.fence);
                return;
            }
        }
    }
}

/// Told to stop while claiming: the attempt is given back.
async fn put_back(shared: &Shared, claimed: &[Model]) {
    for job in claimed {
        if let Err(error) = shared.settle(job.fence(), &Settle::PutBack).await {
            tracing::warn!(job = %job.id, %error, "could not be put back; it will be rescued");
        }
    }
}

/// Waits until there is a free slot and a ticket for it, then takes tickets for all the slots that
/// are free by then. `None` when the worker stops.
async fn take_tickets(
    shared: &Shared,
    free: &Arc<Semaphore>,
    arrivals: &mut watch::Receiver<u64>,
    queue: Queue,
    reserved: usize,
) -> Option<(Vec<OwnedSemaphorePermit>, Vec<Uuid>)> {
    let mut slots = vec![];
    loop {
        if slots.is_empty() {
            tokio::select! {
                () = shared.stop.cancelled() => return None,
                slot = free.clone().acquire_owned() => slots.push(slot.ok()?),
            }
        }
        while let Ok(slot) = free.clone().try_acquire_owned() {
            slots.push(slot);
        }
        arrivals.mark_unchanged();
        // To its end: what it takes must not be dropped on the way.
        let ids = shared.jobs.tickets().take(queue, slots.len(), reserved).await;
        if !ids.is_empty() {
            return Some((slots, ids));
        }
        tokio::select! {
            () = shared.stop.cancelled() => return None,
            Ok(()) = arrivals.changed() => {}
            // With one more slot a lane may be served that is not for the reserved ones.
            slot = free.clone().acquire_owned() => slots.push(slot.ok()?),
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }
}

/// With a lease that is over every claim comes back empty: wait for the next registration
/// instead of spinning through tickets.
async fn wait_for_life(shared: &Shared, life: &Life) {
    if life.dead.is_cancelled() {
        let mut lives = shared.life.clone();
        let next = lives.wait_for(|next| next.id != life.id);
        tokio::select! {
            _ = next => {}
            () = shared.stop.cancelled() => {}
        }
    }
}
