//! Does as it is told.
//!
//! Running it twice is safe: its one effect is committed with its end, under the fence.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use entity::effect;
use jobs::kinds::noop::{Noop, NoopDone, NoopFail};

use crate::engine::{Done, JobContext, JobError};

pub(crate) async fn run(job: Noop, ctx: &JobContext<'_>) -> Result<Done<NoopDone>, JobError> {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let done = NoopDone { started_us: job.tell_start.then(|| now().as_micros() as u64) };
    if job.ms > 0 {
        let work = tokio::time::sleep(Duration::from_millis(job.ms));
        tokio::select! {
            () = ctx.cancel().cancelled() => return Err(JobError::Cancelled),
            () = work => {}
        }
    }
    match job.fail {
        Some(NoopFail::Retry) => return Err(JobError::retry("told_to", "told to fail")),
        Some(NoopFail::UntilLast) if ctx.job().attempt < ctx.job().max_attempts => {
            return Err(JobError::retry("told_to", "told to fail until the last attempt"));
        }
        Some(NoopFail::Fatal) => return Err(JobError::fatal("told_to", "told to fail for good")),
        #[allow(clippy::panic)] // what it was told to do
        Some(NoopFail::Panic) => panic!("told to panic"),
        Some(NoopFail::Hang) => std::future::pending::<()>().await,
        Some(NoopFail::Abort) => std::process::abort(),
        Some(NoopFail::Spin) => loop {
            std::hint::spin_loop();
        },
        Some(NoopFail::Overflow) => {
            overflow(0);
        }
        Some(NoopFail::UntilLast) | None => {}
    }
    if !job.effects {
        return ctx.done(&done);
    }
    let commit = ctx.commit(&done).await?;
    effect::add(commit.tx(), ctx.job().id, ctx.job().run).await?;
    commit.done().await
}

/// Calls itself until the stack has no room left.
#[allow(unconditional_recursion)] // what it was told to do
#[inline(never)]
fn overflow(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    overflow(frame[0] + 1) + frame[63]
}
