//! Files over HTTP: thumbnails for everybody under `/cdn`, exports for who has their link. Parts
//! (`Range`), tags, and bytes that go through without being held.

use std::ops::Range;

use bytes::Bytes;
use entity::stored_object::StoredObject;
use futures_util::{StreamExt, TryStreamExt, stream};
use jobs::Storage;
use jobs::storage::{IMMUTABLE, StorageError, drawing, sha256_hex};
use poem::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use poem::{Body, Request, Response};
use url::Url;

use crate::problem::Problem;
use crate::query::none_match;
use crate::state::AppState;

/// Where files lie, and where the world finds thumbnails.
#[derive(Clone, Debug)]
pub struct Files {
    /// Thumbnails and exports.
    pub storage: Storage,
    /// `CDN_PUBLIC_URL`, without a slash at its end.
    base: String,
}

impl Files {
    /// Files of this storage, thumbnails of which the world finds below `base`.
    pub fn new(storage: Storage, base: &Url) -> Self {
        Self { storage, base: base.as_str().trim_end_matches('/').to_owned() }
    }

    /// Where the world finds thumbnails.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Where the world finds this one.
    pub fn url(&self, key: &str) -> String {
        format!("{}/{key}", self.base)
    }
}

/// `GET /cdn/{key}`: a thumbnail or a placeholder, to anybody. Nothing else is found there, whatever
/// lies in the storage.
pub(crate) async fn cdn(state: &AppState, request: &Request) -> Result<Response, Problem> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Problem::method_not_allowed());
    }
    let missing = || Problem::not_found("no_such_picture", "no picture has this address");
    let key = request.uri().path().strip_prefix("/cdn/").ok_or_else(missing)?;
    if let Some(bytes) = drawing(key) {
        let object = StoredObject {
            key: key.to_owned(),
            content_type: "image/webp".to_owned(),
            cache_control: IMMUTABLE.to_owned(),
            size_bytes: bytes.len() as i64,
            sha256: sha256_hex(bytes),
            created_at: entity::Time(0),
        };
        return answer(request, &object, Source::Held(Bytes::from_static(bytes))).await;
    }
    // Keys hold no letter that a URL would write otherwise.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte);
    if !key.starts_with("th/") || key.len() > 300 || !key.bytes().all(plain) {
        return Err(missing());
    }
    let object = state.object(key).await?.ok_or_else(missing)?;
    answer(request, &object, Source::Stored(&state.files.storage)).await
}

/// Where the bytes are.
pub(crate) enum Source<'a> {
    /// In memory.
    Held(Bytes),
    /// In the storage, under the object's key.
    Stored(&'a Storage),
}

/// What of an object is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Whole,
    Some(Range<u64>),
    /// Behind its end.
    Nothing,
}

/// The object, the part of it that is asked for, or that it has not changed.
pub(crate) async fn answer(
    request: &Request,
    object: &StoredObject,
    source: Source<'_>,
) -> Result<Response, Problem> {
    let size = object.size_bytes.max(0) as u64;
    let etag = format!("\"{}\"", object.sha256.get(..32).unwrap_or(&object.sha256));
    let known = text(request.headers(), &header::IF_NONE_MATCH);
    let builder = Response::builder()
        .header(header::ETAG, &etag)
        .header(header::CACHE_CONTROL, &object.cache_control)
        .header(header::ACCEPT_RANGES, "bytes");
    if none_match(known, &etag) {
        return Ok(builder.status(StatusCode::NOT_MODIFIED).finish());
    }
    let builder = builder.content_type(&object.content_type);
    let (builder, part) = match part(request.headers(), size, &etag) {
        Part::Whole => (builder, 0..size),
        Part::Some(part) => {
            let told = format!("bytes {}-{}/{size}", part.start, part.end - 1);
            let builder = builder.status(StatusCode::PARTIAL_CONTENT);
            (builder.header(header::CONTENT_RANGE, told), part)
        }
        Part::Nothing => {
            let rule = format!("Range: must lie within the file's {size} bytes");
            return Err(Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "range", rule)
                .with("field", "Range")
                .header("Content-Range", format!("bytes */{size}")));
        }
    };
    let length = part.end - part.start;
    let builder = builder.header(header::CONTENT_LENGTH, length);
    if *request.method() == Method::HEAD {
        return Ok(builder.finish());
    }
    let body = match source {
        Source::Held(bytes) => {
            Body::from_bytes(bytes.slice(part.start as usize..part.end as usize))
        }
        Source::Stored(storage) => stored(storage, &object.key, part, size).await?,
    };
    Ok(builder.body(body))
}

