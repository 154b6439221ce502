//! `exports`: files made for users, as long as they may be had; and what is written into them.

pub mod rows;

use sea_orm::prelude::*;
use sea_orm::{DbErr, FromQueryResult};

use crate::args;
use crate::db::Tx;
use crate::enums::ExportFormat;
use crate::sql::{self, list};
use crate::time::Time;

/// How long a file may be had, in milliseconds: 7 days.
pub const KEPT_MS: i64 = 7 * 24 * 3_600_000;

/// What a format is served as.
pub const fn content_type(format: ExportFormat) -> &'static str {
    match format {
        ExportFormat::Csv => "text/csv; charset=utf-8",
        ExportFormat::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        ExportFormat::Json => "application/json",
        ExportFormat::Ndjson => "application/x-ndjson",
    }
}

/// A file that was made.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Export {
    /// The job that made it.
    pub job_id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// What it is.
    pub format: ExportFormat,
    /// Where it lies.
    pub object_key: String,
    /// Rows in it, headings not counted.
    pub rows_written: i64,
    /// Creators in it.
    pub profiles: i32,
    /// Bytes.
    pub size_bytes: i64,
    /// Of its bytes; hex.
    pub sha256: String,
    /// How often it was fetched from its beginning.
    pub download_count: i32,
    /// When it was made.
    pub created_at: Time,
    /// Until when it may be had.
    pub expires_at: Time,
    /// When it was removed.
    pub removed_at: Option<Time>,
}

const COLUMNS: &str = "job_id, user_id, format, object_key, rows_written, profiles, size_bytes, \
     sha256, download_count, created_at, expires_at, removed_at";

/// A file to be noted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the columns of `Export`
pub struct NewExport {
    pub job_id: Uuid,
    pub user_id: Uuid,
    pub format: ExportFormat,
    pub object_key: String,
    pub rows_written: i64,
    pub profiles: i32,
    pub size_bytes: i64,
    pub sha256: String,
}

/// Makes a file known: from the commit on it is there, whole.
pub async fn add(tx: &Tx, new: &NewExport) -> Result<(), DbErr> {
    sql::execute(
        tx,
        "INSERT INTO exports (job_id, user_id, format, object_key, rows_written, profiles, \
         size_bytes, sha256, created_at, expires_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, {now}, {now+?})",
        args![
            new.job_id,
            new.user_id,
            new.format.as_str(),
            new.object_key.clone(),
            new.rows_written,
            new.profiles,
            new.size_bytes,
            new.sha256.clone(),
            KEPT_MS
        ],
    )
    .await?;
    Ok(())
}

/// The file of a job.
pub async fn by_job<C: ConnectionTrait>(db: &C, job: Uuid) -> Result<Option<Export>, DbErr> {
    sql::one(db, &format!("SELECT {COLUMNS} FROM exports WHERE job_id = ?"), args![job]).await
}

/// Counts a download.
pub async fn count_download<C: ConnectionTrait>(db: &C, job: Uuid) -> Result<(), DbErr> {
    sql::execute(
        db,
        "UPDATE exports SET download_count = download_count + 1 WHERE job_id = ?",
        args![job],
    )
    .await?;
    Ok(())
}

/// Files whose time is over, at most `limit`.
pub async fn due<C: ConnectionTrait>(db: &C, limit: u32) -> Result<Vec<Export>, DbErr> {
    let text = format!(
        "SELECT {COLUMNS} FROM exports WHERE removed_at IS NULL AND expires_at <= {{now}} \
         ORDER BY expires_at LIMIT ?"
    );
    sql::all(db, &text, args![i64::from(limit)]).await
}

/// Notes that these files are gone.
pub async fn removed<C: ConnectionTrait>(db: &C, jobs: &[Uuid]) -> Result<u64, DbErr> {
    sql::execute(
        db,
        "UPDATE exports SET removed_at = {now} WHERE removed_at IS NULL AND job_id IN {list}",
        vec![list(jobs)],
    )
    .await
}

/// Forgets files that were removed `age_ms` ago.
pub async fn prune<C: ConnectionTrait>(db: &C, age_ms: i64) -> Result<u64, DbErr> {
    sql::execute(db, "DELETE FROM exports WHERE removed_at < {now-?}", args![age_ms]).await
}
