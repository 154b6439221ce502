//! Progress of the runs, written once a second for all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use entity::job::Fence;
use entity::job::progress::{self, Progress};

use super::Shared;

/// Progress not written yet, newest per run.
#[derive(Debug, Default)]
pub(crate) struct ProgressBook {
    dirty: Mutex<HashMap<Fence, Progress>>,
}

impl ProgressBook {
    pub(crate) fn note(&self, fence: Fence, progress: Progress) {
        self.dirty.lock().unwrap_or_else(PoisonError::into_inner).insert(fence, progress);
    }

    /// Forgets a run that has ended.
    pub(crate) fn forget(&self, fence: Fence) {
        self.dirty.lock().unwrap_or_else(PoisonError::into_inner).remove(&fence);
    }

    fn take(&self) -> Vec<(Fence, Progress)> {
        self.dirty.lock().unwrap_or_else(PoisonError::into_inner).drain().collect()
    }
}

pub(crate) async fn flush_every_second(shared: Arc<Shared>) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let mut runs = shared.progress.take();
        // Locks are taken in the order of ids everywhere.
        runs.sort_unstable_by_key(|(fence, _)| fence.id);
        match progress::write(shared.jobs.db().write(), &runs).await {
            Ok(changed) => shared.jobs.changed(changed),
            Err(error) => tracing::warn!(%error, runs = runs.len(), "progress was not written"),
        }
    }
}
