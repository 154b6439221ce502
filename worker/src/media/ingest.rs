//! One picture on its way to the CDN.

use std::time::{Duration, Instant};

use bytes::Bytes;
use codec::{MAX_BYTES, SIZES};
use entity::cdn_asset::Asset;
use entity::cdn_asset::outcome::{Outcome, Thumbnails};
use entity::stored_object::NewObject;
use jobs::storage::{IMMUTABLE, StorageError, sha256_hex};
use reqwest::StatusCode;
use uuid::Uuid;

use super::Media;
use super::codecs::{CodecFault, Decoded};
use crate::foreign::{FetchError, Fetched, Known};

/// Type of every thumbnail.
const WEBP: &str = "image/webp";

/// Words for why a picture is not on the CDN.
const WORDS: [&str; 19] = [
    "address_refused",
    "corrupt_image",
    "decoder_crashed",
    "empty_image",
    "image_too_complex",
    "image_too_large",
    "image_too_slow",
    "no_decoder",
    "not_an_image",
    "source_expired",
    "source_gone",
    "source_redirects",
    "source_refused",
    "source_too_slow",
    "source_unavailable",
    "storage_failed",
    "storage_refused",
    "unsupported_format",
    "unwritable_thumbnail",
];

/// Such a word as one of ours.
pub(crate) fn word(code: &str) -> &'static str {
    WORDS.iter().find(|word| **word == code).copied().unwrap_or("image_refused")
}

/// How the work on a picture ended, with the objects it stored.
#[derive(Debug)]
pub(crate) struct Ingested {
    pub(crate) outcome: Outcome,
    pub(crate) objects: Vec<NewObject>,
}

impl From<Outcome> for Ingested {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, objects: vec![] }
    }
}

/// Where a thumbnail lies: what is under the key never changes.
fn key(profile: Uuid, media_id: &str, size: u32, sha256: &str) -> String {
    format!("th/ig/{profile}/{media_id}/{size}/{}.webp", &sha256[..16])
}

/// Brings a picture to the CDN. What is there already is not written again.
pub(crate) async fn ingest(media: &Media, asset: &Asset) -> Ingested {
    let stored = asset.keys().is_some();
    let known = match (&asset.source_etag, &asset.source_last_modified) {
        // Another picture is to be had, whatever the address's tag says.
        _ if !stored || asset.needs_update => Known::default(),
        (etag, at) => Known { etag: etag.as_deref(), last_modified: at.as_deref() },
    };
    let began = Instant::now();
    let fetched = media.foreign.get(&asset.source_url, known, MAX_BYTES).await;
    let (bytes, etag, last_modified, content_type) = match fetched {
        Ok(Fetched::Unchanged) => return Outcome::Unchanged.into(),
        Ok(Fetched::Body { bytes, etag, last_modified, content_type }) => {
            (bytes, etag, last_modified, content_type)
        }
        Err(error) => return not_fetched(&error, asset).into(),
    };
    let downloaded = began.elapsed();
    let source_sha256 = sha256_hex(&bytes);
    if stored && asset.source_sha256.as_deref() == Some(source_sha256.as_str()) {
        return Outcome::Unchanged.into();
    }
    let began = Instant::now();
    let decoded = match media.codecs.thumbnails(&bytes).await {
        Ok(decoded) => decoded,
        Err(fault) => return not_decoded(&fault).into(),
    };
    let decode_time = began.elapsed();
    let began = Instant::now();
    let original_size = bytes.len() as i64;
    drop(bytes);
    let objects = match store(media, asset, &decoded).await {
        Ok(objects) => objects,
        Err(error) => return not_stored(&error).into(),
    };
    let thumbnails = Thumbnails {
        source_etag: etag,
        source_last_modified: last_modified,
        source_content_type: content_type.map(|told| told.chars().take(100).collect()),
        source_sha256,
        cdn_paths: [objects[0].key.clone(), objects[1].key.clone()],
        sides: [0, 1].map(|at| {
            let image = &decoded.source.images[at];
            (image.width as i32, image.height as i32)
        }),
        original_width: decoded.source.width as i32,
        original_height: decoded.source.height as i32,
        original_format: decoded.source.format.as_str().to_owned(),
        original_size,
        download_time_ms: millis(downloaded),
        processing_time_ms: millis(decode_time),
        upload_time_ms: millis(began.elapsed()),
    };
    Ingested { outcome: Outcome::Stored(Box::new(thumbnails)), objects: objects.into() }
}

