//! TIFF: its first image, strip by strip, or one row of tiles after another.

mod fields;
mod samples;

use std::io::Cursor;

use image::metadata::Orientation;
use samples::Samples;
use tiff::decoder::{Decoder, Limits};
use tiff::tags::Tag;
use tiff::{TiffError, TiffUnsupportedError};

use crate::budget::{self, MAX_MEMORY, MAX_PIXELS};
use crate::colour::MAX_PROFILE;
use crate::decoded::Decoded;
use crate::shrink::Shrinker;
use crate::{CodecError, Format};

/// Strips and tiles that an image may have: each is opened on its own.
const MAX_CHUNKS: u64 = 65_536;

type Reader<'a> = Decoder<Cursor<&'a [u8]>>;

pub(crate) fn decode(bytes: &[u8]) -> Result<Decoded, CodecError> {
    let profile = fields::profile(bytes)?;
    let mut limits = Limits::default();
    limits.decoding_buffer_size = MAX_MEMORY as usize;
    limits.intermediate_buffer_size = MAX_MEMORY as usize;
    limits.ifd_value_size = MAX_PROFILE;
    let mut tiff = Decoder::new(Cursor::new(bytes)).map_err(refused)?.with_limits(limits);
    let (width, height) = tiff.dimensions().map_err(refused)?;
    budget::pixels(Format::Tiff, width, height)?;
    let samples = Samples::of(&mut tiff)?;
    let grid = Grid::of(&tiff, width, height)?;

    let padded = u64::from(tiff.chunk_dimensions().0) * samples.stored() as u64;
    let held = grid.chunk(&samples) + grid.band(&samples) + padded + 2 * u64::from(width) * 4;
    let shrunk = Shrinker::memory(width, height, samples.layout);
    budget::memory(Format::Tiff, bytes, held + shrunk)?;

    let mut shrinker = Shrinker::new(width, height, samples.layout);
    let mut chunk = vec![0; grid.chunk(&samples) as usize];
    let mut band = vec![0; grid.band(&samples) as usize];
    let mut row = Vec::with_capacity(width as usize * samples.layout.samples());
    let line = samples.line(width);
    for first in 0..grid.rows {
        let rows = grid.down.min(height - first * grid.down) as usize;
        for column in 0..grid.columns {
            let index = first * grid.columns + column;
            tiff.read_chunk_bytes(index, &mut chunk).map_err(refused)?;
            if grid.columns > 1 {
                let from = samples.line(column * grid.across);
                let tiled = samples.line(grid.across.min(width - column * grid.across));
                for (to, tile) in band.chunks_mut(line).zip(chunk.chunks(tiled)).take(rows) {
                    to[from..from + tiled].copy_from_slice(&tile[..tiled]);
                }
            }
        }
        let whole = if grid.columns > 1 { &band } else { &chunk };
        for packed in whole.chunks_exact(line).take(rows) {
            samples.unpack(packed, width, &mut row);
            shrinker.row(&row);
        }
    }
    let missing = || CodecError::corrupt(Format::Tiff, "it has too few rows");
    let square = shrinker.finish().ok_or_else(missing)?;
    let orientation = tiff.find_tag_unsigned::<u8>(Tag::Orientation).ok().flatten();
    let orientation = orientation.and_then(Orientation::from_exif);
    let orientation = orientation.unwrap_or(Orientation::NoTransforms);
    // Of inks it describes nothing that is left.
    let icc = profile.filter(|icc| icc.len() <= MAX_PROFILE && !samples.inked());
    Ok(Decoded { width, height, square, orientation, icc: icc.map(<[u8]>::to_vec) })
}

/// How the image is cut into strips or tiles.
struct Grid {
    width: u32,
    across: u32,
    down: u32,
    columns: u32,
    rows: u32,
}

impl Grid {
    fn of(tiff: &Reader<'_>, width: u32, height: u32) -> Result<Self, CodecError> {
        let (wide, long) = tiff.chunk_dimensions();
        let (across, down) = (wide.min(width), long.min(height));
        let grid = Self {
            width,
            across,
            down,
            columns: width.div_ceil(across),
            rows: height.div_ceil(down),
        };
        let chunks = u64::from(grid.columns) * u64::from(grid.rows);
        if chunks > MAX_CHUNKS {
            let rule = format!("it has {chunks} strips or tiles, and may have {MAX_CHUNKS}");
            return Err(CodecError::complex(Format::Tiff, rule));
        }
        if u64::from(wide) * u64::from(grid.columns) * u64::from(height) > 2 * MAX_PIXELS {
            return Err(CodecError::complex(Format::Tiff, "its tiles are mostly padding"));
        }
        Ok(grid)
    }

    /// Bytes of a strip or tile.
    fn chunk(&self, samples: &Samples) -> u64 {
        samples.line(self.across) as u64 * u64::from(self.down)
    }

    /// Bytes of a row of tiles; a strip is one as it is.
    fn band(&self, samples: &Samples) -> u64 {
        if self.columns > 1 { samples.line(self.width) as u64 * u64::from(self.down) } else { 0 }
    }
}

fn refused(error: TiffError) -> CodecError {
    match error {
        TiffError::LimitsExceeded => {
            let rule = format!("a field of it takes more than {MAX_PROFILE} bytes");
            CodecError::complex(Format::Tiff, rule)
        }
        TiffError::UnsupportedError(error) => unsupported(&error),
        error => CodecError::corrupt(Format::Tiff, error),
    }
}

fn unsupported(error: &TiffUnsupportedError) -> CodecError {
    match error {
        TiffUnsupportedError::UnsupportedCompressionMethod(method) => {
            CodecError::unsupported(format!("TIFF compressed with {method:?}"))
        }
        TiffUnsupportedError::InterpretationWithBits(interpretation, bits) => {
            let bits = bits.first().copied().unwrap_or_default();
            CodecError::unsupported(format!("TIFF with {bits} bits of {interpretation:?}"))
        }
        _ => CodecError::unsupported("TIFF of this kind"),
    }
}
