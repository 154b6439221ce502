//! The CDN: what lies there, how the work on it goes, and what operators can have done.

use std::collections::BTreeMap;

use entity::cdn_asset::overview::{Hour, Totals};
use entity::enums::Queue;
use entity::{Time, cdn_asset};
use jobs::kinds::cdn_cleanup::CdnCleanup;
use jobs::kinds::cdn_retry::CdnRetry;
use jobs::kinds::cdn_sync::CdnSync;
use jobs::storage::Placeholder;
use jobs::{Job, Kind};
use poem::Request;
use poem::web::Data;
use poem_openapi::param::{Header, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use super::queues::{self, QueueHead};
use super::submit::{self, JobAnswer, Work, options};
use crate::idempotency;
use crate::identity::{Caller, Operator};
use crate::problem::Problem;
use crate::query as rules;
use crate::routes::Tag;
use crate::state::AppState;
use crate::view::JobView;

/// The CDN.
#[derive(Debug)]
pub struct Cdn;

/// Failed pictures on a page.
const FAILED: u32 = 100;
/// Hours of the figures for operators.
const DAY: u32 = 24;

/// Pictures by where they stand.
#[derive(Debug, Object)]
struct AssetCounts {
    total: i64,
    pending: i64,
    completed: i64,
    failed: i64,
    /// Completed of all, percent; null when there are none.
    completion_percentage: Option<f64>,
}

impl From<Totals> for AssetCounts {
    fn from(totals: Totals) -> Self {
        let share = 100.0 * totals.completed as f64 / totals.total as f64;
        Self {
            total: totals.total,
            pending: totals.pending,
            completed: totals.completed,
            failed: totals.failed,
            completion_percentage: (totals.total > 0).then(|| (share * 10.0).round() / 10.0),
        }
    }
}

/// Whether pictures come to the CDN.
#[derive(Debug, Object)]
struct CdnHealth {
    /// `ok`; `degraded` when the storage does not answer or nobody works on pictures.
    status: String,
    /// The storage answers.
    storage: bool,
    /// Workers that take pictures.
    workers: i64,
    base_url: String,
    queue: QueueHead,
}

/// What lies on the CDN, and what the last day's work came to.
#[derive(Debug, Object)]
struct CdnMetrics {
    assets: AssetCounts,
    /// Thumbnails stored.
    objects: i64,
    /// Their bytes together.
    stored_bytes: i64,
    /// The last 24 hours.
    last_day: CdnWork,
    queue: QueueHead,
}

/// What the work on pictures came to.
#[derive(Debug, Default, Object)]
struct CdnWork {
    jobs_processed: i64,
    jobs_failed: i64,
    images_stored: i64,
    /// Looked at and left as they were.
    images_unchanged: i64,
    images_failed: i64,
    /// Of the thumbnails stored.
    total_bytes: i64,
    /// Stored of stored and failed, percent; null when there were none.
    success_rate: Option<f64>,
    /// Means per picture stored, in milliseconds; null when there was none.
    avg_download_ms: Option<f64>,
    avg_processing_ms: Option<f64>,
    avg_upload_ms: Option<f64>,
    /// Failures by their word.
    error_categories: BTreeMap<String, i64>,
}

/// An hour.
#[derive(Debug, Object)]
struct CdnHour {
    /// Its beginning; RFC 3339.
    hour: String,
    #[oai(flatten)]
    work: CdnWork,
    /// Jobs that waited when it was looked at; null when nobody looked.
    queue_depth: Option<i64>,
}

/// Figures by hour.
#[derive(Debug, Object)]
struct CdnStatistics {
    /// How far back.
    hours: i64,
    total: CdnWork,
    /// Hours in which anything was done, newest first.
    items: Vec<CdnHour>,
}

/// A picture that cannot be had.
#[derive(Debug, Object)]
struct FailedPicture {
    asset_id: Uuid,
    profile_id: Uuid,
    /// `avatar`, or the post's shortcode.
    media_id: String,
    source_type: String,
    error_code: Option<String>,
    error: Option<String>,
    attempts: i64,
    /// RFC 3339.
    updated_at: String,
}

/// Pictures that cannot be had.
#[derive(Debug, Object)]
struct FailedPictures {
    /// Those that failed longest ago first, at most 100.
    items: Vec<FailedPicture>,
    /// All.
    total: i64,
}

#[OpenApi(prefix_path = "/api/v1", tag = "Tag::Media")]
impl Cdn {
    /// Whether pictures come to the CDN
    #[oai(path = "/cdn/health", method = "get", operation_id = "get_cdn_health")]
    async fn health(
        &self,
        state: Data<&AppState>,
        _caller: Caller,
    ) -> Result<Json<CdnHealth>, Problem> {
        let probe = Placeholder::Avatar.key(256);
        let storage = state.files.storage.size(&probe);
        let storage = tokio::time::timeout(std::time::Duration::from_secs(1), storage).await;
        let storage = matches!(storage, Ok(Ok(_)));
        let workers = state.workers_of(Kind::ImageIngest.as_str()).await?;
        let well = storage && workers > 0;
        Ok(Json(CdnHealth {
            status: if well { "ok" } else { "degraded" }.to_owned(),
            storage,
            workers,
            base_url: state.files.base().to_owned(),
            queue: queues::head(&state, Queue::Media).await?,
        }))
    }

    /// What lies on the CDN
    #[oai(path = "/cdn/metrics", method = "get", operation_id = "get_cdn_metrics")]
    async fn metrics(
        &self,
        state: Data<&AppState>,
        _caller: Caller,
    ) -> Result<Json<CdnMetrics>, Problem> {
        Ok(Json(measured(&state).await?))
    }

    /// Pictures that wait
    #[oai(path = "/cdn/queue/status", method = "get", operation_id = "get_cdn_queue")]
    async fn queue(
        &self,
        state: Data<&AppState>,
        _caller: Caller,
    ) -> Result<Json<QueueHead>, Problem> {
        Ok(Json(queues::head(&state, Queue::Media).await?))
    }

    /// The work on pictures by hour
    #[oai(path = "/cdn/statistics", method = "get", operation_id = "get_cdn_statistics")]
    async fn statistics(
        &self,
        state: Data<&AppState>,
        _caller: Caller,
        /// 1 to 720.
        hours: Query<Option<i64>>,
    ) -> Result<Json<CdnStatistics>, Problem> {
        let hours = hours.0.unwrap_or(i64::from(DAY));
        if !(1..=720).contains(&hours) {
            return Err(Problem::field("hours", "must be from 1 to 720"));
        }
        let found = state.picture_hours(hours as u32).await?;
        let total = work(&found);
        let items = found
            .iter()
            .map(|hour| CdnHour {
                hour: hour.hour.rfc3339(),
                work: work(std::slice::from_ref(hour)),
                queue_depth: hour.queue_depth,
            })
            .collect();
        Ok(Json(CdnStatistics { hours, total, items }))
    }

    /// Pictures by where they stand
    #[oai(path = "/cdn/processing-status", method = "get", operation_id = "get_cdn_processing")]
    async fn processing(
        &self,
        state: Data<&AppState>,
        _caller: Caller,
    ) -> Result<Json<AssetCounts>, Problem> {
        Ok(Json(state.picture_totals().await?.into()))
    }

    /// Bring the pictures of stored profiles to the CDN
    ///
    /// Starts a `cdn_sync` job: at most 1,000 profiles that have pictures which are not there.
    #[oai(path = "/cdn/sync-existing-profiles", method = "post", operation_id = "sync_cdn")]
    async fn sync(
        &self,
        state: Data<&AppState>,
        operator: Operator,
        request: &Request,
        /// `wait=N`: hold the answer for up to N seconds.
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
    ) -> Result<JobAnswer<JobView>, Problem> {
        start(&state, operator, request, prefer.0.as_deref(), &CdnSync {}).await
    }

    /// What lies on the CDN, for operators
    #[oai(path = "/admin/cdn/metrics", method = "get", operation_id = "get_admin_cdn_metrics")]
    async fn admin_metrics(
        &self,
        state: Data<&AppState>,
        _operator: Operator,
    ) -> Result<Json<CdnMetrics>, Problem> {
        Ok(Json(measured(&state).await?))
    }

    /// Pictures that cannot be had
    #[oai(path = "/admin/cdn/failed-jobs", method = "get", operation_id = "list_failed_pictures")]
    async fn failed(
        &self,
        state: Data<&AppState>,
        operator: Operator,
    ) -> Result<Json<FailedPictures>, Problem> {
        let scope = state.scope(&operator.0);
        let items =
            cdn_asset::failed(scope.read(), FAILED).await?.into_iter().map(|asset| FailedPicture {
                asset_id: asset.id,
                profile_id: asset.profile_id,
                media_id: asset.media_id,
                source_type: asset.source_type.to_string(),
                error_code: asset.processing_error_code,
                error: asset.processing_error,
                attempts: i64::from(asset.processing_attempts),
                updated_at: Time::rfc3339(asset.updated_at),
            });
        let total = state.picture_totals().await?.failed;
        Ok(Json(FailedPictures { items: items.collect(), total }))
    }

    /// Try failed pictures again
    ///
    /// Starts a `cdn_retry` job: at most 1,000 pictures, those that failed longest ago first.
    #[oai(
        path = "/admin/cdn/retry-failed",
        method = "post",
        operation_id = "retry_failed_pictures"
    )]
    async fn retry(
        &self,
        state: Data<&AppState>,
        operator: Operator,
        request: &Request,
        /// `wait=N`: hold the answer for up to N seconds.
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
    ) -> Result<JobAnswer<JobView>, Problem> {
        start(&state, operator, request, prefer.0.as_deref(), &CdnRetry {}).await
    }

    /// Remove what no picture shows any more
    ///
    /// Starts a `cdn_cleanup` job: thumbnails that were replaced a day ago or longer, and files
    /// without a row.
    #[oai(path = "/admin/cdn/cleanup-jobs", method = "post", operation_id = "clean_cdn")]
    async fn cleanup(
        &self,
        state: Data<&AppState>,
        operator: Operator,
        request: &Request,
        /// `wait=N`: hold the answer for up to N seconds.
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
    ) -> Result<JobAnswer<JobView>, Problem> {
        start(&state, operator, request, prefer.0.as_deref(), &CdnCleanup {}).await
    }
}