fn millis(time: Duration) -> i32 {
    time.as_millis() as i32
}

/// Stores both sizes and reads them back: what is not there as it was sent is not on the CDN.
async fn store(
    media: &Media,
    asset: &Asset,
    decoded: &Decoded,
) -> Result<[NewObject; 2], StorageError> {
    let one = async |at: usize| {
        let missing = || StorageError::Failed("the decoder left out a size".to_owned());
        let bytes = decoded.images.get(at).ok_or_else(missing)?;
        let sha256 = sha256_hex(bytes);
        let key = key(asset.profile_id, &asset.media_id, SIZES[at], &sha256);
        if !lies_there(media, &key, &sha256).await? {
            let bytes = Bytes::copy_from_slice(bytes);
            media.storage.put(&key, bytes, WEBP, IMMUTABLE).await?;
            if !lies_there(media, &key, &sha256).await? {
                return Err(StorageError::Failed(format!("{key} is not what was stored there")));
            }
        }
        Ok(NewObject {
            key,
            content_type: WEBP,
            cache_control: IMMUTABLE,
            size_bytes: bytes.len() as i64,
            sha256,
        })
    };
    let (small, large) = futures_util::future::try_join(one(0), one(1)).await?;
    Ok([small, large])
}

/// Whether what lies there is what its name says.
async fn lies_there(media: &Media, key: &str, sha256: &str) -> Result<bool, StorageError> {
    match media.storage.get(key).await {
        Ok(bytes) => Ok(sha256_hex(&bytes) == sha256),
        Err(StorageError::NotFound(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

fn not_fetched(error: &FetchError, asset: &Asset) -> Outcome {
    let failed = |code| Outcome::Failed { code, message: error.to_string() };
    let later = |code| Outcome::Later { code, message: error.to_string() };
    match error {
        FetchError::Refused(_) => failed("address_refused"),
        FetchError::TooLarge(_) => failed("image_too_large"),
        FetchError::Redirects(_) => failed("source_redirects"),
        // Addresses of the provider's pictures are signed, and good for some days.
        FetchError::Status(StatusCode::FORBIDDEN | StatusCode::GONE) if asset.refetches == 0 => {
            Outcome::Refetch
        }
        FetchError::Status(StatusCode::FORBIDDEN | StatusCode::GONE) => failed("source_expired"),
        FetchError::Status(StatusCode::NOT_FOUND) => failed("source_gone"),
        FetchError::Status(status)
            if status.is_server_error()
                || matches!(
                    *status,
                    StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
                ) =>
        {
            later("source_unavailable")
        }
        FetchError::Status(_) => failed("source_refused"),
        FetchError::TooSlow => later("source_too_slow"),
        FetchError::Unreachable(_) => later("source_unavailable"),
    }
}

fn not_decoded(fault: &CodecFault) -> Outcome {
    let message = fault.to_string();
    let code = match fault {
        CodecFault::NoProgram(_) => return Outcome::Later { code: "no_decoder", message },
        CodecFault::TooSlow => "image_too_slow",
        CodecFault::Crashed(_) => "decoder_crashed",
        CodecFault::Picture { code, .. } => word(code),
    };
    Outcome::Failed { code, message }
}

fn not_stored(error: &StorageError) -> Outcome {
    let code = match error {
        StorageError::Refused(_) => "storage_refused",
        StorageError::NotFound(_) | StorageError::Failed(_) => "storage_failed",
    };
    Outcome::Later { code, message: error.to_string() }
}
