//! GIF: its first frame, on the canvas that the frame may not fill.

use std::num::NonZeroU64;

use gif::{ColorOutput, DecodeOptions, DecodingError, MemoryLimit};
use image::metadata::Orientation;

use crate::budget;
use crate::decoded::Decoded;
use crate::shrink::{Layout, Shrinker};
use crate::{CodecError, Format};

/// For blocks that are no pixels.
const BLOCKS: NonZeroU64 = NonZeroU64::new(4 * 1024 * 1024).unwrap();

pub(crate) fn decode(bytes: &[u8]) -> Result<Decoded, CodecError> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.set_memory_limit(MemoryLimit::Bytes(BLOCKS));
    options.check_frame_consistency(true);
    let mut decoder = options.read_info(bytes).map_err(refused)?;
    let (width, height) = (u32::from(decoder.width()), u32::from(decoder.height()));
    budget::pixels(Format::Gif, width, height)?;
    let frame = decoder.next_frame_info().map_err(refused)?;
    let frame = frame.ok_or_else(|| CodecError::corrupt(Format::Gif, "it has no frame"))?;
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let (across, down) = (usize::from(frame.width), usize::from(frame.height));
    let (interlaced, transparent) = (frame.interlaced, frame.transparent);
    let held = if interlaced { across * down } else { across };
    let needs = held as u64 + Shrinker::memory(width, height, Layout::Rgba);
    budget::memory(Format::Gif, bytes, needs + 4 * u64::from(width))?;

    let mut palette = [[0, 0, 0, 255]; 256];
    let colours = decoder.palette().map_err(refused)?.as_chunks::<3>().0;
    for (entry, [r, g, b]) in palette.iter_mut().zip(colours) {
        *entry = [*r, *g, *b, 255];
    }
    if let Some(index) = transparent {
        palette[usize::from(index)] = [0; 4];
    }
    let mut indices = vec![0; held];
    if interlaced {
        decoder.read_into_buffer(&mut indices).map_err(refused)?;
    }
    let mut shrinker = Shrinker::new(width, height, Layout::Rgba);
    let mut row = vec![0; 4 * width as usize];
    for y in 0..height as usize {
        if (top..top + down).contains(&y) && across > 0 {
            let from = if interlaced { (y - top) * across } else { 0 };
            if !interlaced && !decoder.fill_buffer(&mut indices).map_err(refused)? {
                return Err(CodecError::corrupt(Format::Gif, "it ends early"));
            }
            let pixels = row.as_chunks_mut::<4>().0.iter_mut().skip(left);
            for (pixel, index) in pixels.zip(&indices[from..from + across]) {
                *pixel = palette[usize::from(*index)];
            }
        } else {
            row.fill(0);
        }
        shrinker.row(&row);
    }
    let missing = || CodecError::corrupt(Format::Gif, "it has too few rows");
    let square = shrinker.finish().ok_or_else(missing)?;
    Ok(Decoded { width, height, square, orientation: Orientation::NoTransforms, icc: None })
}

fn refused(error: DecodingError) -> CodecError {
    match error {
        DecodingError::OutOfMemory | DecodingError::MemoryLimit => CodecError::complex(
            Format::Gif,
            format!("a block of it takes more than {BLOCKS} bytes"),
        ),
        error => CodecError::corrupt(Format::Gif, error),
    }
}
