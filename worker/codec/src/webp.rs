//! WebP: a lossy picture stays in luma and chroma, like the thumbnails; of an animation the first
//! frame is decoded, on a canvas that it may not fill.

mod container;

use container::Container;

use crate::budget;
use crate::decoded::Decoded;
use crate::native::{self, OUT_OF_MEMORY, WebpColours, WebpHeader};
use crate::shrink::{self, Layout, Shrinker};
use crate::square::{Plane, Range, Raster, Window};
use crate::{CodecError, Format, Square, orient};

pub(crate) fn decode(bytes: &[u8]) -> Result<Decoded, CodecError> {
    let container = Container::read(bytes)?;
    let header = native::webp_header(container.picture).map_err(refused)?;
    let (width, height) = container.canvas.unwrap_or((header.width, header.height));
    budget::pixels(Format::Webp, width, height)?;
    budget::pixels(Format::Webp, header.width, header.height)?;
    let (left, top) = container.place;
    if left + header.width > width || top + header.height > height {
        return Err(CodecError::corrupt(Format::Webp, "its first frame is outside of its canvas"));
    }
    let square = if (header.width, header.height) == (width, height) {
        filling(bytes, &container, header)?
    } else {
        placed(bytes, &container, header, (width, height))?
    };
    let orientation = orient::of_exif(container.exif);
    Ok(Decoded { width, height, square, orientation, icc: container.icc.map(<[u8]>::to_vec) })
}

/// A picture that is as large as the image: only its centre is decoded, and shrunk meanwhile.
fn filling(
    bytes: &[u8],
    container: &Container<'_>,
    header: WebpHeader,
) -> Result<Square, CodecError> {
    let WebpHeader { width, height, alpha, lossless } = header;
    let side = width.min(height);
    let factor = shrink::factor(side);
    let out = side.div_ceil(factor);
    let colours = match (alpha, lossless) {
        (true, _) => WebpColours::Premultiplied,
        (false, true) => WebpColours::Rgb,
        (false, false) => WebpColours::Ycc,
    };
    let samples = match colours {
        WebpColours::Premultiplied => 4 + 3,
        WebpColours::Rgb | WebpColours::Ycc => 3,
    };
    let held = held(container, header) + samples * u64::from(out) * u64::from(out);
    budget::memory(Format::Webp, bytes, held)?;
    let even = |room: u32| (room / 2) & !1;
    let part = (even(width - side), even(height - side), side, side);
    let scaled = (factor > 1).then_some(out);
    let mut rasters = native::webp_decode(container.picture, part, scaled, colours)
        .map_err(|why| lacking(container, why))?;
    // Scaling is exact: the whole side is in the whole raster.
    let out = f64::from(out);
    let plane = |raster: Raster, side: f64| {
        let window = Window { left: 0.0, top: 0.0, width: side, height: side };
        Plane { raster, window }
    };
    match (rasters.pop(), rasters.pop(), rasters.pop()) {
        (Some(red), Some(blue), Some(luma)) => Ok(Square::Ycc(
            [plane(luma, out), plane(blue, out / 2.0), plane(red, out / 2.0)],
            Range::Limited,
        )),
        (Some(raster), None, _) if raster.channels == 4 => {
            let mut shrinker = Shrinker::new(raster.width, raster.height, Layout::Premultiplied);
            let rows = raster.samples.chunks_exact(4 * raster.width as usize);
            rows.for_each(|row| shrinker.row(row));
            shrinker.finish().ok_or_else(|| refused("it has too few rows"))
        }
        (Some(raster), None, _) => Ok(Square::Rgb(plane(raster, out))),
        _ => Err(refused("it has too few planes")),
    }
}

/// A first frame that is smaller than the canvas, which is white around it.
fn placed(
    bytes: &[u8],
    container: &Container<'_>,
    header: WebpHeader,
    (width, height): (u32, u32),
) -> Result<Square, CodecError> {
    let layout = Layout::Premultiplied;
    let pixels = u64::from(header.width) * u64::from(header.height);
    let shrunk = Shrinker::memory(width, height, layout) + 4 * u64::from(width);
    budget::memory(Format::Webp, bytes, held(container, header) + 4 * pixels + shrunk)?;
    let part = (0, 0, header.width, header.height);
    let frame = native::webp_decode(container.picture, part, None, WebpColours::Premultiplied)
        .map_err(|why| lacking(container, why))?
        .pop()
        .ok_or_else(|| refused("it has no frame"))?;
    let (left, top) = (container.place.0 as usize, container.place.1);
    let mut shrinker = Shrinker::new(width, height, layout);
    let mut row = vec![0; 4 * width as usize];
    let mut rows = frame.samples.chunks_exact(4 * frame.width as usize);
    for y in 0..height {
        row.fill(0);
        if y >= top
            && let Some(pixels) = rows.next()
        {
            row[4 * left..4 * left + pixels.len()].copy_from_slice(pixels);
        }
        shrinker.row(&row);
    }
    shrinker.finish().ok_or_else(|| refused("it has too few rows"))
}

/// Bytes that the decoder holds for itself.
fn held(container: &Container<'_>, header: WebpHeader) -> u64 {
    let each = match (header.lossless, container.packed_alpha) {
        (true, _) => 4,
        (false, None) => 0,
        (false, Some(false)) => 1,
        (false, Some(true)) => 5,
    };
    // A few rows besides.
    each * u64::from(header.width) * u64::from(header.height) + 64 * u64::from(header.width)
}

/// Alpha that is invalid is told as a lack of memory; what it takes was looked at before.
fn lacking(container: &Container<'_>, why: &str) -> CodecError {
    let alpha = why == OUT_OF_MEMORY && container.packed_alpha.is_some();
    refused(if alpha { "its alpha cannot be decoded" } else { why })
}

fn refused(why: &str) -> CodecError {
    if why == OUT_OF_MEMORY {
        return CodecError::complex(Format::Webp, why);
    }
    CodecError::corrupt(Format::Webp, why)
}
