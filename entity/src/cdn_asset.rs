//! `cdn_image_assets`: the pictures of a creator that we serve ourselves, one row per picture, with
//! where it came from and where its thumbnails lie.

pub mod outcome;
pub mod overview;

use sea_orm::prelude::*;
use sea_orm::{DbErr, FromQueryResult};

use crate::args;
use crate::db::Tx;
use crate::enums::{AssetStatus, ImageSource};
use crate::sql::{self, Arg, list};
use crate::time::Time;

/// Media id of an avatar; that of a post's thumbnail is its shortcode.
pub const AVATAR: &str = "avatar";

/// Newest posts of a creator whose pictures are kept.
pub const POSTS: u64 = 12;

/// A picture as it is known.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
#[allow(missing_docs)] // named as the columns; units in their names
pub struct Asset {
    pub id: Uuid,
    pub profile_id: Uuid,
    pub source_type: ImageSource,
    pub source_id: Uuid,
    /// Names it within its profile: `avatar`, or the post's shortcode.
    pub media_id: String,
    /// Where the provider says it is.
    pub source_url: String,
    pub source_etag: Option<String>,
    pub source_last_modified: Option<String>,
    /// Of the bytes the thumbnails were made from; hex.
    pub source_sha256: Option<String>,
    /// Key of the small thumbnail.
    pub cdn_path_256: Option<String>,
    /// Key of the large thumbnail.
    pub cdn_path_512: Option<String>,
    pub processing_status: AssetStatus,
    pub processing_error_code: Option<String>,
    pub processing_error: Option<String>,
    pub processing_attempts: i32,
    /// Fetches of the profile that were asked for because its address had expired, since it was
    /// last stored.
    pub refetches: i32,
    /// The provider shows another picture than the one that is stored.
    pub needs_update: bool,
    pub download_time_ms: Option<i32>,
    pub processing_time_ms: Option<i32>,
    pub upload_time_ms: Option<i32>,
    pub last_checked: Option<Time>,
    /// When its thumbnails were last stored.
    pub processing_completed_at: Option<Time>,
    pub updated_at: Time,
}

const COLUMNS: &str = "id, profile_id, source_type, source_id, media_id, source_url, \
     source_etag, source_last_modified, source_sha256, cdn_path_256, cdn_path_512, \
     processing_status, processing_error_code, processing_error, processing_attempts, refetches, \
     needs_update, download_time_ms, processing_time_ms, upload_time_ms, last_checked, \
     processing_completed_at, updated_at";

impl Asset {
    /// Whether there is something to do for it.
    pub fn is_due(&self) -> bool {
        self.processing_status == AssetStatus::Pending || self.needs_update
    }

    /// The keys of its thumbnails, when both are stored.
    pub fn keys(&self) -> Option<[&str; 2]> {
        Some([self.cdn_path_256.as_deref()?, self.cdn_path_512.as_deref()?])
    }
}

/// A picture the provider showed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the columns of `Asset`
pub struct Shown {
    pub source_type: ImageSource,
    pub source_id: Uuid,
    pub media_id: String,
    pub source_url: String,
}

