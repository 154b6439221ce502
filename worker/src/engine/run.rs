//! A claimed job on its way through the layers.

use std::sync::Arc;

use entity::job::Model;
use tokio::sync::OwnedSemaphorePermit;

use super::life::RunHandle;

/// What apalis carries: the claimed row, and the slot it occupies.
pub struct Run {
    pub(crate) job: Model,
    pub(crate) handle: Arc<RunHandle>,
    /// Freed when the run has ended.
    pub(crate) slot: Arc<OwnedSemaphorePermit>,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run")
            .field("job", &self.job.id)
            .field("run", &self.job.run)
            .finish_non_exhaustive()
    }
}
