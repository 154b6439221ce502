//! The centre square of a decoded image, and the thumbnails' squares made of it.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8, U8x3, U8x4};
use fast_image_resize::{PixelTrait, ResizeOptions, Resizer};

/// Samples of eight bits, interleaved.
pub(crate) struct Raster {
    pub samples: Vec<u8>,
    pub width: u32,
    pub height: u32,
    pub channels: usize,
}

impl Raster {
    pub(crate) fn new(width: u32, height: u32, channels: usize) -> Self {
        let samples = vec![0; width as usize * height as usize * channels];
        Self { samples, width, height, channels }
    }
}

/// A part of a raster, in its pixels and fractions of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

/// A raster, and where in it the centre square of the image is.
pub(crate) struct Plane {
    pub raster: Raster,
    pub window: Window,
}

/// Which numbers stand for black and for white in luma, and how far chroma reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Range {
    /// 0 to 255, as in JPEG.
    Full,
    /// 16 to 235, as in WebP.
    Limited,
}

/// A centre square as its decoder left it: as large as in the image, or at least as large as is
/// enough for the thumbnails.
pub(crate) enum Square {
    Gray(Plane),
    Rgb(Plane),
    /// Inverted, as JPEG has it: 255 is no ink.
    Cmyk(Plane),
    /// Luma and two planes of chroma, which may be smaller.
    Ycc([Plane; 3], Range),
}

impl Plane {
    /// The window in `side` x `side` pixels.
    pub(crate) fn resized(&self, side: u32) -> Result<Vec<u8>, String> {
        match self.raster.channels {
            1 => self.typed::<U8>(side),
            3 => self.typed::<U8x3>(side),
            _ => self.typed::<U8x4>(side),
        }
    }

    fn typed<P: PixelTrait>(&self, side: u32) -> Result<Vec<u8>, String> {
        let Raster { samples, width, height, channels } = &self.raster;
        let mut small = vec![0; side as usize * side as usize * channels];
        // Sums of fractions may end a hair outside.
        let within = |start: f64, length: f64, whole: u32| {
            let start = start.clamp(0.0, f64::from(whole));
            (start, length.min(f64::from(whole) - start))
        };
        let (left, across) = within(self.window.left, self.window.width, *width);
        let (top, down) = within(self.window.top, self.window.height, *height);
        // The fourth channel is ink.
        let options = ResizeOptions::new().use_alpha(false).crop(left, top, across, down);
        let from = TypedImageRef::<P>::from_buffer(*width, *height, samples);
        let from = from.map_err(|error| error.to_string())?;
        let to = TypedImage::<P>::from_buffer(side, side, &mut small);
        let mut to = to.map_err(|error| error.to_string())?;
        let resized = Resizer::new().resize_typed(&from, &mut to, &options);
        resized.map_err(|error| error.to_string())?;
        Ok(small)
    }
}