/// The address without what changes at every answer: the query holds a signature and its end.
fn path_of(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

/// Codes of failures that another address of the same picture may mend.
const OF_THE_ADDRESS: &str =
    "('source_expired', 'source_gone', 'source_refused', 'source_unavailable', 'source_too_slow')";
/// Codes of failures that were not the picture's.
const OURS: &str = "('no_decoder', 'storage_failed', 'storage_refused')";

/// Notes the pictures of a profile as the provider shows them now. Another picture, or another
/// address of one whose address failed, is to be stored; the same one is left alone.
pub async fn note(tx: &Tx, profile: Uuid, shown: &[Shown]) -> Result<(), DbErr> {
    if shown.is_empty() {
        return Ok(());
    }
    let rows = shown.iter().map(|shown| {
        args![
            Uuid::now_v7(),
            profile,
            shown.source_type.as_str(),
            shown.source_id,
            shown.media_id.clone(),
            shown.source_url.clone(),
            path_of(&shown.source_url)
        ]
    });
    let other = "cdn_image_assets.source_path <> excluded.source_path";
    let again = format!(
        "cdn_image_assets.processing_status = 'failed' AND ({other} \
         OR (cdn_image_assets.source_url <> excluded.source_url \
           AND cdn_image_assets.processing_error_code IN {OF_THE_ADDRESS}) \
         OR cdn_image_assets.processing_error_code IN {OURS})"
    );
    sql::execute(
        tx,
        &format!(
            "INSERT INTO cdn_image_assets (id, profile_id, source_type, source_id, media_id, \
             source_url, source_path, processing_status, created_at, updated_at) \
             SELECT column1::uuid, column2::uuid, column3::text, column4::uuid, column5::text, \
             column6::text, column7::text, 'pending', {{now}}, {{now}} FROM {{rows}} WHERE true \
             ON CONFLICT (source_type, source_id, media_id) DO UPDATE SET \
             source_url = excluded.source_url, source_path = excluded.source_path, \
             needs_update = cdn_image_assets.needs_update \
               OR (cdn_image_assets.processing_status = 'completed' AND {other}), \
             processing_attempts = CASE WHEN {again} THEN 0 \
               ELSE cdn_image_assets.processing_attempts END, \
             processing_status = CASE WHEN {again} THEN 'pending' \
               ELSE cdn_image_assets.processing_status END, \
             updated_at = excluded.updated_at"
        ),
        vec![Arg::Rows(rows.collect())],
    )
    .await?;
    Ok(())
}

/// These pictures, in the order of their ids.
pub async fn by_ids<C: ConnectionTrait>(db: &C, ids: &[Uuid]) -> Result<Vec<Asset>, DbErr> {
    let text = format!("SELECT {COLUMNS} FROM cdn_image_assets WHERE id IN {{list}} ORDER BY id");
    sql::all(db, &text, vec![list(ids)]).await
}

/// Every picture of a profile.
pub async fn of_profile<C: ConnectionTrait>(db: &C, profile: Uuid) -> Result<Vec<Asset>, DbErr> {
    let text = format!("SELECT {COLUMNS} FROM cdn_image_assets WHERE profile_id = ? ORDER BY id");
    sql::all(db, &text, args![profile]).await
}

/// The next pictures after `after` (by id) that are stored.
pub async fn stored_page<C: ConnectionTrait>(
    db: &C,
    after: Uuid,
    limit: u32,
) -> Result<Vec<Asset>, DbErr> {
    let text = format!(
        "SELECT {COLUMNS} FROM cdn_image_assets WHERE processing_status = 'completed' \
         AND id > ? ORDER BY id LIMIT ?"
    );
    sql::all(db, &text, args![after, i64::from(limit)]).await
}

/// Pictures that wait although they were noted more than `age_ms` ago, oldest first.
pub async fn left_behind<C: ConnectionTrait>(
    db: &C,
    age_ms: i64,
    limit: u32,
) -> Result<Vec<Asset>, DbErr> {
    let text = format!(
        "SELECT {COLUMNS} FROM cdn_image_assets WHERE processing_status = 'pending' \
         AND created_at < {{now-?}} AND updated_at < {{now-?}} ORDER BY created_at LIMIT ?"
    );
    sql::all(db, &text, args![age_ms, age_ms, i64::from(limit)]).await
}

/// Stored pictures whose source was not looked at for `age_ms`, longest ago first.
pub async fn unchecked<C: ConnectionTrait>(
    db: &C,
    age_ms: i64,
    limit: u32,
) -> Result<Vec<Asset>, DbErr> {
    let text = format!(
        "SELECT {COLUMNS} FROM cdn_image_assets WHERE processing_status = 'completed' \
         AND last_checked < {{now-?}} ORDER BY last_checked LIMIT ?"
    );
    sql::all(db, &text, args![age_ms, i64::from(limit)]).await
}

/// Failed pictures, longest ago first.
pub async fn failed<C: ConnectionTrait>(db: &C, limit: u32) -> Result<Vec<Asset>, DbErr> {
    let text = format!(
        "SELECT {COLUMNS} FROM cdn_image_assets WHERE processing_status = 'failed' \
         ORDER BY updated_at LIMIT ?"
    );
    sql::all(db, &text, args![i64::from(limit)]).await
}
