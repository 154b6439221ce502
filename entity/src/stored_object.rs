//! `stored_objects`: what lies in the storage, with what a folder cannot keep beside it.

use sea_orm::prelude::*;
use sea_orm::{DbErr, FromQueryResult};

use crate::args;
use crate::db::Tx;
use crate::sql::{self, Arg, list};
use crate::time::Time;

/// An object as stored.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct StoredObject {
    /// Where it lies, e.g. `th/ig/…/256/….webp`.
    pub key: String,
    /// What it is served as.
    pub content_type: String,
    /// How long others may keep it.
    pub cache_control: String,
    /// Bytes.
    pub size_bytes: i64,
    /// Of its bytes; hex.
    pub sha256: String,
    /// When it was stored.
    pub created_at: Time,
}

/// An object to be noted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the columns of `StoredObject`
pub struct NewObject {
    pub key: String,
    pub content_type: &'static str,
    pub cache_control: &'static str,
    pub size_bytes: i64,
    pub sha256: String,
}

/// Notes objects that were stored; one that is noted already stays as it is, for what lies under a
/// key never changes.
pub async fn note(tx: &Tx, objects: &[NewObject]) -> Result<(), DbErr> {
    if objects.is_empty() {
        return Ok(());
    }
    let rows = objects.iter().map(|object| {
        args![
            object.key.clone(),
            object.content_type,
            object.cache_control,
            object.size_bytes,
            object.sha256.clone()
        ]
    });
    sql::execute(
        tx,
        "INSERT INTO stored_objects (key, content_type, cache_control, size_bytes, sha256, \
         created_at) SELECT column1::text, column2::text, column3::text, column4::bigint, \
         column5::text, {now} FROM {rows} WHERE true ON CONFLICT (key) DO NOTHING",
        vec![Arg::Rows(rows.collect())],
    )
    .await?;
    Ok(())
}

/// The object of a key.
pub async fn by_key<C: ConnectionTrait>(db: &C, key: &str) -> Result<Option<StoredObject>, DbErr> {
    sql::one(
        db,
        "SELECT key, content_type, cache_control, size_bytes, sha256, created_at \
         FROM stored_objects WHERE key = ?",
        args![key],
    )
    .await
}

/// Which of these keys are noted.
pub async fn known<C: ConnectionTrait>(db: &C, keys: &[String]) -> Result<Vec<String>, DbErr> {
    let rows =
        sql::rows(db, "SELECT key FROM stored_objects WHERE key IN {list}", vec![list(keys)])
            .await?;
    rows.iter().map(|row| row.try_get("", "key")).collect()
}

/// Bytes of these objects together.
pub async fn bytes<C: ConnectionTrait>(db: &C, keys: &[&str]) -> Result<i64, DbErr> {
    let rows = sql::rows(
        db,
        "SELECT CAST(COALESCE(sum(size_bytes), 0) AS bigint) AS bytes FROM stored_objects \
         WHERE key IN {list}",
        vec![list(keys)],
    )
    .await?;
    rows.first().map_or(Ok(0), |row| row.try_get("", "bytes"))
}

/// Keys of thumbnails that no picture shows any more and of files that no export is, at least
/// `age_ms` old, at most `limit`.
pub async fn unused<C: ConnectionTrait>(
    db: &C,
    age_ms: i64,
    limit: u32,
) -> Result<Vec<String>, DbErr> {
    let rows = sql::rows(
        db,
        "SELECT key FROM stored_objects o WHERE created_at < {now-?} \
         AND NOT EXISTS (SELECT 1 FROM cdn_image_assets a WHERE a.cdn_path_256 = o.key) \
         AND NOT EXISTS (SELECT 1 FROM cdn_image_assets a WHERE a.cdn_path_512 = o.key) \
         AND NOT EXISTS (SELECT 1 FROM exports e WHERE e.object_key = o.key) \
         ORDER BY key LIMIT ?",
        args![age_ms, i64::from(limit)],
    )
    .await?;
    rows.iter().map(|row| row.try_get("", "key")).collect()
}

/// Forgets objects that are gone.
pub async fn forget<C: ConnectionTrait>(db: &C, keys: &[String]) -> Result<u64, DbErr> {
    sql::execute(db, "DELETE FROM stored_objects WHERE key IN {list}", vec![list(keys)]).await
}
