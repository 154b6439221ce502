//! JPEG, and the metadata that go with it.

use turbojpeg::{Compressor, Image, PixelFormat, Subsamp};

use crate::picture;

/// How a JPEG is made.
#[derive(Clone, Copy)]
pub struct Jpeg {
    pub format: PixelFormat,
    pub subsamp: Subsamp,
    pub progressive: bool,
}

impl Default for Jpeg {
    fn default() -> Self {
        Self { format: PixelFormat::RGB, subsamp: Subsamp::Sub2x2, progressive: false }
    }
}

impl Jpeg {
    pub fn of(self, samples: &[u8], width: u32, height: u32) -> Vec<u8> {
        let (width, height) = (width as usize, height as usize);
        let pitch = width * self.format.size();
        let mut compressor = Compressor::new().unwrap();
        compressor.set_quality(95).unwrap();
        compressor.set_subsamp(self.subsamp).unwrap();
        compressor.set_progressive(self.progressive).unwrap();
        let image = Image { pixels: samples, width, pitch, height, format: self.format };
        compressor.compress_to_vec(image).unwrap()
    }
}

/// The picture as a JPEG.
pub fn jpeg(width: u32, height: u32) -> Vec<u8> {
    Jpeg::default().of(&picture::rgb(width, height), width, height)
}

/// With a segment after its first marker.
pub fn with_segment(jpeg: &[u8], marker: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xFF, marker], &length, body, &jpeg[2..]].concat()
}

/// Sent for a profile: pieces of as many bytes as a segment takes.
pub fn with_profile(jpeg: &[u8], icc: &[u8]) -> Vec<u8> {
    let pieces: Vec<&[u8]> = icc.chunks(65_519).collect();
    let count = pieces.len() as u8;
    pieces.iter().enumerate().rev().fold(jpeg.to_vec(), |jpeg, (index, piece)| {
        let body = [&b"ICC_PROFILE\0"[..], &[index as u8 + 1, count], piece].concat();
        with_segment(&jpeg, 0xE2, &body)
    })
}

/// The bytes of an EXIF block that only has an orientation.
pub fn exif(orientation: u8) -> Vec<u8> {
    [&b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0"[..], &[orientation, 0, 0, 0, 0, 0, 0, 0]]
        .concat()
}
