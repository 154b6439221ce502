//! The image codec: untrusted bytes of a foreign image in, square WebP thumbnails out.
//!
//! What the bytes are is told by their beginning alone. What they may cost is judged by the header
//! before anything is decoded ([`MAX_BYTES`], [`MAX_PIXELS`], [`MAX_MEMORY`]); only the centre
//! square of the first frame is kept, as small as is enough for the largest thumbnail, and both
//! thumbnails come of the one decode. They are upright, in sRGB, on white where the image is
//! transparent, never larger than the image, and carry no metadata.
//!
//! Decoders of foreign bytes can crash, hang or swell all the same, so a worker runs this in a
//! process of its own: the program `codec`, which answers on its output what it is sent on its
//! input (see [`wire`]) under limits of the operating system.

mod bmp;
mod budget;
mod colour;
mod decoded;
mod error;
mod gif;
mod jpeg;
#[expect(unsafe_code, reason = "libjpeg-turbo and libwebp are C; each call says why it is sound")]
mod native;
mod orient;
mod png;
mod shrink;
mod sniff;
mod square;
mod tiff;
mod webp;
pub mod wire;

pub use budget::{MAX_BYTES, MAX_MEMORY, MAX_PIXELS, MAX_SIDE};
pub use error::CodecError;
pub use native::return_memory;
pub use sniff::Format;
use square::Square;

/// Sides of the thumbnails that are made, the smallest first.
pub const SIZES: [u32; 2] = [256, 512];

/// How thumbnails are written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// 0 to 100.
    pub quality: f32,
    /// 0, fast, to 6, small.
    pub method: u8,
}

impl Default for Settings {
    fn default() -> Self {
        Self { quality: 80.0, method: 4 }
    }
}

/// One thumbnail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbnail {
    /// Side that was asked for.
    pub size: u32,
    /// What it has: less than asked for where the image has less.
    pub width: u32,
    /// As its width.
    pub height: u32,
    /// A WebP file.
    pub webp: Vec<u8>,
}

/// What is made of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbnails {
    /// Of the image.
    pub format: Format,
    /// Of the image, as it is meant to be seen.
    pub width: u32,
    /// Of the image, as it is meant to be seen.
    pub height: u32,
    /// One of each of [`SIZES`], in their order.
    pub images: Vec<Thumbnail>,
}

/// The thumbnails of an image.
pub fn thumbnails(bytes: &[u8], settings: &Settings) -> Result<Thumbnails, CodecError> {
    if bytes.len() > MAX_BYTES {
        return Err(CodecError::TooManyBytes { bytes: bytes.len() as u64 });
    }
    let format = sniff::sniff(bytes)?;
    let decoded = match format {
        Format::Jpeg => jpeg::decode(bytes),
        Format::Png => png::decode(bytes),
        Format::Webp => webp::decode(bytes),
        Format::Gif => gif::decode(bytes),
        Format::Bmp => bmp::decode(bytes),
        Format::Tiff => tiff::decode(bytes),
    }?;
    let (mut width, mut height) = (decoded.width, decoded.height);
    if orient::swaps(decoded.orientation) {
        (width, height) = (height, width);
    }
    let sides = SIZES.map(|size| size.min(width).min(height));
    let unwritable = |why| CodecError::Unwritable { format, why };
    let squares = decoded.squares(&sides).map_err(unwritable)?;
    // The encoder wants memory, too.
    drop(decoded);
    let mut images = Vec::with_capacity(SIZES.len());
    for ((size, side), pixels) in SIZES.into_iter().zip(sides).zip(squares) {
        let webp = native::webp_encode(pixels, side, settings.quality, settings.method)
            .map_err(unwritable)?;
        images.push(Thumbnail { size, width: side, height: side, webp });
    }
    Ok(Thumbnails { format, width, height, images })
}
