//! Files: thumbnails for the CDN, exports for users. A folder on one machine, a bucket (S3, R2) in
//! a cluster, behind one handle.
//!
//! What lies under a key never changes: keys name the content, or the run that wrote it. An object
//! is there whole or not at all.

mod placeholder;
mod settings;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use object_store::{
    Attribute, Attributes, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMultipartOptions,
    PutOptions, PutPayload, WriteMultipart, path::Path as Key,
};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

pub use placeholder::{Placeholder, drawing};
pub use settings::StorageSettings;

use crate::hex;

/// Others may keep it for ever: what lies under its key never changes.
pub const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// Only who asked may keep it.
pub const PRIVATE: &str = "private, no-store";

/// Parts of a large upload, in bytes; S3 wants at least 5 MiB.
const PART: usize = 8 << 20;
/// Parts under way at once.
const PARTS_AT_ONCE: usize = 2;

/// Why a file could not be stored or had.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Nothing lies there.
    #[error("nothing is stored under {0}")]
    NotFound(String),
    /// The bucket refuses our keys.
    #[error(
        "the storage refuses the farm's credentials: check S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY ({0})"
    )]
    Refused(String),
    /// It does not answer, or the disk is full: another time.
    #[error("the storage failed: {0}")]
    Failed(String),
}

impl StorageError {
    fn of(error: object_store::Error) -> Self {
        use object_store::Error::{NotFound, PermissionDenied, Unauthenticated};
        match error {
            NotFound { path, .. } => Self::NotFound(path),
            PermissionDenied { path, .. } | Unauthenticated { path, .. } => Self::Refused(path),
            other => Self::Failed(chain(&other)),
        }
    }
}

/// An error with what is behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

/// An object as the storage knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Where it lies.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// When it was written, epoch milliseconds by the storage's clock.
    pub modified_ms: i64,
}

/// An object's bytes, as they come.
pub type Body = futures_util::stream::BoxStream<'static, Result<Bytes, StorageError>>;

/// Where files lie.
#[derive(Clone)]
pub struct Storage {
    store: Arc<dyn ObjectStore>,
    /// A bucket keeps type and caching with the object; a folder cannot.
    keeps_attributes: bool,
    shown: Arc<str>,
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Storage({})", self.shown)
    }
}

impl std::fmt::Display for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Storage {
    /// Stores bytes.
    ///
    /// # Errors
    /// When the storage does not take them.
    pub async fn put(
        &self,
        key: &str,
        bytes: Bytes,
        content_type: &'static str,
        cache_control: &'static str,
    ) -> Result<(), StorageError> {
        let attributes = self.attributes(content_type, cache_control);
        let options = PutOptions { attributes, ..PutOptions::default() };
        let (key, payload) = (Key::from(key), PutPayload::from_bytes(bytes));
        let put = self.store.put_opts(&key, payload, options);
        put.await.map(drop).map_err(StorageError::of)
    }

    /// Stores a file of this machine from its beginning; large ones in parts. It is there when all
    /// of it is.
    ///
    /// # Errors
    /// When the file cannot be read or the storage does not take it.
    pub async fn put_file(
        &self,
        key: &str,
        file: std::fs::File,
        content_type: &'static str,
    ) -> Result<(), StorageError> {
        let unread = |error: std::io::Error| StorageError::Failed(error.to_string());
        let mut file = tokio::fs::File::from_std(file);
        file.rewind().await.map_err(unread)?;
        if file.metadata().await.map_err(unread)?.len() <= PART as u64 {
            let mut bytes = vec![];
            file.read_to_end(&mut bytes).await.map_err(unread)?;
            return self.put(key, bytes.into(), content_type, PRIVATE).await;
        }
        let attributes = self.attributes(content_type, PRIVATE);
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        let key = Key::from(key);
        let upload = self.store.put_multipart_opts(&key, options);
        let mut upload =
            WriteMultipart::new_with_chunk_size(upload.await.map_err(StorageError::of)?, PART);
        let mut part = vec![0; 1 << 20];
        loop {
            let read = file.read(&mut part).await;
            let done = match read {
                Ok(0) => break,
                Ok(n) => {
                    upload.write(&part[..n]);
                    upload.wait_for_capacity(PARTS_AT_ONCE).await.map_err(StorageError::of)
                }
                Err(error) => Err(unread(error)),
            };
            if let Err(error) = done {
                // Half of it must not lie there and cost.
                let _ = upload.abort().await;
                return Err(error);
            }
        }
        upload.finish().await.map(drop).map_err(StorageError::of)
    }

