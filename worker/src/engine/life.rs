//! A registration of this worker, and the runs it owns.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use entity::job::Fence;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// One registration: dead when its lease was lost.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) id: Uuid,
    pub(crate) dead: CancellationToken,
}

impl Life {
    pub(crate) fn new() -> Self {
        Self { id: Uuid::now_v7(), dead: CancellationToken::new() }
    }
}

/// Handle on one run.
#[derive(Debug)]
pub(crate) struct RunHandle {
    pub(crate) fence: Fence,
    pub(crate) life: Arc<Life>,
    /// Asks the handler to stop.
    pub(crate) cancel: CancellationToken,
    /// Nobody is interested in how it ends any more.
    pub(crate) abandoned: CancellationToken,
    task: OnceLock<AbortHandle>,
}

impl RunHandle {
    pub(crate) fn new(fence: Fence, life: Arc<Life>) -> Self {
        Self {
            fence,
            life,
            cancel: CancellationToken::new(),
            abandoned: CancellationToken::new(),
            task: OnceLock::new(),
        }
    }

    pub(crate) fn set_task(&self, task: AbortHandle) {
        if self.task.set(task).is_err() {
            tracing::error!(job = %self.fence.id, "a run was started twice");
        }
        // Abandoned before its task was known.
        if self.abandoned.is_cancelled()
            && let Some(task) = self.task.get()
        {
            task.abort();
        }
    }

    /// Stops the task without writing anything.
    pub(crate) fn abandon(&self) {
        self.abandoned.cancel();
        self.cancel.cancel();
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

/// The runs of this worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Runs {
    runs: Arc<Mutex<HashMap<Fence, Arc<RunHandle>>>>,
    changed: Arc<Notify>,
}

impl Runs {
    fn lock(&self) -> MutexGuard<'_, HashMap<Fence, Arc<RunHandle>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False when it is there already.
    pub(crate) fn add(&self, run: Arc<RunHandle>) -> bool {
        match self.lock().entry(run.fence) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(run);
                true
            }
        }
    }

    pub(crate) fn remove(&self, fence: Fence) {
        self.lock().remove(&fence);
        self.changed.notify_waiters();
    }

    pub(crate) fn has(&self, fence: Fence) -> bool {
        self.lock().contains_key(&fence)
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(crate) fn all(&self) -> Vec<Arc<RunHandle>> {
        self.lock().values().cloned().collect()
    }

    /// Asks the runs of these jobs to stop.
    pub(crate) fn request_stop(&self, jobs: &[Uuid]) {
        for run in self.all() {
            if jobs.contains(&run.fence.id) {
                run.cancel.cancel();
            }
        }
    }

    /// Resolves when nothing runs.
    pub(crate) async fn idle(&self) {
        loop {
            let changed = self.changed.notified();
            if self.len() == 0 {
                return;
            }
            changed.await;
        }
    }
}
