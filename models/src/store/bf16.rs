//! Copies of weights in bfloat16, made once: half the memory, and what some CPUs are faster with.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::StoreError;

/// Longest header that is read; the format's own limit.
const LONGEST_HEADER: u64 = 100_000_000;
/// Bytes converted at once; whole numbers of every element.
const PIECE: u64 = 1 << 20;
/// Metadata of a copy: the checksum of the weights it was made from.
const SOURCE: &str = "source";
const METADATA: &str = "__metadata__";

/// One tensor in the header of a safetensors file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Tensor {
    dtype: String,
    shape: Vec<u64>,
    /// First byte and the one after the last, counted from the end of the header.
    data_offsets: (u64, u64),
}

/// Header of a safetensors file.
struct Header {
    tensors: BTreeMap<String, Tensor>,
    metadata: BTreeMap<String, String>,
    /// Where the first tensor begins in the file.
    data: u64,
}

/// Where the copy of some weights is kept: `model.bf16.safetensors` beside `model.safetensors`.
pub(super) fn place(weights: &Path) -> PathBuf {
    weights.with_extension("bf16.safetensors")
}

/// Whether `copy` was made from weights with this SHA-256.
pub(super) fn is_of(copy: &Path, weights_sha256: &str) -> bool {
    let source = |header: Header| header.metadata.get(SOURCE).cloned();
    File::open(copy)
        .map_err(StoreError::io(copy))
        .and_then(|mut file| read_header(copy, &mut file))
        .is_ok_and(|header| source(header).as_deref() == Some(weights_sha256))
}

/// Writes the copy: tensors of 32-bit floats rounded to the nearest bfloat16, ties to even; others
/// as they are. The file gets its name when it is whole.
pub(super) fn copy(weights: &Path, weights_sha256: &str) -> Result<PathBuf, StoreError> {
    let mut from = File::open(weights).map_err(StoreError::io(weights))?;
    let header = read_header(weights, &mut from)?;

    // Larger elements first, so that every tensor lies on a multiple of its element's size.
    let mut order: Vec<(&String, &Tensor)> = header.tensors.iter().collect();
    order.sort_by_key(|(_, tensor)| (narrows(tensor), tensor.data_offsets.0));
    let mut written = BTreeMap::new();
    let mut end = 0;
    for (name, tensor) in &order {
        let bytes = tensor.data_offsets.1 - tensor.data_offsets.0;
        let (dtype, bytes) =
            if narrows(tensor) { ("BF16", bytes / 2) } else { (tensor.dtype.as_str(), bytes) };
        let tensor = Tensor {
            dtype: dtype.to_owned(),
            shape: tensor.shape.clone(),
            data_offsets: (end, end + bytes),
        };
        end += bytes;
        written.insert((*name).clone(), tensor);
    }
    let mut metadata = header.metadata.clone();
    metadata.insert(SOURCE.to_owned(), weights_sha256.to_owned());

    let path = place(weights);
    let new = path.with_extension("part");
    let io = || StoreError::io(&new);
    let mut to = BufWriter::new(File::create(&new).map_err(io())?);
    to.write_all(&header_bytes(&new, written, &metadata)?).map_err(io())?;
    let mut piece = vec![0; PIECE as usize];
    for (_, tensor) in order {
        let (begin, end) = tensor.data_offsets;
        from.seek(SeekFrom::Start(header.data + begin)).map_err(StoreError::io(weights))?;
        let mut left = end - begin;
        while left > 0 {
            let piece = &mut piece[..left.min(PIECE) as usize];
            from.read_exact(piece).map_err(StoreError::io(weights))?;
            let bytes = if narrows(tensor) { narrowed(piece) } else { piece };
            to.write_all(bytes).map_err(io())?;
            left -= left.min(PIECE);
        }
    }
    let file = to.into_inner().map_err(std::io::IntoInnerError::into_error).map_err(io())?;
    file.sync_all().map_err(io())?;
    std::fs::rename(&new, &path).map_err(StoreError::io(&path))?;
    Ok(path)
}

fn narrows(tensor: &Tensor) -> bool {
    tensor.dtype == "F32"
}

/// Rounds 32-bit floats in place; the first half of the piece holds the result.
fn narrowed(piece: &mut [u8]) -> &[u8] {
    let floats = piece.len() / 4;
    for at in 0..floats {
        let bits = u32::from_le_bytes([
            piece[4 * at],
            piece[4 * at + 1],
            piece[4 * at + 2],
            piece[4 * at + 3],
        ]);
        piece[2 * at..2 * at + 2].copy_from_slice(&rounded(bits).to_le_bytes());
    }
    &piece[..2 * floats]
}

/// The bfloat16 nearest to a float, as bits.
fn rounded(bits: u32) -> u16 {
    if f32::from_bits(bits).is_nan() {
        // Rounding could carry a NaN into infinity; a quiet one stays one.
        return (bits >> 16) as u16 | 0x40;
    }
    let to_even = 0x7fff + ((bits >> 16) & 1);
    ((bits + to_even) >> 16) as u16
}

