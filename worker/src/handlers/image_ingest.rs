//! Brings pictures of a creator to the CDN.
//!
//! Running it twice is safe: thumbnails lie under the hash of their bytes, each picture's row is
//! written under the fence when its thumbnails were read back, and a second run passes over those
//! that are stored. An expired address has the profile fetched again, in the transaction that ends
//! the job, and once until it is stored.

use entity::cdn_asset::outcome::{self, Outcome, Tally};
use entity::cdn_asset::{self, Asset};
use entity::enums::{AssetStatus, Priority};
use entity::{Time, profile, stored_object};
use futures_util::StreamExt;
use jobs::Options;
use jobs::kinds::image_ingest::{ImageFailure, ImageIngest, ImagesIngested};
use jobs::kinds::profile_fetch::ProfileFetch;
use jobs::submit::new_job;

use crate::engine::{Done, JobContext, JobError};
use crate::media::Media;
use crate::media::ingest::{Ingested, ingest, word};

/// Pictures of one job under way at once.
const AT_ONCE: usize = 4;

pub(crate) async fn run(
    job: ImageIngest,
    ctx: &JobContext<'_>,
) -> Result<Done<ImagesIngested>, JobError> {
    let media = ctx.deps().media.as_ref();
    let media = media.ok_or_else(|| JobError::retry("no_decoder", "no pictures are worked on"))?;
    let mut assets = cdn_asset::by_ids(ctx.db().read(), &job.assets).await?;
    assets.retain(|asset| {
        asset.is_due() || (job.recheck && asset.processing_status == AssetStatus::Completed)
    });
    ctx.count("download", job.assets.len() as u32).await?;
    let mut left = assets.len();
    let mut refetch = false;
    let mut later = None;
    let ingests = assets.into_iter().map(|asset| bring(media, asset));
    let mut ingests = futures_util::stream::iter(ingests).buffer_unordered(AT_ONCE);
    while let Some((asset, mut ingested)) = tokio::select! {
        next = ingests.next() => next,
        () = ctx.cancel().cancelled() => return Err(JobError::Cancelled),
    } {
        left -= 1;
        ingested.outcome = judged(ingested.outcome, &asset, &job, ctx);
        match &ingested.outcome {
            Outcome::Refetch => refetch = true,
            Outcome::Later { code, message } => later = Some((*code, message.clone())),
            _ => {}
        }
        keep(&asset, &ingested, left, ctx).await?;
    }
    if let Some((code, message)) = later {
        return Err(JobError::retry(code, message));
    }
    finish(&job, media, refetch, ctx).await
}

async fn bring(media: &Media, asset: Asset) -> (Asset, Ingested) {
    let ingested = ingest(media, &asset).await;
    (asset, ingested)
}

/// What an outcome means in this run: nobody tries for ever, and for a picture that is there no
/// profile is fetched.
fn judged(outcome: Outcome, asset: &Asset, job: &ImageIngest, ctx: &JobContext<'_>) -> Outcome {
    match outcome {
        Outcome::Later { code, message } if ctx.job().attempt >= ctx.job().max_attempts => {
            Outcome::Failed { code, message }
        }
        Outcome::Refetch if job.recheck && asset.keys().is_some() => Outcome::Failed {
            code: "source_expired",
            message: "the address of the picture has expired".to_owned(),
        },
        other => other,
    }
}

async fn keep(
    asset: &Asset,
    ingested: &Ingested,
    left: usize,
    ctx: &JobContext<'_>,
) -> Result<(), JobError> {
    let checkpoint = ctx.checkpoint().await?;
    let tx = checkpoint.tx();
    stored_object::note(tx, &ingested.objects).await?;
    outcome::settle(tx, asset.id, &ingested.outcome).await?;
    outcome::count(tx, &tally(ingested)).await?;
    checkpoint.left("store", left as u32).await?;
    checkpoint.done().await
}

fn tally(ingested: &Ingested) -> Tally {
    let mut tally = Tally::default();
    match &ingested.outcome {
        Outcome::Stored(made) => {
            tally.stored = 1;
            tally.bytes = ingested.objects.iter().map(|object| object.size_bytes).sum();
            tally.times_ms = [made.download_time_ms, made.processing_time_ms, made.upload_time_ms]
                .map(i64::from);
        }
        Outcome::Unchanged => tally.unchanged = 1,
        Outcome::Failed { code, .. } => {
            tally.failed = 1;
            tally.errors.insert((*code).to_owned(), 1);
        }
        Outcome::Later { .. } | Outcome::Refetch => {}
    }
    tally
}

/// Counts from the rows what all runs of the job came to, and ends it.
async fn finish(
    job: &ImageIngest,
    media: &Media,
    refetch: bool,
    ctx: &JobContext<'_>,
) -> Result<Done<ImagesIngested>, JobError> {
    let tx = ctx.db().begin().await?;
    // Before the job's own row, like everybody who writes what a profile's page shows.
    let profile = profile::hold(&tx, job.profile_id).await?;
    let checkpoint = ctx.checkpoint_in(tx).await?;
    let tx = checkpoint.tx();
    let rows = cdn_asset::by_ids(tx, &job.assets).await?;
    let output = counted(&rows, ctx.job().created_at);
    let all_failed = !rows.is_empty() && output.failed.len() == rows.len();
    let tally = Tally { jobs: 1, jobs_failed: i64::from(all_failed), ..Tally::default() };
    outcome::count(tx, &tally).await?;
    if let (true, Some(first)) = (all_failed, output.failed.first()) {
        let (code, message) = (word(&first.code), first.message.clone());
        let message = format!("{} ({} of {})", message, output.failed.len(), rows.len());
        checkpoint.done().await?;
        return Err(JobError::fatal(code, message));
    }
    tracing::debug!(stored = output.stored, storage = %media.storage, "pictures brought");
    let mut commit = checkpoint.commit(&output).await?;
    if let (true, Some(profile)) = (refetch, profile)
        && let Ok(username) = profile.username.parse()
    {
        let fetch = ProfileFetch { force_refresh: true, ..ProfileFetch::of(username) };
        let options = Options {
            priority: Some(Priority::Bulk),
            request_id: ctx.job().request_id.clone(),
            ..Options::default()
        };
        commit.start(&[new_job(&fetch, &options)?]).await?;
    }
    commit.done().await
}

fn counted(rows: &[Asset], since: Time) -> ImagesIngested {
    let mut output = ImagesIngested::default();
    for asset in rows {
        let now = asset.processing_completed_at.is_some_and(|at| at >= since);
        match (&asset.processing_error_code, asset.processing_status) {
            (Some(_), AssetStatus::Pending) => output.refetched += 1,
            (Some(code), _) => output.failed.push(ImageFailure {
                media_id: asset.media_id.clone(),
                code: code.clone(),
                message: asset.processing_error.clone().unwrap_or_default(),
            }),
            (None, AssetStatus::Completed) if now => output.stored += 1,
            (None, _) => output.unchanged += 1,
        }
    }
    output
}
