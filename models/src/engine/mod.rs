//! Inference on threads of its own: one analyzer each, fed from one bounded queue.
//!
//! Callers await [`Engine::analyze`]; no async thread ever computes or waits for a lock that is
//! held while somebody does. Work of many callers is merged into batches ([`queue`]), equal
//! captions are computed once ([`cache`]). Whatever an analyzer does — panic on a caption, answer
//! nonsense, hang, end its thread, not load at all — the others are served ([`batch`], [`crew`]):
//! the best tier that works answers, and the one above is tried again after a while ([`breaker`]).

mod batch;
mod breaker;
mod cache;
mod clock;
mod crew;
mod queue;
mod report;
mod request;
mod rung;
mod settings;
mod shared;
mod state;
mod tally;
#[cfg(test)]
mod tests;
mod worker;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::analysis::{Analysis, Offence};
use crate::text::Prepared;
use clock::Clock;
use request::{Asked, Request};
use shared::Shared;

pub use breaker::{BreakerPolicy, BreakerState, Circuit};
pub use cache::CacheState;
pub use settings::{LoadError, Loader, Progress, Settings, estimate};
pub use state::{State, Status, TierState};

/// Why a whole request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// Too many captions wait.
    #[error("too many captions wait; try again in {} s", retry_after.as_secs())]
    Overloaded {
        /// When there may be room.
        retry_after: Duration,
    },
    /// The batch of one of its captions was lost: its thread died or hung, or the model failed on
    /// all of it. What was answered before is remembered, so that asking again costs little.
    #[error("the captions were lost with their batch; try again")]
    Lost,
    /// The engine has stopped.
    #[error("the engine has stopped")]
    Stopped,
    /// The caller's token was cancelled.
    #[error("cancelled")]
    Cancelled,
}

/// A handle on the engine; clones are the same one. It stops when the last one is dropped.
#[derive(Clone)]
pub struct Engine {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.stop(None);
    }
}

impl Engine {
    /// Starts the threads and returns at once: until the first load is done, captions wait.
    ///
    /// One loader for each tier; the best one whose load succeeds serves. The last resort is rules,
    /// which cannot fail. Without any loader the engine is stopped from the start.
    pub fn start(loaders: Vec<Loader>, settings: Settings) -> Self {
        Self::start_at(loaders, settings, Clock::System(Instant::now()))
    }

    fn start_at(loaders: Vec<Loader>, settings: Settings, clock: Clock) -> Self {
        let shared = Arc::new(Shared::new(loaders, settings, clock));
        shared.arrange(&mut shared.lock());
        let watched = shared.clone();
        let watch = std::thread::Builder::new().name("ai-watch".to_owned());
        if let Err(error) = watch.spawn(move || watched.watch()) {
            // A thread that hangs would hold its callers for ever.
            shared.stop(Some(format!("the watch could not be started: {error}")));
        }
        Self { handle: Arc::new(Handle { shared }) }
    }

    /// One answer for each caption, in their order. The captions take their place in the queue when
    /// this is called, and leave it when the future is dropped or the token cancelled.
    pub fn analyze(
        &self,
        captions: Vec<Prepared>,
        cancel: CancellationToken,
    ) -> impl Future<Output = Result<Vec<Result<Analysis, Offence>>, EngineError>> + Send + use<>
    {
        let nothing = captions.is_empty();
        let (request, told) = Request::new(captions.len(), cancel.clone());
        if let Err(error) = self.admit(&request, captions) {
            request.fail(error);
        }
        async move {
            if nothing {
                return Ok(Vec::new());
            }
            tokio::select! {
                biased;
                answer = told => answer.unwrap_or(Err(EngineError::Lost)),
                () = cancel.cancelled() => Err(EngineError::Cancelled),
            }
        }
    }

    fn admit(&self, request: &Arc<Request>, captions: Vec<Prepared>) -> Result<(), EngineError> {
        let shared = &self.handle.shared;
        // Whatever takes time with a text is done before the lock is taken.
        let captions: Vec<Asked> = captions
            .into_iter()
            .enumerate()
            .map(|(index, caption)| Asked::new(index, caption, shared.settings.cost))
            .collect();
        let now = shared.clock.now();
        let mut crew = shared.lock();
        if crew.stopped {
            return Err(EngineError::Stopped);
        }
        if let Some(until) = crew.idle_until(now) {
            return Err(EngineError::Overloaded { retry_after: until.saturating_sub(now) });
        }
        // What a better tier has answered before is as good as new.
        let best = crew.serving().unwrap_or(0);
        let makers: Vec<_> =
            crew.rungs[..=best].iter().filter_map(|rung| Some(rung.facts.as_ref()?.1)).collect();
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for asked in captions {
            match shared.answered.get(now, asked.content, makers.iter().copied()) {
                Some(answer) => known.push((asked.index, answer)),
                None => unknown.push(asked),
            }
        }
        let counts = (known.len(), unknown.len());
        if crew.queue.admit(now, request, unknown, &shared.settings).is_err() {
            let retry_after = crew.retry_after(now);
            return Err(EngineError::Overloaded { retry_after });
        }
        shared.changed.notify_all();
        drop(crew);
        shared.answered.count(counts.0, counts.1);
        for (index, answer) in known {
            request.answer(index, Ok((*answer).clone()));
        }
        Ok(())
    }

    /// The engine at this moment.
    pub fn state(&self) -> State {
        let shared = &self.handle.shared;
        let (now, cache) = (shared.clock.now(), shared.answered.state());
        shared.lock().state(now, cache, &shared.settings)
    }

    /// Lets the batches under way end, answers all else with [`EngineError::Stopped`], and returns
    /// when no batch is under way any more. A load is not waited for.
    pub async fn stop(&self) {
        self.handle.shared.stop(None);
        self.handle.shared.stopped().await;
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("state", &self.state()).finish()
    }
}