/// Reads the first bytes before anything is answered: a file that is gone, or a storage that is
/// away, must not begin as a success.
async fn stored(
    storage: &Storage,
    key: &str,
    part: Range<u64>,
    size: u64,
) -> Result<Body, Problem> {
    if part.is_empty() {
        return Ok(Body::empty());
    }
    let whole = part == (0..size);
    let mut bytes = storage.read(key, (!whole).then_some(part)).await?;
    let first = bytes.try_next().await?.unwrap_or_default();
    let rest = bytes.map_err(std::io::Error::other);
    let bytes = stream::once(async { Ok(first) }).chain(rest);
    Ok(Body::from_bytes_stream(bytes))
}

impl From<StorageError> for Problem {
    fn from(error: StorageError) -> Self {
        if let StorageError::NotFound(_) = error {
            return Self::not_found("file_gone", "the file is not there any more");
        }
        tracing::error!(%error, "a file could not be read");
        let detail = "files cannot be read at the moment; try again shortly";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "storage_unavailable", detail)
            .header("Retry-After", "5")
    }
}

/// The part that is asked for (RFC 9110, 14): one range of bytes. Several, or what cannot be read,
/// or a tag of another version, means the whole.
fn part(headers: &HeaderMap, size: u64, etag: &str) -> Part {
    let range = text(headers, &header::RANGE);
    let other = text(headers, &header::IF_RANGE).is_some_and(|tag| tag != etag);
    let Some(range) = range.and_then(|range| range.strip_prefix("bytes=")).filter(|_| !other)
    else {
        return Part::Whole;
    };
    let Some((from, to)) = range.split_once('-').filter(|(_, to)| !to.contains(',')) else {
        return Part::Whole;
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let (start, end) = match (from.trim().is_empty(), number(from), number(to)) {
        // The last so many bytes.
        (true, _, Some(last)) if last > 0 => (size.saturating_sub(last), size),
        (true, _, Some(_)) => return Part::Nothing,
        (false, Some(start), Some(last)) if last >= start => (start, last.saturating_add(1)),
        (false, Some(start), None) if to.trim().is_empty() => (start, size),
        _ => return Part::Whole,
    };
    if start >= size { Part::Nothing } else { Part::Some(start..end.min(size)) }
}

fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name).map(HeaderValue::to_str)?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(range: &str, if_range: Option<&str>) -> Part {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, range.parse().unwrap());
        if let Some(tag) = if_range {
            headers.insert(header::IF_RANGE, tag.parse().unwrap());
        }
        part(&headers, 100, "\"a\"")
    }

    #[test]
    fn parts_are_read_as_the_rule_says() {
        for (range, part) in [
            ("bytes=0-9", Part::Some(0..10)),
            ("bytes=90-", Part::Some(90..100)),
            ("bytes=90-1000", Part::Some(90..100)),
            ("bytes=-10", Part::Some(90..100)),
            ("bytes=-1000", Part::Some(0..100)),
            ("bytes=100-", Part::Nothing),
            ("bytes=-0", Part::Nothing),
            ("bytes=9-0", Part::Whole),
            ("bytes=0-1,5-6", Part::Whole),
            ("bytes=x-y", Part::Whole),
            ("bytes=", Part::Whole),
            ("lines=0-1", Part::Whole),
            ("bytes=0-18446744073709551615", Part::Some(0..100)),
        ] {
            assert_eq!(asked(range, None), part, "{range}");
        }
        assert_eq!(asked("bytes=0-9", Some("\"a\"")), Part::Some(0..10));
        assert_eq!(asked("bytes=0-9", Some("\"b\"")), Part::Whole, "of another version");
    }
}
