//! What can be wrong with the models on a machine: each as one sentence.

use std::io;
use std::path::PathBuf;

/// Why a model cannot be used as it is.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The registry is no TOML, or has a field too many or too few.
    #[error("{from}{}: {message}", line.map(|line| format!(", line {line}")).unwrap_or_default())]
    Unreadable {
        /// Which file.
        from: String,
        /// Line in it, from 1.
        line: Option<usize>,
        /// What the parser says.
        message: String,
    },
    /// A field of the registry breaks its rule.
    #[error("{from}: {field} of {model} {rule}")]
    Field {
        /// Which file.
        from: String,
        /// The entry: its task, or its repository.
        model: String,
        /// The field.
        field: String,
        /// What it must be.
        rule: String,
    },
    /// A file of a model is not on this machine.
    #[error("{file} of {repository} is missing in {}", folder.display())]
    Missing {
        /// Whose.
        repository: String,
        /// Its name.
        file: String,
        /// Where it should be.
        folder: PathBuf,
    },
    /// A file has another length than the pinned one.
    #[error("{} has {is} bytes instead of {want}", path.display())]
    WrongSize {
        /// The file.
        path: PathBuf,
        /// Bytes it must have.
        want: u64,
        /// Bytes it has.
        is: u64,
    },
    /// A file has another content than the pinned one.
    #[error("{} has sha256 {is} instead of {want}", path.display())]
    WrongSum {
        /// The file.
        path: PathBuf,
        /// SHA-256 it must have, hex.
        want: String,
        /// SHA-256 it has, hex.
        is: String,
    },
    /// The weights are no safetensors file.
    #[error("{} is not a safetensors file: {why}", path.display())]
    NotSafetensors {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The disk refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// On which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl StoreError {
    /// For `map_err`: on which file the disk refused.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
