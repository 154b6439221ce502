//! Rows in, their centre square out: shrunk by whole pixels as they come, so that no decoder that
//! delivers rows needs room for the whole image.

use crate::square::{Plane, Raster, Window};
use crate::{SIZES, Square};

/// What shrinking leaves at least of a side that is longer: twice the largest thumbnail, for the
/// filter that makes the thumbnails from it.
pub(crate) const ENOUGH: u32 = 2 * SIZES[SIZES.len() - 1];

/// How the samples of a row lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    Gray,
    GrayAlpha,
    Rgb,
    Rgba,
    /// As `Rgba`, with colours that are already multiplied by their alpha.
    Premultiplied,
}

impl Layout {
    pub(crate) const fn samples(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::GrayAlpha => 2,
            Self::Rgb => 3,
            Self::Rgba | Self::Premultiplied => 4,
        }
    }

    /// Without alpha, which ends here.
    const fn channels(self) -> usize {
        match self {
            Self::Gray | Self::GrayAlpha => 1,
            Self::Rgb | Self::Rgba | Self::Premultiplied => 3,
        }
    }
}

/// Averages boxes of pixels of the centre square.
pub(crate) struct Shrinker {
    layout: Layout,
    left: usize,
    top: u32,
    side: u32,
    /// Side of a box.
    factor: u32,
    /// Rows that came.
    rows: u32,
    /// A row composed on white.
    flat: Vec<u8>,
    /// Of the columns, over the rows of the current box.
    sums: Vec<u16>,
    summed: u32,
    shrunk: Vec<u8>,
}

impl Shrinker {
    pub(crate) fn new(width: u32, height: u32, layout: Layout) -> Self {
        let side = width.min(height);
        let factor = factor(side);
        let columns = side as usize * layout.channels();
        let out = side.div_ceil(factor) as usize;
        Self {
            layout,
            left: ((width - side) / 2) as usize,
            top: (height - side) / 2,
            side,
            factor,
            rows: 0,
            flat: vec![0; columns],
            sums: vec![0; columns],
            summed: 0,
            shrunk: Vec::with_capacity(out * out * layout.channels()),
        }
    }

    /// Bytes that it will hold.
    pub(crate) fn memory(width: u32, height: u32, layout: Layout) -> u64 {
        let side = width.min(height);
        let out = u64::from(side.div_ceil(factor(side)));
        (out * out + 3 * u64::from(side)) * layout.channels() as u64
    }

    /// The next row of the image, of its whole width; rows below the square are ignored.
    pub(crate) fn row(&mut self, row: &[u8]) {
        let y = self.rows;
        self.rows += 1;
        if y < self.top || y >= self.top + self.side {
            return;
        }
        let samples = self.layout.samples();
        let row = &row[self.left * samples..(self.left + self.side as usize) * samples];
        flatten(self.layout, row, &mut self.flat);
        if self.factor == 1 {
            self.shrunk.extend_from_slice(&self.flat);
            return;
        }
        for (sum, sample) in self.sums.iter_mut().zip(&self.flat) {
            *sum += u16::from(*sample);
        }
        self.summed += 1;
        if self.summed == self.factor || self.rows == self.top + self.side {
            match self.layout.channels() {
                1 => self.average::<1>(),
                _ => self.average::<3>(),
            }
            self.sums.fill(0);
            self.summed = 0;
        }
    }

    fn average<const CHANNELS: usize>(&mut self) {
        for group in self.sums.chunks(self.factor as usize * CHANNELS) {
            let pixels = (group.len() / CHANNELS) as u32;
            // 16 bits of a fraction: exact for white, within a quarter of a level else.
            let share = (65_536 + pixels * self.summed / 2) / (pixels * self.summed);
            let mut sums = [0_u32; CHANNELS];
            for pixel in group.as_chunks::<CHANNELS>().0 {
                for (sum, sample) in sums.iter_mut().zip(pixel) {
                    *sum += u32::from(*sample);
                }
            }
            let averages = sums.map(|sum| ((sum * share + 32_768) >> 16).min(255) as u8);
            self.shrunk.extend_from_slice(&averages);
        }
    }

