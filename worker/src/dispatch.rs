//! Every kind to its handler: an exhaustive match, so a kind without a handler does not build.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use apalis::prelude::{BoxDynError, Task};
use jobs::AnyJob;
use tower::Service;

use crate::engine::{Ended, JobContext, JobError, Run, Shared};
use crate::handlers::{
    bulk_profiles, cdn_cleanup, cdn_drift, cdn_freshness, cdn_retry, cdn_stats, cdn_sync,
    consistency_scan, credit_reset, expiry_sweep, export, image_ingest, noop, post_analysis,
    profile_analysis, profile_fetch, prune,
};

/// The innermost service of a queue.
#[derive(Clone, Debug)]
pub(crate) struct Dispatch {
    shared: Arc<Shared>,
}

impl Dispatch {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl Service<Task<Run>> for Dispatch {
    type Response = Ended;
    type Error = BoxDynError;
    type Future = Pin<Box<dyn Future<Output = Result<Ended, BoxDynError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxDynError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, task: Task<Run>) -> Self::Future {
        let shared = self.shared.clone();
        Box::pin(async move {
            let Run { job, handle, .. } = task.args;
            let context = JobContext::new(&shared, &job, &handle);
            Ok(dispatch(&context).await?)
        })
    }
}

async fn dispatch(context: &JobContext<'_>) -> Result<Ended, JobError> {
    let job = context.job();
    Ok(match AnyJob::decode(&job.kind, &job.payload)? {
        AnyJob::ProfileFetch(job) => profile_fetch::run(job, context).await?.ended,
        AnyJob::BulkProfiles(job) => bulk_profiles::run(job, context).await?.ended,
        AnyJob::ProfileAnalysis(job) => profile_analysis::run(job, context).await?.ended,
        AnyJob::PostAnalysis(job) => post_analysis::run(job, context).await?.ended,
        AnyJob::Noop(job) => noop::run(job, context).await?.ended,
        AnyJob::Prune(job) => prune::run(job, context).await?.ended,
        AnyJob::ConsistencyScan(job) => consistency_scan::run(job, context).await?.ended,
        AnyJob::ImageIngest(job) => image_ingest::run(job, context).await?.ended,
        AnyJob::Export(job) => export::run(job, context).await?.ended,
        AnyJob::CdnStats(job) => cdn_stats::run(job, context).await?.ended,
        AnyJob::CdnCleanup(job) => cdn_cleanup::run(job, context).await?.ended,
        AnyJob::CdnFreshness(job) => cdn_freshness::run(job, context).await?.ended,
        AnyJob::CdnDrift(job) => cdn_drift::run(job, context).await?.ended,
        AnyJob::CdnRetry(job) => cdn_retry::run(job, context).await?.ended,
        AnyJob::CdnSync(job) => cdn_sync::run(job, context).await?.ended,
        AnyJob::ExpirySweep(job) => expiry_sweep::run(job, context).await?.ended,
        AnyJob::CreditReset(job) => credit_reset::run(job, context).await?.ended,
    })
}
