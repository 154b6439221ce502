//! The chunks of a WebP file: where its one picture is, or the first one of an animation, and the
//! metadata that matter.

use crate::colour::MAX_PROFILE;
use crate::{CodecError, Format};

/// What stands in the chunks of a WebP.
#[derive(Debug, Default)]
pub(super) struct Container<'a> {
    /// Width and height, where the file tells them apart from those of its picture.
    pub canvas: Option<(u32, u32)>,
    /// Left and top on the canvas.
    pub place: (u32, u32),
    /// A still picture, from its first chunk on or with its container.
    pub picture: &'a [u8],
    /// Whether alpha is compressed, where it is beside a lossy picture.
    pub packed_alpha: Option<bool>,
    pub exif: Option<&'a [u8]>,
    pub icc: Option<&'a [u8]>,
}

impl<'a> Container<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, CodecError> {
        let ends = || CodecError::corrupt(Format::Webp, "it ends early");
        let length = bytes.get(4..).and_then(<[u8]>::first_chunk).map(|n| u32::from_le_bytes(*n));
        let end = length.ok_or_else(ends)? as usize + 8;
        let body = bytes.get(12..end).ok_or_else(ends)?;
        let mut container = Self::default();
        let mut animated = false;
        let mut seen = false;
        for (name, data) in chunks(body) {
            match name {
                b"VP8X" => {
                    animated = data.first().ok_or_else(ends)? & 2 != 0;
                    let (width, height) = pair(data, 4).ok_or_else(ends)?;
                    container.canvas = Some((width + 1, height + 1));
                }
                b"ICCP" if data.len() <= MAX_PROFILE => container.icc = Some(data),
                b"EXIF" => container.exif = Some(data),
                b"ANMF" if animated && !seen => {
                    let (left, top) = pair(data, 0).ok_or_else(ends)?;
                    container.place = (2 * left, 2 * top);
                    container.frame(data.get(16..).ok_or_else(ends)?)?;
                    seen = true;
                }
                b"ALPH" if !animated => container.alpha(data)?,
                _ => {}
            }
        }
        if !animated {
            container.picture = &bytes[..end];
        } else if container.picture.is_empty() {
            return Err(CodecError::corrupt(Format::Webp, "it has no frame"));
        }
        Ok(container)
    }

    /// The first frame: the decoder reads on from the first of its chunks that it knows.
    fn frame(&mut self, frame: &'a [u8]) -> Result<(), CodecError> {
        for (name, data) in chunks(frame) {
            if self.picture.is_empty() && matches!(name, b"ALPH" | b"VP8 " | b"VP8L") {
                // A name and a length stand before the data.
                let start = data.as_ptr().addr() - frame.as_ptr().addr() - 8;
                self.picture = &frame[start..];
                if name == b"ALPH" {
                    self.alpha(data)?;
                }
            }
        }
        Ok(())
    }

    /// Some kinds of compression and of preparation do not exist.
    fn alpha(&mut self, data: &[u8]) -> Result<(), CodecError> {
        let kind = data.first().filter(|kind| **kind & 0b1010_0010 == 0);
        let unknown = || CodecError::corrupt(Format::Webp, "its alpha is of an unknown kind");
        self.packed_alpha = Some(kind.ok_or_else(unknown)? & 1 != 0);
        Ok(())
    }
}

/// Two numbers of three bytes, the least first.
fn pair(data: &[u8], at: usize) -> Option<(u32, u32)> {
    let number = |at: usize| {
        let bytes = data.get(at..)?.first_chunk::<3>()?;
        Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]))
    };
    Some((number(at)?, number(at + 3)?))
}

/// Names and data of chunks, up to the first that is cut off.
fn chunks(mut body: &[u8]) -> impl Iterator<Item = (&[u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (name, rest) = body.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        let data = rest.get(..length)?;
        body = rest.get(length + length % 2..).unwrap_or_default();
        Some((name, data))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(name: &[u8], data: &[u8]) -> Vec<u8> {
        let mut chunk = name.to_vec();
        chunk.extend((data.len() as u32).to_le_bytes());
        chunk.extend(data);
        chunk.resize(chunk.len().next_multiple_of(2), 0);
        chunk
    }

    fn riff(chunks: &[Vec<u8>]) -> Vec<u8> {
        chunk(b"RIFF", &[b"WEBP", &chunks.concat()[..]].concat())
    }

    #[test]
    fn of_an_animation_only_the_first_frame_is_seen() {
        let frame = |place: u8, data: &[u8]| {
            let head = [place, 0, 0, place, 0, 0, 9, 0, 0, 9, 0, 0, 0, 0, 0, 0];
            chunk(b"ANMF", &[&head, &chunk(b"JUNK", b"?")[..], &chunk(b"VP8 ", data)].concat())
        };
        let bytes = riff(&[
            chunk(b"VP8X", &[2, 0, 0, 0, 99, 0, 0, 49, 0, 0]),
            chunk(b"ICCP", b"icc"),
            frame(3, b"first"),
            frame(4, b"second"),
            chunk(b"EXIF", b"exif"),
        ]);
        let container = Container::read(&bytes).unwrap();
        assert_eq!((container.canvas, container.place), (Some((100, 50)), (6, 6)));
        assert_eq!(container.picture, chunk(b"VP8 ", b"first"));
        assert_eq!((container.icc, container.exif), (Some(&b"icc"[..]), Some(&b"exif"[..])));
    }

    #[test]
    fn a_still_picture_is_handed_on_as_it_is_without_what_follows() {
        let mut bytes = riff(&[chunk(b"VP8L", b"data")]);
        let whole = bytes.clone();
        bytes.extend(b"<html>");
        assert_eq!(Container::read(&bytes).unwrap().picture, whole);
        assert!(Container::read(&whole[..whole.len() - 1]).is_err());
        let empty = riff(&[chunk(b"VP8X", &[2, 0, 0, 0, 9, 0, 0, 9, 0, 0])]);
        assert_eq!(Container::read(&empty).unwrap_err().code(), "corrupt_image");
    }
}
