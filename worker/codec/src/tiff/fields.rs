//! The first directory of a TIFF, looked through before the decoder reads it: for the values of a
//! field it makes room as the field tells their count, true or not.

use super::MAX_CHUNKS;
use crate::{CodecError, Format};

/// Fields with numbers up to this one tell how the image is stored, and are read by the decoder.
const LAST: u16 = 532;

/// The ICC profile.
const PROFILE: u16 = 34_675;

/// Bytes and undefined bytes.
const BYTES: [u16; 2] = [1, 7];

/// The profile, if the directory has one.
pub(super) fn profile(bytes: &[u8]) -> Result<Option<&[u8]>, CodecError> {
    let numbers = Numbers { bytes, reversed: bytes.starts_with(b"MM") };
    let ends = || CodecError::corrupt(Format::Tiff, "it ends within its directory");
    let directory = Directory::of(&numbers).ok_or_else(ends)?;
    let mut profile = None;
    for entry in 0..directory.entries {
        let (tag, kind, count, value) = directory.entry(&numbers, entry).ok_or_else(ends)?;
        if tag <= LAST && count > MAX_CHUNKS {
            let rule = format!("a field of it has {count} values, and may have {MAX_CHUNKS}");
            return Err(CodecError::complex(Format::Tiff, rule));
        }
        if tag == PROFILE && BYTES.contains(&kind) {
            let end = value.checked_add(count).and_then(|end| usize::try_from(end).ok());
            profile = end.and_then(|end| bytes.get(value as usize..end));
        }
    }
    Ok(profile)
}

/// Where the directory is, and how wide its numbers are.
struct Directory {
    first: u64,
    entries: u64,
    /// BigTIFF: 8 bytes where else there are 4.
    wide: bool,
}

impl Directory {
    fn of(numbers: &Numbers<'_>) -> Option<Self> {
        let wide = numbers.short(2)? == 43;
        let start = if wide { numbers.wide(8)? } else { numbers.long(4)? };
        let entries = if wide { numbers.wide(start)? } else { u64::from(numbers.short(start)?) };
        Some(Self { first: start.checked_add(if wide { 8 } else { 2 })?, entries, wide })
    }

    /// Tag, type, count, and value or where it is.
    fn entry(&self, numbers: &Numbers<'_>, index: u64) -> Option<(u16, u16, u64, u64)> {
        let length = if self.wide { 20 } else { 12 };
        let at = index.checked_mul(length)?.checked_add(self.first)?;
        let (count, value) = if self.wide {
            (numbers.wide(at.checked_add(4)?)?, numbers.wide(at.checked_add(12)?)?)
        } else {
            (numbers.long(at.checked_add(4)?)?, numbers.long(at.checked_add(8)?)?)
        };
        Some((numbers.short(at)?, numbers.short(at + 2)?, count, value))
    }
}

/// Bytes, read as numbers in the order of the file.
struct Numbers<'a> {
    bytes: &'a [u8],
    reversed: bool,
}

impl Numbers<'_> {
    fn at<const N: usize>(&self, at: u64) -> Option<[u8; N]> {
        let mut number = *self.bytes.get(usize::try_from(at).ok()?..)?.first_chunk::<N>()?;
        if self.reversed {
            number.reverse();
        }
        Some(number)
    }

    fn short(&self, at: u64) -> Option<u16> {
        self.at(at).map(u16::from_le_bytes)
    }

    fn long(&self, at: u64) -> Option<u64> {
        self.at(at).map(u32::from_le_bytes).map(u64::from)
    }

    fn wide(&self, at: u64) -> Option<u64> {
        self.at(at).map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of one field in each of the four ways to write it.
    fn files(tag: u16, kind: u16, count: u32) -> [Vec<u8>; 4] {
        let short = |n: u16, big: bool| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let long = |n: u32, big: bool| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let wide = |n: u64, big: bool| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let file = |big: bool, wider: bool| {
            let mut file = if big { b"MM".to_vec() } else { b"II".to_vec() };
            if wider {
                file.extend([short(43, big), short(8, big), short(0, big)].concat());
                file.extend([wide(16, big), wide(1, big)].concat());
                file.extend([short(tag, big), short(kind, big)].concat());
                file.extend([wide(count.into(), big), wide(44, big)].concat());
            } else {
                file.extend(short(42, big));
                file.extend(long(8, big));
                file.extend([short(1, big), short(tag, big), short(kind, big)].concat());
                file.extend([long(count, big), long(22, big)].concat());
            }
            file.extend(b"icc");
            file
        };
        [file(false, false), file(true, false), file(false, true), file(true, true)]
    }

    #[test]
    fn a_profile_is_found_in_every_kind_of_file() {
        for file in files(PROFILE, 7, 3) {
            assert_eq!(profile(&file).unwrap(), Some(&b"icc"[..]));
        }
        for file in files(PROFILE, 7, 4).iter().chain(&files(PROFILE, 3, 1)) {
            assert_eq!(profile(file).unwrap(), None);
        }
    }

    #[test]
    fn counts_are_limited_where_the_decoder_believes_them() {
        for file in files(273, 4, MAX_CHUNKS as u32 + 1) {
            assert_eq!(profile(&file).unwrap_err().code(), "image_too_complex");
            assert_eq!(profile(&file[..20]).unwrap_err().code(), "corrupt_image");
        }
        for file in files(273, 4, MAX_CHUNKS as u32).iter().chain(&files(700, 1, u32::MAX)) {
            assert_eq!(profile(file).unwrap(), None);
        }
    }
}
