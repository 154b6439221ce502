//! What a decoder hands on, and the squares made of it.

use image::metadata::Orientation;

use crate::colour::{self, Inks, Profile};
use crate::native::Pixels;
use crate::square::{Plane, Range};
use crate::{Square, orient};

/// A decoded image.
pub(crate) struct Decoded {
    /// As it is stored.
    pub width: u32,
    /// As it is stored.
    pub height: u32,
    pub square: Square,
    pub orientation: Orientation,
    /// An ICC profile.
    pub icc: Option<Vec<u8>>,
}

impl Decoded {
    /// Squares of these sides as they are meant to be seen, in sRGB.
    pub(crate) fn squares(&self, sides: &[u32]) -> Result<Vec<Pixels>, String> {
        let inks = match &self.square {
            Square::Gray(_) => Inks::Gray,
            Square::Rgb(_) | Square::Ycc(..) => Inks::Rgb,
            Square::Cmyk(_) => Inks::Cmyk,
        };
        let profile = self.icc.as_deref().and_then(|icc| Profile::read(icc, inks));
        sides.iter().map(|side| self.square(*side, profile.as_ref())).collect()
    }

    fn square(&self, side: u32, profile: Option<&Profile>) -> Result<Pixels, String> {
        let upright = |samples, channels| orient::upright(samples, channels, self.orientation);
        let half = side.div_ceil(2);
        let pixels = side as usize * side as usize;
        let rgb = match (&self.square, profile) {
            (Square::Gray(plane), None) => {
                let mut luma = upright(plane.resized(side)?, 1);
                colour::limit_luma(&mut luma);
                let neutral = vec![128; half as usize * half as usize];
                return Ok(Pixels::Ycc([luma, neutral.clone(), neutral]));
            }
            (Square::Ycc([luma, blue, red], range), None) => {
                let chroma = |plane: &Plane| -> Result<_, String> {
                    let mut chroma = upright(plane.resized(half)?, 1);
                    if *range == Range::Full {
                        colour::limit_chroma(&mut chroma);
                    }
                    Ok(chroma)
                };
                let mut luma = upright(luma.resized(side)?, 1);
                if *range == Range::Full {
                    colour::limit_luma(&mut luma);
                }
                return Ok(Pixels::Ycc([luma, chroma(blue)?, chroma(red)?]));
            }
            (Square::Ycc([luma, blue, red], range), Some(profile)) => {
                let [luma, blue, red] = [luma, blue, red].map(|plane| plane.resized(side));
                profile.srgb(&colour::rgb_of_ycc(&luma?, &blue?, &red?, *range), pixels)?
            }
            (Square::Gray(plane) | Square::Rgb(plane), Some(profile)) => {
                profile.srgb(&plane.resized(side)?, pixels)?
            }
            (Square::Rgb(plane), None) => plane.resized(side)?,
            (Square::Cmyk(plane), Some(profile)) => {
                // Profiles count ink, JPEG counts paper.
                let inks: Vec<u8> = plane.resized(side)?.iter().map(|paper| 255 - paper).collect();
                profile.srgb(&inks, pixels)?
            }
            (Square::Cmyk(plane), None) => colour::rgb_of_cmyk(&plane.resized(side)?),
        };
        Ok(Pixels::Rgb(upright(rgb, 3)))
    }
}
