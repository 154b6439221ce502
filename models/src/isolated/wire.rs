//! What the two processes say: JSON, a line each. The captions of a batch go there, [`Said`] comes
//! back.

use std::io::{self, BufRead, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::analysis::{Analysis, ModelId, Offence};
use crate::engine::LoadError;

/// Longest line, in bytes: many times what the largest batch takes.
const MOST: u64 = 64 << 20;

/// What the process says of itself.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Said {
    /// So much is loaded, in percent.
    Progress(u8),
    /// It is ready.
    Loaded {
        /// Who answers.
        models: Vec<ModelId>,
        /// Bytes of weights.
        bytes: u64,
    },
    /// It cannot be, and ends.
    NotLoaded(LoadError),
    /// To the last batch.
    Answers(Vec<Result<Analysis, Offence>>),
    /// The analyzer panicked on the last batch.
    Panicked,
}

/// The next line; `None` at the end.
pub(super) fn read<T: DeserializeOwned>(from: &mut impl BufRead) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    from.by_ref().take(MOST).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&line).map(Some).map_err(io::Error::from)
}

pub(super) fn write(to: &mut impl Write, what: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    to.write_all(&line)?;
    to.flush()
}