async fn start<J: Job>(
    state: &AppState,
    operator: Operator,
    request: &Request,
    prefer: Option<&str>,
    job: &J,
) -> Result<JobAnswer<JobView>, Problem> {
    let caller = Caller(operator.0);
    let wait = rules::prefer_wait(prefer)?.unwrap_or(0);
    let key = idempotency::key(request.headers(), caller.id(), &["POST", J::KIND.as_str()])?;
    submit::post(state, &caller, Work::new(job, &options(&caller, request))?, key, wait).await
}

async fn measured(state: &AppState) -> Result<CdnMetrics, Problem> {
    let stored = state.stored().await?;
    Ok(CdnMetrics {
        assets: state.picture_totals().await?.into(),
        objects: stored.objects,
        stored_bytes: stored.bytes,
        last_day: work(&state.picture_hours(DAY).await?),
        queue: queues::head(state, Queue::Media).await?,
    })
}

/// Hours together.
fn work(hours: &[Hour]) -> CdnWork {
    let sum = |of: fn(&Hour) -> i64| hours.iter().map(of).sum::<i64>();
    let (stored, failed) = (sum(|hour| hour.images_stored), sum(|hour| hour.images_failed));
    let mean = |of| (stored > 0).then(|| (sum(of) as f64 / stored as f64 * 10.0).round() / 10.0);
    let tried = stored + failed;
    let mut error_categories = BTreeMap::new();
    for errors in hours.iter().filter_map(|hour| hour.error_categories.as_ref()) {
        for (code, count) in errors.as_object().into_iter().flatten() {
            *error_categories.entry(code.clone()).or_default() += count.as_i64().unwrap_or(0);
        }
    }
    CdnWork {
        jobs_processed: sum(|hour| hour.jobs_processed),
        jobs_failed: sum(|hour| hour.jobs_failed),
        images_stored: stored,
        images_unchanged: sum(|hour| hour.images_unchanged),
        images_failed: failed,
        total_bytes: sum(|hour| hour.total_bytes),
        success_rate: (tried > 0).then(|| (1_000.0 * stored as f64 / tried as f64).round() / 10.0),
        avg_download_ms: mean(|hour| hour.download_time_ms),
        avg_processing_ms: mean(|hour| hour.processing_time_ms),
        avg_upload_ms: mean(|hour| hour.upload_time_ms),
        error_categories,
    }
}
