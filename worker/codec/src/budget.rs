//! What an image may cost, judged by its header before anything is decoded.
//!
//! Memory is estimated, the bytes of the image included, as what its decoder holds at its peak:
//!
//! | Format | Held by the decoder |
//! |---|---|
//! | JPEG | the scaled samples; with several scans also two bytes for each coefficient |
//! | PNG | four rows; interlaced the whole image |
//! | WebP | the scaled samples; lossless 4 bytes for each pixel, 5 with an alpha plane beside |
//! | GIF | a row; interlaced the first frame, a byte for each pixel |
//! | BMP | the whole image |
//! | TIFF | a band of strips or tiles, and one of them |
//!
//! To this comes the shrunk centre square where rows are shrunk as they come.

use crate::{CodecError, Format};

/// The most bytes an image may have.
pub const MAX_BYTES: usize = 25 * 1024 * 1024;

/// The most pixels an image may have.
pub const MAX_PIXELS: u64 = 50_000_000;

/// The most pixels a side of an image may have; as much as most formats can tell.
pub const MAX_SIDE: u32 = 65_535;

/// The most bytes an image and its decoder may hold at once.
pub const MAX_MEMORY: u64 = 48 * 1024 * 1024;

const MIB: u64 = 1024 * 1024;

/// A header's claim about the size of its image.
pub(crate) fn pixels(format: Format, width: u32, height: u32) -> Result<(), CodecError> {
    if width == 0 || height == 0 {
        return Err(CodecError::corrupt(format, "it has no pixels"));
    }
    if width.max(height) > MAX_SIDE || u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(CodecError::TooManyPixels { format, width, height });
    }
    Ok(())
}

/// What a decoder would hold, beside the bytes of the image.
pub(crate) fn memory(format: Format, image: &[u8], decoder: u64) -> Result<(), CodecError> {
    let needs = decoder.saturating_add(image.len() as u64);
    if needs > MAX_MEMORY {
        let (needs, most) = (needs.div_ceil(MIB), MAX_MEMORY / MIB);
        let rule = format!("to decode it takes {needs} MiB of memory, and may take {most}");
        return Err(CodecError::complex(format, rule));
    }
    Ok(())
}
