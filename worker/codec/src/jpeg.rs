//! JPEG: walked through for what it will cost, decoded at the smallest scale that is enough, and
//! left in luma and chroma, which the thumbnails are written in again.

mod segments;

use segments::Segments;

use crate::budget;
use crate::decoded::Decoded;
use crate::native::{Jpeg, JpegColours, MAX_SCANS, OUT_OF_MEMORY};
use crate::shrink::ENOUGH;
use crate::square::{Plane, Range, Raster, Window};
use crate::{CodecError, Format, Square, orient};

pub(crate) fn decode(bytes: &[u8]) -> Result<Decoded, CodecError> {
    let segments = Segments::read(bytes)?;
    let (width, height) = (segments.width, segments.height);
    budget::pixels(Format::Jpeg, width, height)?;
    if segments.scans > MAX_SCANS {
        let rule = format!("it has {} scans, and may have {MAX_SCANS}", segments.scans);
        return Err(CodecError::complex(Format::Jpeg, rule));
    }
    let eighths = eighths(width.min(height));
    let mut jpeg = Jpeg::open(bytes).map_err(refused)?;
    if jpeg.size() != (width, height) {
        return Err(CodecError::corrupt(Format::Jpeg, "it has two headers"));
    }
    let colours = jpeg.colours();
    budget::memory(Format::Jpeg, bytes, memory(&segments, colours, eighths))?;
    let window = |raster: &Raster, (across, down)| {
        let scale = f64::from(eighths) / 8.0;
        let (across, down) = (scale / f64::from(across), scale / f64::from(down));
        let side = f64::from(width.min(height));
        let left = f64::from((width - width.min(height)) / 2);
        let top = f64::from((height - width.min(height)) / 2);
        Window {
            left: left * across,
            top: top * down,
            width: (side * across).min(f64::from(raster.width)),
            height: (side * down).min(f64::from(raster.height)),
        }
    };
    let plane = |raster: Raster, sampling| {
        let window = window(&raster, sampling);
        Plane { raster, window }
    };
    let whole = || CodecError::corrupt(Format::Jpeg, "it has too few planes");
    let square = match colours {
        JpegColours::Gray | JpegColours::Ycc(..) => {
            let mut planes = jpeg.planes(eighths).map_err(refused)?.into_iter();
            let luma = plane(planes.next().ok_or_else(whole)?, (1, 1));
            if let JpegColours::Ycc(across, down) = colours {
                let blue = plane(planes.next().ok_or_else(whole)?, (across, down));
                let red = plane(planes.next().ok_or_else(whole)?, (across, down));
                Square::Ycc([luma, blue, red], Range::Full)
            } else {
                Square::Gray(luma)
            }
        }
        JpegColours::Rgb => Square::Rgb(plane(jpeg.pixels(eighths).map_err(refused)?, (1, 1))),
        JpegColours::Cmyk => Square::Cmyk(plane(jpeg.pixels(eighths).map_err(refused)?, (1, 1))),
    };
    let orientation = orient::of_exif(segments.exif);
    Ok(Decoded { width, height, square, orientation, icc: segments.profile() })
}

/// The smallest scale that leaves enough of a side, in eighths.
fn eighths(side: u32) -> u32 {
    (1..8).find(|eighths| side * eighths >= 8 * ENOUGH).unwrap_or(8)
}

/// What the decoder holds: the scaled samples; of several scans the coefficients, too.
fn memory(segments: &Segments, colours: JpegColours, eighths: u32) -> u64 {
    let scaled = |side: u32| u64::from(side * eighths).div_ceil(8);
    let pixels = scaled(segments.width) * scaled(segments.height);
    let samples = match colours {
        JpegColours::Gray | JpegColours::Ycc(..) => segments.share(pixels),
        JpegColours::Rgb => 3 * pixels,
        JpegColours::Cmyk => 4 * pixels,
    };
    let blocks = |side: u32| u64::from(side).next_multiple_of(8);
    let coefficients = segments.share(blocks(segments.width) * blocks(segments.height));
    if segments.scans > 1 || segments.progressive { samples + 2 * coefficients } else { samples }
}

fn refused(words: String) -> CodecError {
    if words.contains("nsufficient memory") {
        return CodecError::complex(Format::Jpeg, OUT_OF_MEMORY);
    }
    CodecError::corrupt(Format::Jpeg, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_leaves_twice_the_largest_thumbnail() {
        for (side, scale) in
            [(1, 8), (1023, 8), (1080, 8), (1171, 7), (2048, 4), (3000, 3), (7071, 2)]
        {
            assert_eq!(eighths(side), scale, "{side}");
        }
        assert_eq!(eighths(8192), 1);
    }
}
