//! Checksums of files, read in pieces.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::StoreError;

/// Bytes read at once: large enough that hashing is what takes the time.
const PIECE: usize = 1 << 20;

/// SHA-256 of a file, hex. Takes about a second for two gigabytes: not for an async thread.
///
/// # Errors
/// When the file cannot be read.
pub fn sha256(path: &Path) -> Result<String, StoreError> {
    let mut file = File::open(path).map_err(StoreError::io(path))?;
    let mut piece = vec![0; PIECE];
    let mut hash = Sha256::new();
    loop {
        match file.read(&mut piece).map_err(StoreError::io(path))? {
            0 => return Ok(hex(&hash.finalize())),
            read => hash.update(&piece[..read]),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
