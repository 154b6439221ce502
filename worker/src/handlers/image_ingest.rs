//! Brings pictures of a creator to the CDN.
//!
//! Running it twice is safe: thumbnails lie under the hash of their bytes, each picture's row is
//! written under the fence when its thumbnails were read back, and a second run passes over those
//! that are stored. An expired address has the profile fetched again, in the transaction that ends
//! the job, and once until it is stored.

use std::collections::BTreeMap;

use entity::cdn_asset::outcome::{self, Outcome, Tally};
use entity::cdn_asset::{self, Asset};
use entity::enums::{AssetStatus, Priority};
use entity::{Time, Tx, profile, stored_object};
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
    finish(&job, refetch, ctx).await
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
    checkpoint.left("store", left as u32).await?;
    checkpoint.done().await
}

/// Counts from the rows what all runs of the job came to, and ends it.
async fn finish(
    job: &ImageIngest,
    refetch: bool,
    ctx: &JobContext<'_>,
) -> Result<Done<ImagesIngested>, JobError> {
    let rows = cdn_asset::by_ids(ctx.db().read(), &job.assets).await?;
    let since = ctx.job().created_at;
    let output = counted(&rows, since);
    let tx = ctx.db().begin().await?;
    if output.stored > 0 {
        // Before the job's own row, like everybody who writes what a profile's page shows.
        profile::hold(&tx, job.profile_id).await?;
    }
    let checkpoint = ctx.checkpoint_in(tx).await?;
    let tx = checkpoint.tx();
    let tally = tally(&rows, &output, since, tx).await?;
    outcome::count(tx, &tally).await?;
    if let (true, Some(first)) = (tally.job_failed, output.failed.first()) {
        let (code, message) = (word(&first.code), first.message.clone());
        let message = format!("{} ({} of {})", message, output.failed.len(), rows.len());
        checkpoint.done().await?;
        return Err(JobError::fatal(code, message));
    }
    let profile = if refetch { profile::by_id(tx, job.profile_id).await? } else { None };
    let username = profile.and_then(|profile| profile.username.parse().ok());
    let mut commit = checkpoint.commit(&output).await?;
    if let Some(username) = username {
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

/// Whether its thumbnails were stored by the job that began then.
fn stored_since(asset: &Asset, since: Time) -> bool {
    asset.processing_error_code.is_none()
        && asset.processing_completed_at.is_some_and(|at| at >= since)
}

async fn tally(
    rows: &[Asset],
    output: &ImagesIngested,
    since: Time,
    tx: &Tx,
) -> Result<Tally, JobError> {
    let stored: Vec<&Asset> = rows.iter().filter(|asset| stored_since(asset, since)).collect();
    let keys: Vec<&str> = stored.iter().filter_map(|asset| asset.keys()).flatten().collect();
    let sum =
        |of: fn(&Asset) -> Option<i32>| stored.iter().filter_map(|a| of(a)).map(i64::from).sum();
    let mut errors = BTreeMap::new();
    for failure in &output.failed {
        *errors.entry(failure.code.clone()).or_default() += 1;
    }
    Ok(Tally {
        job_failed: !rows.is_empty() && output.failed.len() == rows.len(),
        stored: i64::from(output.stored),
        unchanged: i64::from(output.unchanged),
        failed: output.failed.len() as i64,
        bytes: stored_object::bytes(tx, &keys).await?,
        times_ms: [
            sum(|asset| asset.download_time_ms),
            sum(|asset| asset.processing_time_ms),
            sum(|asset| asset.upload_time_ms),
        ],
        errors,
    })
}

fn counted(rows: &[Asset], since: Time) -> ImagesIngested {
    let mut output = ImagesIngested::default();
    for asset in rows {
        match &asset.processing_error_code {
            // What is still to be done waits for the profile.
            Some(_) if asset.is_due() => output.refetched += 1,
            Some(code) => output.failed.push(ImageFailure {
                media_id: asset.media_id.clone(),
                code: code.clone(),
                message: asset.processing_error.clone().unwrap_or_default(),
            }),
            None if stored_since(asset, since) => output.stored += 1,
            None => output.unchanged += 1,
        }
    }
    output
}
