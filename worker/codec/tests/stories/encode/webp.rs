//! WebP.

use std::io::Cursor;

use super::png;
use crate::picture;

/// RGB or RGBA samples as a lossless WebP.
pub fn webp_lossless(samples: &[u8], width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let alpha = samples.len() == 4 * width as usize * height as usize;
    let colour = if alpha { image_webp::ColorType::Rgba8 } else { image_webp::ColorType::Rgb8 };
    image_webp::WebPEncoder::new(&mut bytes).encode(samples, width, height, colour).unwrap();
    bytes
}

/// The picture as a lossy WebP of 512 pixels: a thumbnail is one.
pub fn webp_lossy() -> Vec<u8> {
    picture::made(&png(&picture::rgb(512, 512), 512, 512)).images.remove(1).webp
}

/// A chunk of a RIFF file.
pub fn riff(name: &[u8], data: &[u8]) -> Vec<u8> {
    let mut chunk = name.to_vec();
    chunk.extend((data.len() as u32).to_le_bytes());
    chunk.extend(data);
    chunk.resize(chunk.len().next_multiple_of(2), 0);
    chunk
}

/// The first chunk of an extended WebP.
pub fn webp_head(flags: u8, width: u32, height: u32) -> Vec<u8> {
    let size = [three(width - 1), three(height - 1)].concat();
    riff(b"VP8X", &[&[flags, 0, 0, 0], &size[..]].concat())
}

/// A WebP of these chunks.
pub fn webp_of(chunks: &[Vec<u8>]) -> Vec<u8> {
    riff(b"RIFF", &[b"WEBP", &chunks.concat()[..]].concat())
}

/// Still WebP files without metadata as the frames of an animation, with their places.
pub fn animation(canvas: (u32, u32), frames: &[((u32, u32), &Vec<u8>)]) -> Vec<u8> {
    let mut chunks = vec![webp_head(0x12, canvas.0, canvas.1), riff(b"ANIM", &[0; 6])];
    for ((left, top), still) in frames {
        let webp = image_webp::WebPDecoder::new(Cursor::new(still)).unwrap();
        let (width, height) = webp.dimensions();
        let size = [three(left / 2), three(top / 2), three(width - 1), three(height - 1)].concat();
        chunks.push(riff(b"ANMF", &[&size[..], &[100, 0, 0, 0], &still[12..]].concat()));
    }
    webp_of(&chunks)
}

fn three(number: u32) -> [u8; 3] {
    let [a, b, c, _] = number.to_le_bytes();
    [a, b, c]
}