fn header_bytes(
    path: &Path,
    tensors: BTreeMap<String, Tensor>,
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>, StoreError> {
    let wrong = |error: serde_json::Error| not_safetensors(path, error.to_string());
    let mut header: BTreeMap<String, Value> = BTreeMap::new();
    header.insert(METADATA.to_owned(), serde_json::to_value(metadata).map_err(wrong)?);
    for (name, tensor) in tensors {
        header.insert(name, serde_json::to_value(tensor).map_err(wrong)?);
    }
    let mut json = serde_json::to_vec(&header).map_err(wrong)?;
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.append(&mut json);
    Ok(bytes)
}

fn read_header(path: &Path, file: &mut File) -> Result<Header, StoreError> {
    let wrong = |why: &str| not_safetensors(path, why.to_owned());
    let size = file.metadata().map_err(StoreError::io(path))?.len();
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|_| wrong("it is too short"))?;
    let length = u64::from_le_bytes(length);
    if length > LONGEST_HEADER || size < 8 + length {
        return Err(wrong("its header is longer than it may be"));
    }
    let mut json = vec![0; length as usize];
    file.read_exact(&mut json).map_err(StoreError::io(path))?;
    let mut fields: BTreeMap<String, Value> =
        serde_json::from_slice(&json).map_err(|error| wrong(&format!("its header: {error}")))?;
    let metadata = match fields.remove(METADATA) {
        Some(map) => serde_json::from_value(map).map_err(|_| wrong("its metadata is no map"))?,
        None => BTreeMap::new(),
    };
    let data = 8 + length;
    let mut tensors = BTreeMap::new();
    for (name, value) in fields {
        let tensor: Tensor = serde_json::from_value(value)
            .map_err(|error| wrong(&format!("tensor {name}: {error}")))?;
        let (begin, end) = tensor.data_offsets;
        let floats = tensor.shape.iter().try_fold(4_u64, |all, n| all.checked_mul(*n));
        let bytes = end.checked_sub(begin).filter(|_| end <= size - data);
        if bytes.is_none() || (narrows(&tensor) && bytes != floats) {
            return Err(wrong(&format!("tensor {name} lies where it cannot")));
        }
        tensors.insert(name, tensor);
    }
    Ok(Header { tensors, metadata, data })
}

fn not_safetensors(path: &Path, why: String) -> StoreError {
    StoreError::NotSafetensors { path: path.to_path_buf(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_rounded_to_the_nearest_ties_to_even() {
        for (float, want) in [
            (0.0_f32, 0x0000),
            (-0.0, 0x8000),
            (1.0, 0x3f80),
            (-2.0, 0xc000),
            // Between 1 and 1 + 2^-7: below, at and above the middle.
            (1.0 + 0.25 / 128.0, 0x3f80),
            (1.0 + 0.5 / 128.0, 0x3f80),
            (1.0 + 0.75 / 128.0, 0x3f81),
            // The middle above an odd one goes up.
            (1.0 + 1.5 / 128.0, 0x3f82),
            (f32::INFINITY, 0x7f80),
            (f32::MAX, 0x7f80),
            (f32::MIN_POSITIVE / 2.0, 0x0040),
        ] {
            assert_eq!(rounded(float.to_bits()), want, "{float}");
        }
        for nan in [0x7f80_0001_u32, 0xffff_ffff] {
            assert!(f32::from_bits(u32::from(rounded(nan)) << 16).is_nan());
        }
    }

    #[test]
    fn a_copy_holds_the_same_tensors_at_half_the_size_and_names_its_source() {
        let folder = tempfile::tempdir().unwrap();
        let weights = folder.path().join("model.safetensors");
        let header = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"n":{"dtype":"I64","shape":[1],"data_offsets":[8,16]},"__metadata__":{"format":"pt"}}"#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend([1.5_f32, -3.0].iter().flat_map(|float| float.to_le_bytes()));
        bytes.extend(7_i64.to_le_bytes());
        std::fs::write(&weights, &bytes).unwrap();

        let copied = copy(&weights, "abc").unwrap();
        assert_eq!(copied, folder.path().join("model.bf16.safetensors"));
        assert!(is_of(&copied, "abc") && !is_of(&copied, "abd"));
        let header = read_header(&copied, &mut File::open(&copied).unwrap()).unwrap();
        assert_eq!(header.metadata["format"], "pt");
        assert_eq!(header.data % 8, 0);
        let file = std::fs::read(&copied).unwrap();
        let of = |name: &str| {
            let (begin, end) = header.tensors[name].data_offsets;
            &file[(header.data + begin) as usize..(header.data + end) as usize]
        };
        assert_eq!(
            (header.tensors["a"].dtype.as_str(), of("a")),
            ("BF16", &[0xc0, 0x3f, 0x40, 0xc0][..])
        );
        assert_eq!(
            (header.tensors["n"].dtype.as_str(), of("n")),
            ("I64", &7_i64.to_le_bytes()[..])
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing half is left");
    }

    #[test]
    fn what_is_no_safetensors_file_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let weights = folder.path().join("w.safetensors");
        let with = |header: &str, data: &[u8]| {
            let length = (header.len() as u64).to_le_bytes();
            [&length[..], header.as_bytes(), data].concat()
        };
        for (bytes, words) in [
            (b"PK".to_vec(), "too short"),
            (u64::MAX.to_le_bytes().to_vec(), "longer than it may be"),
            (with("{", b""), "its header"),
            (
                with(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, b""),
                "tensor a lies",
            ),
            (
                with(r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, &[0; 8]),
                "tensor a lies",
            ),
            (
                with(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, &[0; 8]),
                "tensor a lies",
            ),
            (with(r#"{"a":{"dtype":"F32","shape":[2]}}"#, &[0; 8]), "tensor a: missing field"),
        ] {
            std::fs::write(&weights, bytes).unwrap();
            let refused = copy(&weights, "abc").unwrap_err().to_string();
            assert!(refused.contains(words) && refused.contains("w.safetensors"), "{refused}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
