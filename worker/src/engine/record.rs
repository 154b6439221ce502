//! Writes how a run ended: the one place where outcomes become rows, and the one retry authority.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use apalis::layers::catch_panic::PanicError;
use apalis::prelude::{BoxDynError, Task};
use entity::enums::JobState;
use entity::job::Model;
use entity::job::end::Settle;
use tower::{Layer, Service};

use super::Shared;
use super::context::Ended;
use super::error::JobError;
use super::life::RunHandle;
use super::run::Run;

/// Wraps everything else.
#[derive(Clone)]
pub(crate) struct RecordLayer {
    shared: Arc<Shared>,
}

impl RecordLayer {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl<S> Layer<S> for RecordLayer {
    type Service = Record<S>;

    fn layer(&self, inner: S) -> Record<S> {
        Record { inner, shared: self.shared.clone() }
    }
}

/// See [`RecordLayer`].
#[derive(Clone)]
pub(crate) struct Record<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Service<Task<Run>> for Record<S>
where
    S: Service<Task<Run>, Response = Ended, Error = BoxDynError>,
    S::Future: Send + 'static,
{
    type Response = ();
    type Error = BoxDynError;
    type Future = Pin<Box<dyn Future<Output = Result<(), BoxDynError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxDynError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, task: Task<Run>) -> Self::Future {
        let job = task.args.job.clone();
        let run = task.args.handle.clone();
        let slot = task.args.slot.clone();
        let shared = self.shared.clone();
        let began = Instant::now();
        let work = self.inner.call(task);
        Box::pin(async move {
            let ended = tokio::select! {
                // Lease lost or put back: the row says so already, or soon will.
                () = run.abandoned.cancelled() => Err(JobError::FenceLost.into()),
                ended = work => ended,
            };
            let outcome = write_end(&shared, &job, &run, ended).await;
            let labels = [("kind", job.kind), ("outcome", outcome.to_owned())];
            let took = began.elapsed();
            metrics::histogram!("farm_job_duration_seconds", &labels).record(took);
            shared.progress.forget(run.fence);
            shared.runs.remove(run.fence);
            drop(slot);
            Ok(())
        })
    }
}

/// How the run ended: the state of its row, or that it was somebody else's.
async fn write_end(
    shared: &Shared,
    job: &Model,
    run: &RunHandle,
    ended: Result<Ended, BoxDynError>,
) -> &'static str {
    const ABANDONED: &str = "abandoned";
    let error = match ended {
        Ok(Ended::Committed) => {
            tracing::info!(job = %job.id, kind = %job.kind, "job succeeded");
            return JobState::Succeeded.as_str();
        }
        Ok(Ended::Output(output)) => match shared.finisher.finish(run.fence, output).await {
            Ok(written) => {
                tracing::debug!(job = %job.id, written, "job ended");
                return if written { JobState::Succeeded.as_str() } else { ABANDONED };
            }
            Err(error) => JobError::from(error),
        },
        Err(error) => read_error(error),
    };
    let Some(settle) = as_settle(job, &error) else {
        tracing::info!(job = %job.id, run = job.run, "run abandoned; its row is not ours any more");
        return ABANDONED;
    };
    let mut pauses = [100, 400, 1_600, 3_000, 3_000].into_iter();
    loop {
        match shared.settle(run.fence, &settle).await {
            Ok(Some(settled)) => {
                let state = settled.job.state;
                tracing::info!(job = %job.id, kind = %job.kind, %state, %error, "run ended");
                return state.as_str();
            }
            Ok(None) => return ABANDONED,
            Err(refused) => {
                tracing::warn!(job = %job.id, error = %refused, "the end was not written");
                let Some(pause) = pauses.next() else { break };
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
        }
    }
    // The database is away for longer. While this worker lives nobody else would take the row,
    // so it gives up this life: rescue brings the job back when the database is.
    tracing::error!(job = %job.id, "the end could not be written; giving up the lease");
    run.life.dead.cancel();
    ABANDONED
}

fn read_error(error: BoxDynError) -> JobError {
    match error.downcast::<JobError>() {
        Ok(error) => *error,
        Err(error) => match error.downcast::<PanicError>() {
            Ok(panic) => JobError::retry("panic", format!("the handler panicked: {}", panic.0)),
            Err(error) => JobError::retry("internal", error.to_string()),
        },
    }
}

fn as_settle(job: &Model, error: &JobError) -> Option<Settle> {
    let backoff = |least: Duration| {
        let drawn = jobs::Kind::parse(&job.kind).map_or(Duration::from_secs(1), |kind| {
            kind.policy().backoff.pause(job.attempt.max(1) as u32)
        });
        drawn.max(least).as_millis() as i64
    };
    Some(match error {
        JobError::Retry { code, message } => Settle::Retry {
            code: (*code).to_owned(),
            message: message.clone(),
            delay_ms: backoff(Duration::ZERO),
        },
        JobError::RetryAfter { code, message, after } => Settle::Retry {
            code: (*code).to_owned(),
            message: message.clone(),
            delay_ms: backoff(*after),
        },
        JobError::Fatal { code, message } => {
            Settle::Fail { code: (*code).to_owned(), message: message.clone() }
        }
        JobError::Cancelled => Settle::Cancelled,
        JobError::Snooze(delay) => Settle::Snooze { delay_ms: delay.as_millis() as i64 },
        JobError::FenceLost => return None,
    })
}
