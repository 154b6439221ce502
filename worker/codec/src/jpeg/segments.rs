//! The segments of a JPEG, walked through without decoding: what it will cost, whether it ends, and
//! the metadata that matter.

use memchr::memchr;

use crate::colour::MAX_PROFILE;
use crate::{CodecError, Format};

/// What stands in the segments of a JPEG.
#[derive(Debug, Default)]
pub(super) struct Segments<'a> {
    pub width: u32,
    pub height: u32,
    pub progressive: bool,
    /// How often each component is sampled across and down.
    sampling: Vec<(u8, u8)>,
    pub scans: usize,
    pub exif: Option<&'a [u8]>,
    /// Number, count and bytes of the pieces of the profile.
    pieces: Vec<(u8, u8, &'a [u8])>,
}

impl<'a> Segments<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, CodecError> {
        let ends = || CodecError::corrupt(Format::Jpeg, "it ends before its end marker");
        let mut segments = Self::default();
        let mut at = 2;
        loop {
            let (marker, start) = marker(bytes, at).ok_or_else(ends)?;
            match marker {
                END => break,
                0x01 | 0xD0..=0xD8 => at = start,
                _ => {
                    let length = bytes.get(start..).and_then(<[u8]>::first_chunk);
                    let length = usize::from(u16::from_be_bytes(*length.ok_or_else(ends)?));
                    let body = bytes.get(start + 2..start + length).ok_or_else(ends)?;
                    segments.take(marker, body)?;
                    at = start + length;
                }
            }
        }
        if segments.sampling.is_empty() {
            return Err(CodecError::corrupt(Format::Jpeg, "it has no frame header"));
        }
        Ok(segments)
    }

    fn take(&mut self, marker: u8, body: &'a [u8]) -> Result<(), CodecError> {
        match marker {
            0xC0..=0xC2 => self.frame(marker, body)?,
            0xC3 | 0xC5..=0xC7 | 0xCB | 0xCD..=0xCF => {
                return Err(CodecError::unsupported("lossless or hierarchical JPEG"));
            }
            0xC9 | 0xCA => return Err(CodecError::unsupported("JPEG with arithmetic coding")),
            0xDA => self.scans += 1,
            0xE1 if self.exif.is_none() => {
                self.exif = body.strip_prefix(b"Exif\0\0");
            }
            0xE2 => {
                if let Some([number, count, piece @ ..]) = body.strip_prefix(b"ICC_PROFILE\0") {
                    self.pieces.push((*number, *count, piece));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn frame(&mut self, marker: u8, body: &[u8]) -> Result<(), CodecError> {
        let corrupt = |why: &str| Err(CodecError::corrupt(Format::Jpeg, why));
        if !self.sampling.is_empty() {
            return corrupt("it has two frame headers");
        }
        let [precision, a, b, c, d, count, components @ ..] = body else {
            return corrupt("its frame header is too short");
        };
        if *precision != 8 {
            return Err(CodecError::unsupported(format!("JPEG with {precision} bits")));
        }
        if *count == 0 || components.len() < usize::from(*count) * 3 {
            return corrupt("its frame header is too short");
        }
        self.progressive = marker == 0xC2;
        self.height = u32::from(u16::from_be_bytes([*a, *b]));
        self.width = u32::from(u16::from_be_bytes([*c, *d]));
        let components = components.chunks_exact(3).take(usize::from(*count));
        self.sampling =
            components.map(|component| (component[1] >> 4, component[1] & 15)).collect();
        if self
            .sampling
            .iter()
            .any(|(across, down)| !(1..=4).contains(across) || !(1..=4).contains(down))
        {
            return corrupt("its sampling factors are invalid");
        }
        Ok(())
    }

    /// Samples of so many pixels, of all components as they are sampled.
    pub(super) fn share(&self, pixels: u64) -> u64 {
        let most =
            |of: fn(&(u8, u8)) -> u8| u64::from(self.sampling.iter().map(of).max().unwrap_or(1));
        let whole = most(|(across, _)| *across) * most(|(_, down)| *down);
        let sampled =
            self.sampling.iter().map(|(across, down)| u64::from(*across) * u64::from(*down));
        (pixels * sampled.sum::<u64>()).div_ceil(whole)
    }

    /// The profile, if all its pieces are here.
    pub(super) fn profile(mut self) -> Option<Vec<u8>> {
        self.pieces.sort_by_key(|(number, ..)| *number);
        let whole = self.pieces.iter().enumerate().all(|(index, (number, count, _))| {
            usize::from(*number) == index + 1 && usize::from(*count) == self.pieces.len()
        });
        let length: usize = self.pieces.iter().map(|(.., piece)| piece.len()).sum();
        (whole && (1..=MAX_PROFILE).contains(&length))
            .then(|| self.pieces.iter().flat_map(|(.., piece)| piece.iter().copied()).collect())
    }
}

/// End of the image.
const END: u8 = 0xD9;

/// The next marker from here on, and where it ends. Coded data are passed over: what looks like a
/// marker in them is followed by a zero, or is one of the eight that restart.
fn marker(bytes: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        at += memchr(0xFF, bytes.get(at..)?)?;
        at += bytes.get(at..)?.iter().position(|byte| *byte != 0xFF)?;
        let marker = bytes[at];
        at += 1;
        if marker != 0 && !(0xD0..=0xD7).contains(&marker) {
            return Some((marker, at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
        let mut segment = vec![0xFF, marker];
        segment.extend((body.len() as u16 + 2).to_be_bytes());
        segment.extend(body);
        segment
    }

    fn jpeg(segments: &[Vec<u8>]) -> Vec<u8> {
        [&[0xFF, 0xD8][..], &segments.concat(), &[0xFF, END]].concat()
    }

    const FRAME: [u8; 15] = [8, 0, 10, 0, 20, 3, 1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0];

    #[test]
    fn scans_are_counted_past_coded_data_and_thumbnails() {
        let coded = vec![1, 0xFF, 0, 2, 0xFF, 0xD3, 3, 0xFF, 0xFF, 0xDA, 0, 2, 9];
        let bytes = jpeg(&[
            segment(0xE1, b"Exif\0\0II\xFF\xDA\xFF\xC0\xFF\xD9"),
            segment(0xC2, &FRAME),
            segment(0xDA, &[]),
            coded,
        ]);
        let segments = Segments::read(&bytes).unwrap();
        assert_eq!((segments.width, segments.height, segments.scans), (20, 10, 2));
        assert!(segments.progressive);
        assert_eq!(segments.exif.unwrap().len(), 8);
        assert_eq!(segments.share(100), 150);
    }

    #[test]
    fn a_profile_is_put_together_in_its_order() {
        let piece = |number: u8, bytes: &[u8]| {
            segment(0xE2, &[&b"ICC_PROFILE\0"[..], &[number, 2], bytes].concat())
        };
        let frame = segment(0xC0, &FRAME);
        let whole = jpeg(&[piece(2, b"cd"), frame.clone(), piece(1, b"ab")]);
        assert_eq!(Segments::read(&whole).unwrap().profile().unwrap(), b"abcd");
        let half = jpeg(&[frame, piece(2, b"cd")]);
        assert_eq!(Segments::read(&half).unwrap().profile(), None);
    }

    #[test]
    fn broken_and_foreign_frames_are_refused() {
        let code = |bytes: &[u8]| Segments::read(bytes).unwrap_err().code();
        let whole = jpeg(&[segment(0xC0, &FRAME)]);
        assert_eq!(code(&whole[..whole.len() - 2]), "corrupt_image");
        assert_eq!(code(&jpeg(&[])), "corrupt_image");
        assert_eq!(code(&jpeg(&[segment(0xC0, &FRAME), segment(0xC0, &FRAME)])), "corrupt_image");
        assert_eq!(code(&jpeg(&[segment(0xC0, &FRAME[..9])])), "corrupt_image");
        assert_eq!(code(&jpeg(&[segment(0xC3, &FRAME)])), "unsupported_format");
        assert_eq!(code(&jpeg(&[segment(0xC9, &FRAME)])), "unsupported_format");
        let twelve = [&[12], &FRAME[1..]].concat();
        assert_eq!(code(&jpeg(&[segment(0xC1, &twelve)])), "unsupported_format");
    }
}
