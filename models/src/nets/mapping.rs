//! Weight files as memory: the one place of the crate with unsafe code.
//!
//! A mapped file is shared by every thread and process that maps it, costs no copy, and its pages
//! can be dropped by the system when memory is short. Two promises make it sound:
//! - a mapping lives as long as the process ([`map`] never unmaps), so a tensor over it never
//!   dangles. Files are mapped once: loading the same file again costs nothing;
//! - files of weights are replaced by renaming, never written in place. Whoever truncates one while
//!   it is mapped ends the process (SIGBUS), as with any mapped library.
//!
//! Nothing writes through these tensors: the nets only read their weights, and a write would fault,
//! the mapping being read-only.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use memmap2::Mmap;
use tch::{Device, Kind, Tensor};

use super::error::NetError;

/// Tells one content of a path from the next.
#[derive(PartialEq, Eq, Hash)]
struct Content {
    file: PathBuf,
    bytes: u64,
    modified: Option<SystemTime>,
    inode: u64,
}

/// The bytes of a file, mapped into memory for the rest of the process's life.
pub(super) fn map(file: &Path) -> Result<&'static [u8], NetError> {
    static MAPPED: OnceLock<Mutex<HashMap<Content, &'static Mmap>>> = OnceLock::new();

    let path = file.canonicalize().map_err(NetError::read(file))?;
    let opened = File::open(&path).map_err(NetError::read(file))?;
    let about = opened.metadata().map_err(NetError::read(file))?;
    let content = Content {
        file: path,
        bytes: about.len(),
        modified: about.modified().ok(),
        inode: inode(&about),
    };
    let mut mapped =
        MAPPED.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(map) = mapped.get(&content) {
        return Ok(map);
    }
    // SAFETY: the file is not written in place while it is mapped (see the module's promises).
    #[allow(unsafe_code)]
    let map = unsafe { Mmap::map(&opened) }.map_err(NetError::read(file))?;
    let map: &'static Mmap = Box::leak(Box::new(map));
    mapped.insert(content, map);
    Ok(map)
}

#[cfg(unix)]
fn inode(about: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(about)
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> u64 {
    0
}

/// A tensor over bytes that stay where they are. `None` when the bytes are not exactly those of the
/// shape, or not aligned for the kind of number: such tensors have to be copied.
pub(super) fn tensor(
    bytes: &'static [u8],
    shape: &[i64],
    kind: Kind,
) -> Option<Result<Tensor, tch::TchError>> {
    let width = kind.elt_size_in_bytes();
    let numbers =
        shape.iter().try_fold(1_usize, |n, side| n.checked_mul(usize::try_from(*side).ok()?))?;
    if numbers.checked_mul(width)? != bytes.len() || bytes.as_ptr().align_offset(width) != 0 {
        return None;
    }
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    // SAFETY: the bytes live for ever, hold exactly `shape` numbers of `kind`, contiguous as the
    // strides say and aligned, and every bit pattern is a number of `kind`.
    #[allow(unsafe_code)]
    let tensor = unsafe { Tensor::f_from_blob(bytes.as_ptr(), shape, &strides, kind, Device::Cpu) };
    Some(tensor)
}
