//! Images of every format, made of samples.

mod jpeg;
mod png;
mod tiff;
mod webp;

use image::ImageEncoder;
use image::codecs::bmp::BmpEncoder;

pub use self::jpeg::{Jpeg, exif, jpeg, with_profile, with_segment};
pub use self::png::{Png, deflated, interlaced_png, png, png_of, png_rgba};
pub use self::tiff::{tiff, tiff_deep, tiff_gray, tiff_inks, tiff_of, tiff_rgba, tiled_tiff};
pub use self::webp::{animation, riff, webp_head, webp_lossless, webp_lossy, webp_of};
use crate::picture;

/// Indices as a GIF, of a canvas and a frame on it.
pub fn gif(canvas: (u16, u16), palette: &[u8], frame: gif::Frame<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = gif::Encoder::new(&mut bytes, canvas.0, canvas.1, palette).unwrap();
    encoder.write_frame(&frame).unwrap();
    drop(encoder);
    bytes
}

/// The palette of the picture: its quarters and its margin.
pub fn palette() -> Vec<u8> {
    [&picture::QUARTERS[..], &[picture::MARGIN]].concat().concat()
}

/// The picture as indices into its palette.
pub fn indices(width: u32, height: u32) -> Vec<u8> {
    let colours = palette();
    let index = |colour: [u8; 3]| colours.chunks(3).position(|entry| entry == colour).unwrap();
    picture::painted(width, height, |x, y| [index(picture::pixel(x, y, width, height)) as u8])
}

/// RGB samples as a BMP.
pub fn bmp(samples: &[u8], width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let colour = image::ExtendedColorType::Rgb8;
    BmpEncoder::new(&mut bytes).write_image(samples, width, height, colour).unwrap();
    bytes
}

/// The rows of an interlaced GIF in the order in which they are stored.
pub fn interlaced_rows(indices: &[u8], width: usize) -> Vec<u8> {
    let rows: Vec<&[u8]> = indices.chunks(width).collect();
    let passes = [(0, 8), (4, 8), (2, 4), (1, 2)];
    let order = passes.into_iter().flat_map(|(first, step)| (first..rows.len()).step_by(step));
    order.flat_map(|row| rows[row].iter().copied()).collect()
}
