//! An inference thread: loads its analyzer, computes batches with it, and ends with it.

use std::sync::Arc;

use super::batch::{Tried, guarded};
use super::crew::WorkerId;
use super::rung::Facts;
use super::settings::{LoadError, Loader, Progress};
use super::shared::Shared;
use crate::analysis::Analyzer;

/// The whole life of a thread.
pub(super) fn run(shared: &Arc<Shared>, id: WorkerId, loader: &Loader, progress: &Progress) {
    // Before the analyzer, so that it is dropped after it: a slot is free when its memory is.
    let _end = End { shared, id };
    // Linux reads 0 as this thread alone. One that is refused computes all the same.
    let _ = rustix::process::setpriority_process(None, shared.settings.nice);
    let (analyzer, facts) = match load(loader, progress) {
        Ok(loaded) => loaded,
        Err(error) => return shared.loaded(id, Err(&error.to_string())),
    };
    let mut tried = Tried::new(analyzer);
    shared.loaded(id, Ok(facts));
    while let Some(batch) = shared.next(id) {
        let outcome = tried.run(&batch, |captions| shared.beat(id, captions));
        if !shared.finish(id, outcome) {
            break;
        }
    }
    tried.retire();
}

fn load(loader: &Loader, progress: &Progress) -> Result<(Box<dyn Analyzer>, Facts), LoadError> {
    let loaded = guarded(|| {
        let analyzer = (loader.load)(progress)?;
        if analyzer.tier() != loader.tier {
            let reason = format!("{} was loaded in its place", analyzer.tier());
            return Err(LoadError::Failed(reason));
        }
        let facts = Facts { models: analyzer.models(), bytes: analyzer.bytes() };
        Ok((analyzer, facts))
    });
    loaded.unwrap_or_else(|panic| Err(LoadError::Failed(panic)))
}

/// Says that the thread has ended, however it ended.
struct End<'a> {
    shared: &'a Arc<Shared>,
    id: WorkerId,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.shared.leave(self.id, std::thread::panicking());
    }
}
