//! How the work on a picture ended, and what it counts for in its hour.

use std::collections::BTreeMap;

use sea_orm::DbErr;
use sea_orm::prelude::*;

use super::overview::hour_of;
use crate::args;
use crate::db::Tx;
use crate::sql::{self, at, list};
use crate::{clock, enums::AssetStatus};

/// Thumbnails that were made, stored and read back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the columns of the table
pub struct Thumbnails {
    pub source_etag: Option<String>,
    pub source_last_modified: Option<String>,
    pub source_content_type: Option<String>,
    pub source_sha256: String,
    pub cdn_paths: [String; 2],
    /// Width and height of each, in pixels.
    pub sides: [(i32, i32); 2],
    pub original_width: i32,
    pub original_height: i32,
    pub original_format: String,
    /// Bytes.
    pub original_size: i64,
    pub download_time_ms: i32,
    pub processing_time_ms: i32,
    pub upload_time_ms: i32,
}

/// How the work on a picture ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is on the CDN.
    Stored(Box<Thumbnails>),
    /// The source is what it was: nothing was written.
    Unchanged,
    /// It cannot be had, or is no picture of ours; trying again would not help.
    Failed {
        /// Word.
        code: &'static str,
        /// Sentence.
        message: String,
    },
    /// Not this time.
    Later {
        /// Word.
        code: &'static str,
        /// Sentence.
        message: String,
    },
    /// Its address has expired: the profile is fetched again.
    Refetch,
}

/// Writes how it ended.
pub async fn settle(tx: &Tx, id: Uuid, outcome: &Outcome) -> Result<(), DbErr> {
    let (text, args) = match outcome {
        Outcome::Stored(made) => (
            "UPDATE cdn_image_assets SET processing_status = 'completed', source_etag = ?, \
             source_last_modified = ?, source_content_type = ?, source_sha256 = ?, \
             cdn_path_256 = ?, cdn_path_512 = ?, width_256 = ?, height_256 = ?, width_512 = ?, \
             height_512 = ?, original_width = ?, original_height = ?, original_format = ?, \
             original_size = ?, download_time_ms = ?, processing_time_ms = ?, \
             upload_time_ms = ?, processing_error_code = NULL, processing_error = NULL, \
             processing_attempts = processing_attempts + 1, refetches = 0, \
             needs_update = false, last_checked = {now}, processing_completed_at = {now}, \
             updated_at = {now} WHERE id = ?",
            args![
                made.source_etag.clone(),
                made.source_last_modified.clone(),
                made.source_content_type.clone(),
                made.source_sha256.clone(),
                made.cdn_paths[0].clone(),
                made.cdn_paths[1].clone(),
                made.sides[0].0,
                made.sides[0].1,
                made.sides[1].0,
                made.sides[1].1,
                made.original_width,
                made.original_height,
                made.original_format.clone(),
                made.original_size,
                made.download_time_ms,
                made.processing_time_ms,
                made.upload_time_ms,
                id
            ],
        ),
        Outcome::Unchanged => (
            "UPDATE cdn_image_assets SET processing_status = 'completed', needs_update = false, \
             refetches = 0, processing_error_code = NULL, processing_error = NULL, \
             last_checked = {now} WHERE id = ?",
            args![id],
        ),
        // What is stored is shown on, whatever became of its source.
        Outcome::Failed { code, message } => (
            "UPDATE cdn_image_assets SET processing_status = CASE \
               WHEN cdn_path_256 IS NULL THEN 'failed' ELSE 'completed' END, \
             needs_update = false, processing_error_code = ?, processing_error = ?, \
             processing_attempts = processing_attempts + 1, last_checked = {now}, \
             updated_at = {now} WHERE id = ?",
            args![*code, message.clone(), id],
        ),
        Outcome::Later { code, message } => (
            "UPDATE cdn_image_assets SET processing_error_code = ?, processing_error = ?, \
             processing_attempts = processing_attempts + 1, updated_at = {now} WHERE id = ?",
            args![*code, message.clone(), id],
        ),
        Outcome::Refetch => (
            "UPDATE cdn_image_assets SET processing_error_code = 'source_expired', \
             processing_error = 'the address has expired; the profile is fetched again', \
             processing_attempts = processing_attempts + 1, refetches = refetches + 1, \
             updated_at = {now} WHERE id = ?",
            args![id],
        ),
    };
    sql::execute(tx, text, args).await?;
    Ok(())
}