    fn attributes(&self, content_type: &'static str, cache_control: &'static str) -> Attributes {
        let mut attributes = Attributes::new();
        if self.keeps_attributes {
            attributes.insert(Attribute::ContentType, content_type.into());
            attributes.insert(Attribute::CacheControl, cache_control.into());
        }
        attributes
    }

    /// The bytes of an object, all of them: for small ones.
    ///
    /// # Errors
    /// When nothing lies there or it cannot be read.
    pub async fn get(&self, key: &str) -> Result<Bytes, StorageError> {
        let got = self.store.get(&Key::from(key)).await.map_err(StorageError::of)?;
        got.bytes().await.map_err(StorageError::of)
    }

    /// The bytes of an object as they come, or of a part of it.
    ///
    /// # Errors
    /// When nothing lies there or it cannot be read.
    pub async fn read(&self, key: &str, part: Option<Range<u64>>) -> Result<Body, StorageError> {
        let options = GetOptions { range: part.map(GetRange::Bounded), ..GetOptions::default() };
        let got = self.store.get_opts(&Key::from(key), options).await.map_err(StorageError::of)?;
        Ok(got.into_stream().map_err(StorageError::of).boxed())
    }

    /// Size of an object in bytes; `None` when nothing lies there.
    ///
    /// # Errors
    /// When the storage cannot be asked.
    pub async fn size(&self, key: &str) -> Result<Option<u64>, StorageError> {
        match self.store.head(&Key::from(key)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(StorageError::of(error)),
        }
    }

    /// Removes an object; one that is not there is no error.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub async fn delete(&self, key: &str) -> Result<(), StorageError> {
        match self.store.delete(&Key::from(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(StorageError::of(error)),
        }
    }

    /// Every object whose key begins with `prefix`, a folder.
    pub fn list(&self, prefix: &str) -> impl Stream<Item = Result<Listed, StorageError>> + use<> {
        let listed = self.store.list(Some(&Key::from(prefix)));
        listed.map_err(StorageError::of).map_ok(|meta| Listed {
            key: meta.location.to_string(),
            size: meta.size,
            modified_ms: meta.last_modified.timestamp_millis(),
        })
    }
}

/// SHA-256 of bytes, in hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Storage) {
        let dir = tempfile::tempdir().unwrap();
        let storage = Storage::folder(dir.path()).unwrap();
        (dir, storage)
    }

    #[tokio::test]
    async fn what_was_put_is_had_again_in_whole_and_in_part() {
        let (_dir, storage) = folder();
        let key = "th/ig/a/b/256/0123.webp";
        assert_eq!(storage.size(key).await.unwrap(), None);
        assert!(matches!(storage.get(key).await, Err(StorageError::NotFound(_))));
        storage.put(key, Bytes::from_static(b"0123456789"), "image/webp", IMMUTABLE).await.unwrap();
        assert_eq!(storage.size(key).await.unwrap(), Some(10));
        assert_eq!(storage.get(key).await.unwrap(), "0123456789");
        let part: Vec<Bytes> =
            storage.read(key, Some(2..5)).await.unwrap().try_collect().await.unwrap();
        assert_eq!(part.concat(), b"234");
        let listed: Vec<Listed> = storage.list("th").try_collect().await.unwrap();
        assert_eq!((listed.len(), listed[0].key.as_str(), listed[0].size), (1, key, 10));
        storage.delete(key).await.unwrap();
        storage.delete(key).await.unwrap();
        assert_eq!(storage.size(key).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_large_file_goes_in_parts_and_arrives_whole() {
        let (dir, storage) = folder();
        let path = dir.path().join("large");
        let bytes: Vec<u8> = (0..PART * 2 + 12_345).map(|n| (n % 251) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        storage.put_file("exports/a.csv", file, "text/csv").await.unwrap();
        assert_eq!(sha256_hex(&storage.get("exports/a.csv").await.unwrap()), sha256_hex(&bytes));
    }

    #[tokio::test]
    async fn keys_do_not_leave_the_folder() {
        let (dir, storage) = folder();
        std::fs::write(dir.path().parent().unwrap().join("outside-of-it"), "x").unwrap();
        assert!(storage.get("../outside-of-it").await.is_err());
        let _ = std::fs::remove_file(dir.path().parent().unwrap().join("outside-of-it"));
    }
}
