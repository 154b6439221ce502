//! The samples of a TIFF, unpacked row by row into one of the layouts that are shrunk.

use tiff::ColorType;
use tiff::tags::{ExtraSamples, PlanarConfiguration, SampleFormat, Tag};

use super::{Reader, refused};
use crate::shrink::Layout;
use crate::{CodecError, colour};

/// How samples are stored, and what they become.
pub(super) struct Samples {
    pub layout: Layout,
    /// Delivered for a pixel.
    channels: usize,
    bits: usize,
    /// Bytes of a pixel in the file, with samples that are not delivered.
    stored: usize,
}

impl Samples {
    pub(super) fn of(tiff: &mut Reader<'_>) -> Result<Self, CodecError> {
        let colours = tiff.colortype().map_err(refused)?;
        let mut tag = |tag| tiff.find_tag_unsigned_vec::<u16>(tag).map_err(refused);
        let planar = tag(Tag::PlanarConfiguration)?.unwrap_or_default();
        if planar.contains(&PlanarConfiguration::Planar.to_u16()) {
            return Err(CodecError::unsupported("TIFF with separate planes"));
        }
        let formats = tag(Tag::SampleFormat)?.unwrap_or_default();
        if formats.iter().any(|format| *format != SampleFormat::Uint.to_u16()) {
            return Err(CodecError::unsupported("TIFF with samples that are no whole numbers"));
        }
        let extra = tag(Tag::ExtraSamples)?.unwrap_or_default();
        let associated = extra.first() == Some(&ExtraSamples::AssociatedAlpha.to_u16());
        let alone = extra.first() == Some(&ExtraSamples::UnassociatedAlpha.to_u16());
        let samples = tag(Tag::SamplesPerPixel)?.and_then(|samples| samples.first().copied());
        let samples = usize::from(samples.unwrap_or(1));
        let (layout, channels, bits) = match colours {
            ColorType::Gray(bits @ (1 | 8 | 16)) => (Layout::Gray, 1, bits),
            ColorType::Multiband { bit_depth: bits @ (8 | 16), num_samples: 2 } if alone => {
                (Layout::GrayAlpha, 2, bits)
            }
            ColorType::RGB(bits @ (8 | 16)) => (Layout::Rgb, 3, bits),
            ColorType::RGBA(bits @ (8 | 16)) if associated => (Layout::Premultiplied, 4, bits),
            ColorType::RGBA(bits @ (8 | 16)) => (Layout::Rgba, 4, bits),
            ColorType::CMYK(8) => (Layout::Rgb, 4, 8),
            other => return Err(CodecError::unsupported(format!("TIFF with {other:?}"))),
        };
        let bits = usize::from(bits);
        Ok(Self { layout, channels, bits, stored: (samples * bits).div_ceil(8) })
    }

    /// Bytes of a pixel in the file.
    pub(super) fn stored(&self) -> usize {
        self.stored
    }

    /// Four inks, which are mixed to RGB.
    pub(super) fn inked(&self) -> bool {
        self.layout == Layout::Rgb && self.channels == 4
    }

    /// Bytes of so many delivered pixels.
    pub(super) fn line(&self, width: u32) -> usize {
        (width as usize * self.channels * self.bits).div_ceil(8)
    }

    /// A row in the layout.
    pub(super) fn unpack(&self, packed: &[u8], width: u32, row: &mut Vec<u8>) {
        row.clear();
        match self.bits {
            1 => row.extend((0..width as usize).map(|x| {
                let bit = packed[x / 8] >> (7 - x % 8) & 1;
                bit * 255
            })),
            16 => {
                let samples = packed.as_chunks().0.iter();
                row.extend(samples.map(|sample| (u16::from_ne_bytes(*sample) >> 8) as u8));
            }
            _ if self.inked() => {
                let paper: Vec<u8> = packed.iter().map(|ink| 255 - ink).collect();
                row.extend(colour::rgb_of_cmyk(&paper));
            }
            _ => row.extend_from_slice(packed),
        }
    }
}
