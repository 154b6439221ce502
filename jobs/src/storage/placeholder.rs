//! Pictures that are shown where there is none yet: real ones, under keys of their own.

use bytes::Bytes;

use super::{IMMUTABLE, Storage, StorageError};

/// What a placeholder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placeholder {
    /// A creator.
    Avatar,
    /// A post.
    Post,
}

/// A new drawing needs a new folder: what lies under a key never changes.
const FOLDER: &str = "placeholders/1";

macro_rules! drawings {
    ($($name:literal),+) => {
        [$(($name, include_bytes!(concat!("../../data/placeholders/", $name)).as_slice())),+]
    };
}

const DRAWINGS: [(&str, &[u8]); 4] =
    drawings!["avatar-256.webp", "avatar-512.webp", "post-256.webp", "post-512.webp"];

impl Placeholder {
    /// Where it lies.
    pub fn key(self, size: u32) -> String {
        let name = match self {
            Self::Avatar => "avatar",
            Self::Post => "post",
        };
        format!("{FOLDER}/{name}-{size}.webp")
    }
}

/// The picture of such a key.
pub fn drawing(key: &str) -> Option<&'static [u8]> {
    let name = key.strip_prefix(FOLDER)?.strip_prefix('/')?;
    DRAWINGS.iter().find(|(known, _)| *known == name).map(|(_, bytes)| *bytes)
}

impl Storage {
    /// Puts the placeholders where a CDN before the storage finds them.
    ///
    /// # Errors
    /// When the storage does not take them.
    pub async fn put_placeholders(&self) -> Result<(), StorageError> {
        for (name, bytes) in DRAWINGS {
            let key = format!("{FOLDER}/{name}");
            if self.size(&key).await? != Some(bytes.len() as u64) {
                self.put(&key, Bytes::from_static(bytes), "image/webp", IMMUTABLE).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_placeholder_is_a_picture() {
        for size in [256, 512] {
            for placeholder in [Placeholder::Avatar, Placeholder::Post] {
                let bytes = drawing(&placeholder.key(size)).unwrap();
                assert!(bytes.starts_with(b"RIFF") && &bytes[8..12] == b"WEBP");
            }
        }
        assert_eq!(drawing("placeholders/1/../x"), None);
        assert_eq!(drawing("placeholders/2/avatar-256.webp"), None);
    }
}
