//! The safetensors format: eight bytes of header length, a JSON header, the numbers.
//!
//! The header comes from outside, so every length in it is checked before it is used.

use std::collections::HashMap;
use std::ops::Range;

use serde::Deserialize;
use tch::Kind;

/// The format's own limit of the header: 100 MB.
const MOST_HEADER: u64 = 100_000_000;

/// Where a tensor lies in its file, and what it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub kind: Kind,
    pub shape: Vec<i64>,
    /// Within the whole file.
    pub bytes: Range<usize>,
}

/// As it stands in the header.
#[derive(Deserialize)]
struct Written {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// Reads the header of a whole file; the sentence says what is wrong with it.
pub(super) fn entries(file: &[u8]) -> Result<HashMap<String, Entry>, String> {
    let length = file.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes));
    let length = length.ok_or("it is shorter than 8 bytes")?;
    if length > MOST_HEADER {
        return Err(format!("its header would be {length} bytes long"));
    }
    let start = 8 + length as usize;
    let header = file.get(8..start).ok_or("it ends within its header")?;
    let header: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(header).map_err(|e| format!("its header is no JSON object: {e}"))?;
    let mut entries = HashMap::with_capacity(header.len());
    for (name, written) in header {
        if name == "__metadata__" {
            continue;
        }
        let entry = entry(written, start, file.len()).map_err(|why| format!("{name}: {why}"))?;
        entries.insert(name, entry);
    }
    Ok(entries)
}

fn entry(written: serde_json::Value, start: usize, end: usize) -> Result<Entry, String> {
    let Written { dtype, shape, data_offsets: (from, to) } =
        serde_json::from_value(written).map_err(|e| e.to_string())?;
    let kind = kind(&dtype).ok_or_else(|| format!("numbers of kind {dtype} are not supported"))?;
    let within = |at: u64| {
        let at = usize::try_from(at).ok()?.checked_add(start)?;
        (at <= end).then_some(at)
    };
    let (Some(from), Some(to)) = (within(from), within(to)) else {
        return Err("it lies beyond the end of the file".to_owned());
    };
    let width = kind.elt_size_in_bytes() as u64;
    let bytes = shape.iter().try_fold(width, |n, side| n.checked_mul(*side));
    if bytes.is_none_or(|bytes| to.checked_sub(from).is_none_or(|n| n as u64 != bytes)) {
        return Err(format!("its place does not fit {dtype} numbers of shape {shape:?}"));
    }
    let shape = shape.iter().map(|side| i64::try_from(*side)).collect::<Result<_, _>>();
    let shape = shape.map_err(|e| e.to_string())?;
    Ok(Entry { kind, shape, bytes: from..to })
}

const KINDS: [(&str, Kind); 7] = [
    ("F32", Kind::Float),
    ("BF16", Kind::BFloat16),
    ("F16", Kind::Half),
    ("F64", Kind::Double),
    ("I64", Kind::Int64),
    ("I32", Kind::Int),
    ("U8", Kind::Uint8),
];

fn kind(word: &str) -> Option<Kind> {
    KINDS.iter().find(|(name, _)| *name == word).map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header.as_bytes());
        file.extend(data);
        file
    }

    #[test]
    fn a_tensor_is_found_where_the_header_says() {
        let whole = file(
            r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[1,2],"data_offsets":[2,10]}}"#,
            &[0; 10],
        );
        let a = &entries(&whole).unwrap()["a"];
        assert_eq!((a.kind, &a.shape[..]), (Kind::Float, &[1, 2][..]));
        assert_eq!(a.bytes, whole.len() - 8..whole.len());
    }

    #[test]
    fn a_damaged_header_is_an_error_whatever_it_claims() {
        let with = |entry: &str| file(&format!(r#"{{"a":{entry}}}"#), &[0; 8]);
        let most = u64::MAX;
        for (damaged, reason) in [
            (vec![1, 2, 3], "shorter than 8"),
            (most.to_le_bytes().to_vec(), "header would be"),
            (99_u64.to_le_bytes().to_vec(), "ends within its header"),
            (file("[1]", &[]), "no JSON object"),
            (file("{\"a\":", &[]), "no JSON object"),
            (with(r#"{"dtype":"F32","shape":[2]}"#), "data_offsets"),
            (with(r#"{"dtype":"Q4","shape":[2],"data_offsets":[0,8]}"#), "kind Q4"),
            (with(r#"{"dtype":"F32","shape":[3],"data_offsets":[0,12]}"#), "beyond the end"),
            (with(r#"{"dtype":"F32","shape":[1],"data_offsets":[0,8]}"#), "does not fit"),
            (with(r#"{"dtype":"F32","shape":[2],"data_offsets":[8,0]}"#), "does not fit"),
            (
                with(&format!(r#"{{"dtype":"U8","shape":[{most}],"data_offsets":[0,{most}]}}"#)),
                "beyond the end",
            ),
            (
                with(&format!(r#"{{"dtype":"F32","shape":[{most},9],"data_offsets":[0,8]}}"#)),
                "does not fit",
            ),
        ] {
            let error = entries(&damaged).unwrap_err();
            assert!(error.contains(reason), "{error} does not say {reason}");
        }
    }
}
