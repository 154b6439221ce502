//! The pictures in numbers: how many are stored, and what each hour's work came to.

use sea_orm::prelude::*;
use sea_orm::{DbErr, FromQueryResult};

use crate::args;
use crate::db::Tx;
use crate::sql::{self, at};
use crate::time::Time;

/// Pictures by where they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromQueryResult)]
pub struct Totals {
    /// All.
    pub total: i64,
    /// To be stored, or being stored.
    pub pending: i64,
    /// On the CDN.
    pub completed: i64,
    /// Not to be had.
    pub failed: i64,
}

/// All pictures by where they stand.
pub async fn totals<C: ConnectionTrait>(db: &C) -> Result<Totals, DbErr> {
    let row = sql::one(
        db,
        "SELECT count(*) AS total, \
         count(CASE WHEN processing_status = 'pending' THEN 1 END) AS pending, \
         count(CASE WHEN processing_status = 'completed' THEN 1 END) AS completed, \
         count(CASE WHEN processing_status = 'failed' THEN 1 END) AS failed \
         FROM cdn_image_assets",
        vec![],
    )
    .await?;
    Ok(row.unwrap_or_default())
}

/// Thumbnails as stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromQueryResult)]
pub struct Stored {
    /// Objects.
    pub objects: i64,
    /// Their bytes together.
    pub bytes: i64,
}

/// How much lies on the CDN.
pub async fn stored<C: ConnectionTrait>(db: &C) -> Result<Stored, DbErr> {
    let row = sql::one(
        db,
        "SELECT count(*) AS objects, CAST(COALESCE(sum(size_bytes), 0) AS bigint) AS bytes \
         FROM stored_objects WHERE key LIKE 'th/%'",
        vec![],
    )
    .await?;
    Ok(row.unwrap_or_default())
}

/// An hour's work.
#[derive(Clone, Debug, PartialEq, FromQueryResult)]
#[allow(missing_docs)] // named as the columns; units in their names
pub struct Hour {
    /// Its beginning.
    pub hour: Time,
    pub jobs_processed: i64,
    pub jobs_failed: i64,
    pub images_stored: i64,
    pub images_unchanged: i64,
    pub images_failed: i64,
    /// Of the thumbnails stored.
    pub total_bytes: i64,
    pub download_time_ms: i64,
    pub processing_time_ms: i64,
    pub upload_time_ms: i64,
    /// Failures by code.
    pub error_categories: Option<Json>,
    /// Jobs that waited when it was looked at.
    pub queue_depth: Option<i64>,
    pub assets_total: Option<i64>,
    pub assets_completed: Option<i64>,
    pub assets_failed: Option<i64>,
}

/// The last hours in which anything was done, newest first.
pub async fn hours<C: ConnectionTrait>(db: &C, hours: u32) -> Result<Vec<Hour>, DbErr> {
    sql::all(
        db,
        "SELECT hour, jobs_processed, jobs_failed, images_stored, images_unchanged, \
         images_failed, total_bytes, download_time_ms, processing_time_ms, upload_time_ms, \
         error_categories, queue_depth, assets_total, assets_completed, assets_failed \
         FROM cdn_processing_stats WHERE hour > {now-?} ORDER BY hour DESC",
        args![i64::from(hours) * 3_600_000],
    )
    .await
}

/// The beginning of the hour.
pub(super) fn hour_of(time: Time) -> Time {
    Time(time.0 - time.0.rem_euclid(3_600_000))
}

/// Notes how things stand in the hour of `now`.
pub async fn note_hour(tx: &Tx, now: Time, waiting: i64, totals: Totals) -> Result<(), DbErr> {
    let hour = hour_of(now);
    sql::execute(
        tx,
        "INSERT INTO cdn_processing_stats (hour, queue_depth, assets_total, assets_completed, \
         assets_failed) VALUES (?, ?, ?, ?, ?) ON CONFLICT (hour) DO UPDATE SET \
         queue_depth = excluded.queue_depth, assets_total = excluded.assets_total, \
         assets_completed = excluded.assets_completed, assets_failed = excluded.assets_failed",
        args![at(hour), waiting, totals.total, totals.completed, totals.failed],
    )
    .await?;
    Ok(())
}

/// Drops hours older than `age_ms`.
pub async fn prune<C: ConnectionTrait>(db: &C, age_ms: i64) -> Result<u64, DbErr> {
    sql::execute(db, "DELETE FROM cdn_processing_stats WHERE hour < {now-?}", args![age_ms]).await
}
