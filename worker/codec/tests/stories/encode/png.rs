//! PNG.

use std::borrow::Cow;
use std::io::Write;

use png::{BitDepth, ColorType};

/// How a PNG is made.
#[derive(Default)]
pub struct Png<'a> {
    pub palette: Option<&'a [u8]>,
    pub transparent: Option<&'a [u8]>,
    pub icc: Option<&'a [u8]>,
    pub exif: Option<Vec<u8>>,
}

impl Png<'_> {
    pub fn of(
        &self,
        samples: &[u8],
        (width, height): (u32, u32),
        colour: ColorType,
        depth: BitDepth,
    ) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut info = png::Info::with_size(width, height);
        info.color_type = colour;
        info.bit_depth = depth;
        info.icc_profile = self.icc.map(Cow::from);
        let mut encoder = png::Encoder::with_info(&mut bytes, info).unwrap();
        if let Some(palette) = self.palette {
            encoder.set_palette(palette);
        }
        if let Some(transparent) = self.transparent {
            encoder.set_trns(transparent);
        }
        encoder.set_compression(png::Compression::Fastest);
        let mut writer = encoder.write_header().unwrap();
        if let Some(exif) = &self.exif {
            writer.write_chunk(png::chunk::ChunkType(*b"eXIf"), exif).unwrap();
        }
        writer.write_image_data(samples).unwrap();
        writer.finish().unwrap();
        bytes
    }
}

/// RGB samples as a PNG.
pub fn png(samples: &[u8], width: u32, height: u32) -> Vec<u8> {
    Png::default().of(samples, (width, height), ColorType::Rgb, BitDepth::Eight)
}

/// RGBA samples as a PNG.
pub fn png_rgba(samples: &[u8], width: u32, height: u32) -> Vec<u8> {
    Png::default().of(samples, (width, height), ColorType::Rgba, BitDepth::Eight)
}

/// Samples of a byte each, as an interlaced PNG, which the encoder does not make.
pub fn interlaced_png(samples: &[u8], width: u32, height: u32) -> Vec<u8> {
    // Left, top, and steps across and down of each of the seven passes.
    const PASSES: [[usize; 4]; 7] = [
        [0, 0, 8, 8],
        [4, 0, 8, 8],
        [0, 4, 4, 8],
        [2, 0, 4, 4],
        [0, 2, 2, 4],
        [1, 0, 2, 2],
        [0, 1, 1, 2],
    ];
    let pixels = samples.as_chunks::<3>().0;
    let (across, down) = (width as usize, height as usize);
    let mut rows = Vec::new();
    for [left, top, right, below] in PASSES {
        for y in (top..down).step_by(below).filter(|_| left < across) {
            rows.push(0);
            for x in (left..across).step_by(right) {
                rows.extend(pixels[y * across + x]);
            }
        }
    }
    let mut header = Vec::new();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([8, 2, 0, 0, 1]);
    png_of(&[(b"IHDR", &header), (b"IDAT", &deflated(&rows)), (b"IEND", &[])])
}

/// A PNG of these chunks.
pub fn png_of(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1A\n".to_vec();
    for (name, data) in chunks {
        let mut sum = flate2::Crc::new();
        sum.update(*name);
        sum.update(data);
        bytes.extend((data.len() as u32).to_be_bytes());
        bytes.extend(*name);
        bytes.extend(*data);
        bytes.extend(sum.sum().to_be_bytes());
    }
    bytes
}

/// Compressed as in PNG and TIFF.
pub fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
