//! Why a net cannot be loaded or asked.

use std::io;
use std::path::{Path, PathBuf};

use tch::TchError;

/// What went wrong, with the file and what to look at in it.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The file is not there, or cannot be read.
    #[error("{}: cannot be read: {source}", file.display())]
    Read {
        /// Which file.
        file: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// The file is no safetensors file, or a damaged one.
    #[error("{}: not a whole safetensors file: {reason}", file.display())]
    Header {
        /// Which file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file lacks a tensor that the net needs.
    #[error("{}: there is no tensor {tensor}", file.display())]
    Missing {
        /// Which file.
        file: PathBuf,
        /// The full name that was looked for.
        tensor: String,
    },
    /// A tensor is not what the configuration says.
    #[error("{}: tensor {tensor} is {found}, not {expected}", file.display())]
    Tensor {
        /// Which file.
        file: PathBuf,
        /// Its full name.
        tensor: String,
        /// Shape or kind of number, from the file.
        found: String,
        /// Shape or kind of number that the net needs.
        expected: String,
    },
    /// `config.json` is unreadable, or asks for something that is not supported.
    #[error("{}: {reason}", file.display())]
    Config {
        /// Which file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A tokenizer's file is unreadable.
    #[error("{}: {reason}", file.display())]
    Vocabulary {
        /// Which file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The nets need more memory than is free.
    #[error("the models need {needed} bytes of memory, and {available} are free")]
    Memory {
        /// Bytes that the nets will occupy.
        needed: u64,
        /// Bytes that can still be had.
        available: u64,
    },
    /// libtorch refused.
    #[error("libtorch: {}", first_line(.0))]
    Torch(#[from] TchError),
}

impl NetError {
    pub(super) fn read(file: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Read { file: file.to_owned(), source }
    }

    pub(crate) fn config(file: &Path, reason: impl Into<String>) -> Self {
        Self::Config { file: file.to_owned(), reason: reason.into() }
    }

    pub(super) fn vocabulary(file: &Path, reason: impl Into<String>) -> Self {
        Self::Vocabulary { file: file.to_owned(), reason: reason.into() }
    }
}

/// libtorch sends its stack along.
fn first_line(error: &TchError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
