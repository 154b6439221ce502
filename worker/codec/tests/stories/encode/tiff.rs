//! TIFF.

use std::io::Cursor;

use tiff::encoder::{TiffEncoder, colortype};
use tiff::tags::Tag;

use super::deflated;
use crate::picture;

/// RGB samples as a TIFF.
pub fn tiff(samples: &[u8], width: u32, height: u32, orientation: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = TiffEncoder::new(Cursor::new(&mut bytes)).unwrap();
    let mut image = encoder.new_image::<colortype::RGB8>(width, height).unwrap();
    image.encoder().write_tag(Tag::Orientation, orientation).unwrap();
    image.rows_per_strip(7).unwrap();
    image.write_data(samples).unwrap();
    bytes
}

/// A TIFF of one directory: tag, type, count and value of its fields, and data at offset 1,000.
pub fn tiff_of(fields: &[(u16, u16, u32, u32)], data: &[u8]) -> Vec<u8> {
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    bytes.extend((fields.len() as u16).to_le_bytes());
    for (tag, kind, count, value) in fields {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }
    bytes.resize(1000, 0);
    bytes.extend(data);
    bytes
}

/// RGB samples as a TIFF of tiles of 128 x 64 pixels.
pub fn tiled_tiff(samples: &[u8], width: u32, height: u32) -> Vec<u8> {
    let (columns, rows) = (width.div_ceil(128), height.div_ceil(64));
    let count = columns * rows;
    let mut offsets = Vec::new();
    let mut lengths = Vec::new();
    let mut tiles = Vec::new();
    for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
        let tile = picture::painted(128, 64, |x, y| {
            let (x, y) = (column * 128 + x, row * 64 + y);
            let at = (y as usize * width as usize + x as usize) * 3;
            if x < width && y < height {
                [samples[at], samples[at + 1], samples[at + 2]]
            } else {
                [0; 3]
            }
        });
        let tile = deflated(&tile);
        offsets.push(1000 + 8 * count + tiles.len() as u32);
        lengths.push(tile.len() as u32);
        tiles.extend(tile);
    }
    let numbers = offsets.iter().chain(&lengths).flat_map(|number| number.to_le_bytes());
    let data: Vec<u8> = numbers.chain(tiles).collect();
    let fields = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8),
        (259, 3, 1, 8),
        (262, 3, 1, 2),
        (277, 3, 1, 3),
        (322, 4, 1, 128),
        (323, 4, 1, 64),
        (324, 4, count, 1000),
        (325, 4, count, 1000 + 4 * count),
    ];
    tiff_of(&fields, &data)
}

fn tiff_with<C: colortype::ColorType>(samples: &[C::Inner], width: u32, height: u32) -> Vec<u8>
where
    [C::Inner]: tiff::encoder::TiffValue,
{
    let mut bytes = Vec::new();
    let mut encoder = TiffEncoder::new(Cursor::new(&mut bytes)).unwrap();
    encoder.write_image::<C>(width, height, samples).unwrap();
    bytes
}

/// RGBA samples as a TIFF.
pub fn tiff_rgba(samples: &[u8], width: u32, height: u32) -> Vec<u8> {
    tiff_with::<colortype::RGBA8>(samples, width, height)
}

/// The picture as a TIFF of 16 bits.
pub fn tiff_deep(side: u32) -> Vec<u8> {
    let samples: Vec<u16> = picture::rgb(side, side).iter().map(|s| u16::from(*s) * 257).collect();
    tiff_with::<colortype::RGB16>(&samples, side, side)
}

/// The picture as a gray TIFF.
pub fn tiff_gray(side: u32) -> Vec<u8> {
    let gray = |x, y| [picture::gray(picture::pixel(x, y, side, side))];
    tiff_with::<colortype::Gray8>(&picture::painted(side, side, gray), side, side)
}

/// The picture as a TIFF of four inks.
pub fn tiff_inks(side: u32) -> Vec<u8> {
    let inks = picture::painted(side, side, |x, y| {
        let [r, g, b] = picture::pixel(x, y, side, side);
        [255 - r, 255 - g, 255 - b, 0]
    });
    tiff_with::<colortype::CMYK8>(&inks, side, side)
}
