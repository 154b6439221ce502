//! PNG: rows are shrunk as they are decoded; interlaced ones come together only at the end.

use std::io::Cursor;

use png::{BitDepth, ColorType, DecodingError, Limits, Transformations};

use crate::budget;
use crate::colour::MAX_PROFILE;
use crate::decoded::Decoded;
use crate::shrink::{Layout, Shrinker};
use crate::{CodecError, Format, orient};

pub(crate) fn decode(bytes: &[u8]) -> Result<Decoded, CodecError> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_limits(Limits { bytes: MAX_PROFILE });
    decoder.set_ignore_text_chunk(true);
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    let header = decoder.read_header_info().map_err(refused)?;
    let (width, height) = header.size();
    budget::pixels(Format::Png, width, height)?;
    let row = header.raw_row_length() as u64;
    let mut reader = decoder.read_info().map_err(refused)?;
    let layout = match reader.output_color_type() {
        (ColorType::Grayscale, BitDepth::Eight) => Layout::Gray,
        (ColorType::GrayscaleAlpha, BitDepth::Eight) => Layout::GrayAlpha,
        (ColorType::Rgb, BitDepth::Eight) => Layout::Rgb,
        (ColorType::Rgba, BitDepth::Eight) => Layout::Rgba,
        _ => return Err(CodecError::corrupt(Format::Png, "its samples are of no known kind")),
    };
    let line = width as usize * layout.samples();
    let interlaced = reader.info().interlaced;
    let rows = if interlaced { line as u64 * u64::from(height) } else { 0 };
    let needs = 3 * row + line as u64 + rows + Shrinker::memory(width, height, layout);
    budget::memory(Format::Png, bytes, needs)?;
    let mut shrinker = Shrinker::new(width, height, layout);
    if interlaced {
        let mut pixels = vec![0; line * height as usize];
        reader.next_frame(&mut pixels).map_err(refused)?;
        pixels.chunks_exact(line).for_each(|row| shrinker.row(row));
    } else {
        let mut row = vec![0; line];
        while reader.read_row(&mut row).map_err(refused)?.is_some() {
            shrinker.row(&row);
        }
    }
    let missing = || CodecError::corrupt(Format::Png, "it has too few rows");
    let square = shrinker.finish().ok_or_else(missing)?;
    // Metadata may follow the pixels; whatever is wrong there, the picture is whole.
    let _ = reader.finish();
    let info = reader.info();
    let orientation = orient::of_exif(info.exif_metadata.as_deref());
    let icc = info.icc_profile.as_deref().map(<[u8]>::to_vec);
    Ok(Decoded { width, height, square, orientation, icc })
}

fn refused(error: DecodingError) -> CodecError {
    match error {
        DecodingError::LimitsExceeded => CodecError::complex(
            Format::Png,
            format!("a chunk of it takes more than {MAX_PROFILE} bytes"),
        ),
        error => CodecError::corrupt(Format::Png, error),
    }
}
