//! What a pull knows of the files it put into a folder: for those that the registry does not pin,
//! their size and checksum, taken from what the host says of the revision.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::StoreError;
use super::model::{File, Pin};

/// Beside the files of a checkpoint.
pub(super) const NAME: &str = "pulled.toml";

/// Size and checksum of each file that was checked, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pulled(pub BTreeMap<String, Pin>);

impl Pulled {
    /// What is kept in a folder; empty when nothing is.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(NAME);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(StoreError::io(path)(error)),
        };
        toml::from_str(&text).map_err(|error| StoreError::Unreadable {
            from: path.display().to_string(),
            line: error.span().map(|span| 1 + text[..span.start].matches('\n').count()),
            message: error.message().lines().collect::<Vec<_>>().join(" "),
        })
    }

    /// What a file's content must be: the registry's pin, else what the pull knows.
    pub fn of<'a>(&'a self, file: &'a File) -> Option<&'a Pin> {
        file.pin.as_ref().or_else(|| self.0.get(&file.name))
    }

    /// Keeps it in a folder, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), StoreError> {
        let path = folder.join(NAME);
        let text = toml::to_string(self).map_err(|error| StoreError::Unreadable {
            from: path.display().to_string(),
            line: None,
            message: error.to_string(),
        })?;
        let new = folder.join(format!("{NAME}.part"));
        std::fs::write(&new, text).map_err(StoreError::io(&new))?;
        std::fs::rename(&new, &path).map_err(StoreError::io(path))
    }
}