/// Failed pictures are tried again.
pub async fn retry(tx: &Tx, ids: &[Uuid]) -> Result<u64, DbErr> {
    sql::execute(
        tx,
        "UPDATE cdn_image_assets SET processing_status = ?, processing_attempts = 0, \
         refetches = 0, updated_at = {now} WHERE processing_status = 'failed' AND id IN {list}",
        args![AssetStatus::Pending.as_str(), list(ids)],
    )
    .await
}

/// Pictures whose thumbnails are gone or wrong are made again.
pub async fn lost(tx: &Tx, ids: &[Uuid]) -> Result<u64, DbErr> {
    sql::execute(
        tx,
        "UPDATE cdn_image_assets SET processing_status = ?, source_etag = NULL, \
         source_last_modified = NULL, source_sha256 = NULL, cdn_path_256 = NULL, \
         cdn_path_512 = NULL, processing_attempts = 0, updated_at = {now} WHERE id IN {list}",
        args![AssetStatus::Pending.as_str(), list(ids)],
    )
    .await
}

/// What a job's work on pictures came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// None of its pictures can be had.
    pub job_failed: bool,
    /// Pictures stored.
    pub stored: i64,
    /// Pictures left as they were.
    pub unchanged: i64,
    /// Pictures that cannot be had.
    pub failed: i64,
    /// Bytes of thumbnails stored.
    pub bytes: i64,
    /// Milliseconds of downloading, decoding and storing.
    pub times_ms: [i64; 3],
    /// Failures by code.
    pub errors: BTreeMap<String, i64>,
}

/// Counts a job in the hour it ends in.
pub async fn count(tx: &Tx, tally: &Tally) -> Result<(), DbErr> {
    let hour = hour_of(clock::now(tx).await?);
    sql::execute(
        tx,
        "INSERT INTO cdn_processing_stats (hour) VALUES (?) ON CONFLICT (hour) DO NOTHING",
        vec![at(hour)],
    )
    .await?;
    let lock = "SELECT error_categories FROM cdn_processing_stats WHERE hour = ? {for update}";
    let row = sql::rows(tx, lock, vec![at(hour)]).await?;
    let before: Option<Json> =
        row.first().map(|row| row.try_get("", "error_categories")).transpose()?.flatten();
    let mut errors: BTreeMap<String, i64> =
        before.and_then(|json| serde_json::from_value(json).ok()).unwrap_or_default();
    for (code, count) in &tally.errors {
        *errors.entry(code.clone()).or_default() += count;
    }
    let errors = (!errors.is_empty()).then(|| serde_json::json!(errors));
    sql::execute(
        tx,
        "UPDATE cdn_processing_stats SET jobs_processed = jobs_processed + 1, \
         jobs_failed = jobs_failed + ?, images_stored = images_stored + ?, \
         images_unchanged = images_unchanged + ?, images_failed = images_failed + ?, \
         total_bytes = total_bytes + ?, download_time_ms = download_time_ms + ?, \
         processing_time_ms = processing_time_ms + ?, upload_time_ms = upload_time_ms + ?, \
         error_categories = ? WHERE hour = ?",
        args![
            i64::from(tally.job_failed),
            tally.stored,
            tally.unchanged,
            tally.failed,
            tally.bytes,
            tally.times_ms[0],
            tally.times_ms[1],
            tally.times_ms[2],
            errors,
            at(hour)
        ],
    )
    .await?;
    Ok(())
}