    /// The square, or `None` while rows are missing.
    pub(crate) fn finish(self) -> Option<Square> {
        if self.rows < self.top + self.side {
            return None;
        }
        let out = self.side.div_ceil(self.factor);
        let channels = self.layout.channels();
        let raster = Raster { samples: self.shrunk, width: out, height: out, channels };
        // The last box may cover less than the others: the square ends within it.
        let side = f64::from(self.side) / f64::from(self.factor);
        let plane =
            Plane { raster, window: Window { left: 0.0, top: 0.0, width: side, height: side } };
        Some(if channels == 1 { Square::Gray(plane) } else { Square::Rgb(plane) })
    }
}

/// Side of the boxes that leave enough of a square.
pub(crate) fn factor(side: u32) -> u32 {
    (side / ENOUGH).max(1)
}

/// A row without alpha, composed on white.
fn flatten(layout: Layout, row: &[u8], flat: &mut [u8]) {
    match layout {
        Layout::Gray | Layout::Rgb => flat.copy_from_slice(row),
        Layout::GrayAlpha => {
            for ([gray, alpha], flat) in row.as_chunks().0.iter().zip(flat) {
                *flat = over_white(*gray, *alpha);
            }
        }
        Layout::Rgba => {
            for ([r, g, b, alpha], flat) in row.as_chunks().0.iter().zip(flat.as_chunks_mut().0) {
                *flat = [*r, *g, *b].map(|sample| over_white(sample, *alpha));
            }
        }
        Layout::Premultiplied => {
            for ([r, g, b, alpha], flat) in row.as_chunks().0.iter().zip(flat.as_chunks_mut().0) {
                *flat = [*r, *g, *b].map(|sample| sample.saturating_add(255 - alpha));
            }
        }
    }
}

fn over_white(sample: u8, alpha: u8) -> u8 {
    let (sample, alpha) = (u32::from(sample), u32::from(alpha));
    // Divided by 255, and rounded.
    let sum = sample * alpha + 255 * (255 - alpha) + 128;
    ((sum + (sum >> 8)) >> 8) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shrunk(
        width: u32,
        height: u32,
        layout: Layout,
        pixel: impl Fn(u32, u32) -> Vec<u8>,
    ) -> Plane {
        let mut shrinker = Shrinker::new(width, height, layout);
        for y in 0..height {
            let row: Vec<u8> = (0..width).flat_map(|x| pixel(x, y)).collect();
            shrinker.row(&row);
        }
        match shrinker.finish().unwrap() {
            Square::Gray(plane) | Square::Rgb(plane) => plane,
            _ => unreachable!(),
        }
    }

    #[test]
    fn a_box_is_averaged_and_the_last_one_may_be_smaller() {
        let plane = shrunk(3073, 3080, Layout::Gray, |x, _| vec![if x % 3 == 0 { 90 } else { 0 }]);
        assert_eq!((plane.raster.width, plane.raster.height), (1025, 1025));
        assert!(plane.raster.samples[..1024].iter().all(|sample| *sample == 30));
        assert_eq!(plane.raster.samples[1024], 90);
        assert!((plane.window.width - 3073.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn white_stays_white_whatever_the_box() {
        for side in [1024, 2048, 3072, 5120, 7071] {
            let plane = shrunk(side, side, Layout::Gray, |_, _| vec![255]);
            assert!(plane.raster.samples.iter().all(|sample| *sample == 255), "{side}");
        }
    }

    #[test]
    fn the_centre_is_kept_and_alpha_ends_on_white() {
        let plane = shrunk(7, 3, Layout::Rgba, |x, _| match x {
            2 => vec![255, 0, 0, 255],
            3 => vec![0, 0, 0, 128],
            4 => vec![9, 9, 9, 0],
            _ => vec![1, 1, 1, 255],
        });
        assert_eq!(plane.raster.samples[..9], [255, 0, 0, 127, 127, 127, 255, 255, 255]);
        let plane = shrunk(1, 1, Layout::Premultiplied, |_, _| vec![10, 20, 30, 55]);
        assert_eq!(plane.raster.samples, [210, 220, 230]);
        let plane = shrunk(1, 1, Layout::GrayAlpha, |_, _| vec![0, 51]);
        assert_eq!(plane.raster.samples, [204]);
    }

    #[test]
    fn missing_rows_are_noticed() {
        let mut shrinker = Shrinker::new(2, 2, Layout::Gray);
        shrinker.row(&[0, 0]);
        assert!(shrinker.finish().is_none());
    }
}
