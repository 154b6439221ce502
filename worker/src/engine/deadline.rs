//! The timeout of a run. The handler runs as a task of its own, so that one that never yields
//! cannot keep its deadline from being kept.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use apalis::prelude::{BoxDynError, Task};
use tower::{Layer, Service};

use super::Shared;
use super::context::Ended;
use super::error::JobError;
use super::run::Run;

/// Wraps the handler with its kind's timeout.
#[derive(Clone)]
pub(crate) struct DeadlineLayer {
    shared: Arc<Shared>,
}

impl DeadlineLayer {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadline<S>;

    fn layer(&self, inner: S) -> Deadline<S> {
        Deadline { inner, shared: self.shared.clone() }
    }
}

/// See [`DeadlineLayer`].
#[derive(Clone)]
pub(crate) struct Deadline<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Service<Task<Run>> for Deadline<S>
where
    S: Service<Task<Run>, Response = Ended, Error = BoxDynError>,
    S::Future: Send + 'static,
{
    type Response = Ended;
    type Error = BoxDynError;
    type Future = Pin<Box<dyn Future<Output = Result<Ended, BoxDynError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxDynError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, task: Task<Run>) -> Self::Future {
        let run = task.args.handle.clone();
        let timeout = jobs::Kind::parse(&task.args.job.kind)
            .map_or(Duration::from_secs(60), |kind| kind.policy().timeout)
            .min(self.shared.config.longest);
        let shared = self.shared.clone();
        let span = tracing::Span::current();
        let work = tokio::spawn(tracing::Instrument::instrument(self.inner.call(task), span));
        run.set_task(work.abort_handle());
        let mut work = work;
        Box::pin(async move {
            if let Ok(ended) = tokio::time::timeout(timeout, &mut work).await {
                return flatten(ended);
            }
            run.cancel.cancel();
            let late = tokio::time::timeout(shared.config.overrun, &mut work).await;
            let timed_out = JobError::retry("timeout", format!("no result within {timeout:?}"));
            if let Ok(ended) = late {
                // It noticed and wound up: a result in the last moment still counts.
                return flatten(ended).map_err(|error| match error.downcast_ref() {
                    Some(JobError::Cancelled) | None => timed_out.into(),
                    Some(_) => error,
                });
            }
            work.abort();
            // Abort takes effect at the next await. A task that has none keeps its thread for
            // ever; only a new process gets it back.
            if tokio::time::timeout(Duration::from_secs(1), &mut work).await.is_err() {
                tracing::error!(job = %run.fence.id, "a run cannot be stopped");
                shared.stuck.cancel();
            }
            Err(timed_out.into())
        })
    }
}

fn flatten(
    ended: Result<Result<Ended, BoxDynError>, tokio::task::JoinError>,
) -> Result<Ended, BoxDynError> {
    ended.unwrap_or_else(|error| {
        if error.is_cancelled() {
            Err(JobError::FenceLost.into())
        } else {
            Err(JobError::retry("panic", "the handler panicked").into())
        }
    })
}
