//! BMP: decoded whole, as it is hardly ever compressed.

use std::io::Cursor;

use image::codecs::bmp::BmpDecoder;
use image::error::{ImageError, UnsupportedErrorKind};
use image::metadata::Orientation;
use image::{ColorType, ImageDecoder};

use crate::budget;
use crate::decoded::Decoded;
use crate::shrink::{Layout, Shrinker};
use crate::{CodecError, Format};

pub(crate) fn decode(bytes: &[u8]) -> Result<Decoded, CodecError> {
    let ends = || CodecError::corrupt(Format::Bmp, "it ends early");
    let (width, height) = size(bytes).ok_or_else(ends)?;
    budget::pixels(Format::Bmp, width, height)?;
    let decoder = BmpDecoder::new(Cursor::new(bytes)).map_err(refused)?;
    let (width, height) = decoder.dimensions();
    let layout = match decoder.color_type() {
        ColorType::L8 => Layout::Gray,
        ColorType::Rgb8 => Layout::Rgb,
        ColorType::Rgba8 => Layout::Rgba,
        other => return Err(CodecError::unsupported(format!("BMP with {other:?} samples"))),
    };
    let line = width as usize * layout.samples();
    let whole = line as u64 * u64::from(height);
    budget::memory(Format::Bmp, bytes, whole + Shrinker::memory(width, height, layout))?;
    let mut pixels = vec![0; whole as usize];
    decoder.read_image(&mut pixels).map_err(refused)?;
    let mut shrinker = Shrinker::new(width, height, layout);
    pixels.chunks_exact(line).for_each(|row| shrinker.row(row));
    let missing = || CodecError::corrupt(Format::Bmp, "it has too few rows");
    let square = shrinker.finish().ok_or_else(missing)?;
    Ok(Decoded { width, height, square, orientation: Orientation::NoTransforms, icc: None })
}

/// As the header tells it; rows from the top down have a negative height.
fn size(bytes: &[u8]) -> Option<(u32, u32)> {
    let short = |at: usize| Some(u32::from(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?)));
    let long =
        |at: usize| Some(i32::from_le_bytes(*bytes.get(at..)?.first_chunk()?).unsigned_abs());
    if bytes.get(14) == Some(&12) { short(18).zip(short(20)) } else { long(18).zip(long(22)) }
}

fn refused(error: ImageError) -> CodecError {
    match error {
        ImageError::Unsupported(error) => match error.kind() {
            UnsupportedErrorKind::GenericFeature(feature) => {
                CodecError::unsupported(format!("BMP with {feature}"))
            }
            _ => CodecError::unsupported("BMP of this kind"),
        },
        error => CodecError::corrupt(Format::Bmp, error),
    }
}
