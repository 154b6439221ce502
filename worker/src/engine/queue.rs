//! One apalis worker per queue. Its backend is a channel that the claim loop feeds: no error of
//! the database or the ticket queue can reach apalis, and nothing is fetched beyond free slots.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use apalis::layers::catch_panic::{CatchPanicLayer, PanicError};
use apalis::layers::tracing::TraceLayer;
use apalis::prelude::*;
use apalis_core::backend::BackendConfig;
use apalis_core::backend::finalize::Ephemeral;
use entity::enums::Queue;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Shared;
use super::claim::claim_loop;
use super::deadline::DeadlineLayer;
use super::record::RecordLayer;
use super::run::Run;
use crate::dispatch::Dispatch;

/// Claimed runs as an apalis backend.
#[derive(Debug)]
struct Claimed {
    runs: mpsc::Receiver<Run>,
}

impl Backend for Claimed {
    type Task = Task<Run>;
    type Error = Infallible;

    fn poll_ready(
        &mut self,
        _: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        worker: &WorkerContext,
    ) -> Poll<Option<Result<Task<Run>, Infallible>>> {
        self.runs.poll_recv(cx).map(|run| {
            if run.is_none() {
                // Without this an exhausted backend leaves apalis waiting for a stop for ever.
                let _ = worker.stop();
            }
            run.map(|run| Ok(TaskBuilder::new(run).build()))
        })
    }

    fn poll_close(
        &mut self,
        _: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
}

impl BackendConfig for Claimed {
    type Args = Run;
    type Id = ();
    type Kind = Ephemeral;
    type Config = ();
    type Layer = tower::layer::util::Identity;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Self::Layer {
        Self::Layer::new()
    }
}

/// Starts the claim loop and the apalis worker of a queue; the handle ends when both have.
pub(crate) fn start(shared: Arc<Shared>, queue: Queue, slots: usize) -> JoinHandle<()> {
    let (sender, runs) = mpsc::channel(slots);
    // Layers given first are outermost: the end is recorded around the span, the span covers the
    // deadline, and a panic inside is an error like any other.
    let worker = WorkerBuilder::new(format!("farm-{queue}"))
        .backend(Claimed { runs })
        .parallelize(tokio::spawn)
        .layer(RecordLayer::new(shared.clone()))
        .layer(TraceLayer::new().make_span_with(JobSpan))
        .layer(DeadlineLayer::new(shared.clone()))
        .layer(CatchPanicLayer::with_panic_handler(panic_error))
        .build(Dispatch::new(shared.clone()));
    // Boxed here, where its type is known, so that the task around it is `Send`.
    let running: BoxFuture<'static, Result<(), WorkerError>> = Box::pin(worker.run());
    tokio::spawn(async move {
        let claims = tokio::spawn(claim_loop(shared, queue, slots, sender));
        if let Err(error) = running.await {
            tracing::error!(%error, queue = %queue, "the queue's worker ended");
        }
        claims.abort();
    })
}

/// Opens the span of a run: `job.<kind>` in `otel.name`, joined to the request's trace.
#[derive(Clone, Copy, Debug)]
struct JobSpan;

impl apalis::layers::tracing::MakeSpan<Run> for JobSpan {
    fn make_span(&mut self, task: &Task<Run>) -> tracing::Span {
        let job = &task.args.job;
        tracing::info_span!(
            "job",
            otel.name = format!("job.{}", job.kind),
            job.id = %job.id,
            job.kind = %job.kind,
            job.run = job.run,
            job.attempt = job.attempt,
            request.id = job.request_id.as_deref(),
            trace.parent = job.trace_parent.as_deref(),
        )
    }
}

#[allow(clippy::borrowed_box)] // the signature apalis asks for
fn panic_error(panic: &Box<dyn std::any::Any + Send>) -> PanicError {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    PanicError(text.unwrap_or_else(|| "panic without a message".to_owned()))
}
