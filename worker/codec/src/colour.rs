//! Colours of the small squares: from luma and chroma, from inks, and from a profile to sRGB.

use std::sync::Arc;

use moxcms::{ColorProfile, DataColorSpace, Layout, TransformExecutor, TransformOptions};

use crate::square::Range;

/// The longest profile that is read; longer ones are ignored like broken ones.
pub(crate) const MAX_PROFILE: usize = 4 * 1024 * 1024;

/// How far off a colour may be for its profile to pass as sRGB.
const SAME: u8 = 2;

/// Colours as a profile describes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inks {
    Gray,
    Rgb,
    Cmyk,
}

/// The way from an image's colours to sRGB.
pub(crate) struct Profile(Arc<dyn TransformExecutor<u8> + Send + Sync>);

impl Profile {
    /// `None` where the samples are to be taken as sRGB: the profile is sRGB, or broken, or one of
    /// other colours than the image has.
    pub(crate) fn read(icc: &[u8], inks: Inks) -> Option<Self> {
        if icc.len() > MAX_PROFILE {
            return None;
        }
        let profile = ColorProfile::new_from_slice(icc).ok()?;
        let (layout, space) = match inks {
            Inks::Gray => (Layout::Gray, DataColorSpace::Gray),
            Inks::Rgb => (Layout::Rgb, DataColorSpace::Rgb),
            Inks::Cmyk => (Layout::Rgba, DataColorSpace::Cmyk),
        };
        if profile.color_space != space {
            return None;
        }
        let srgb = ColorProfile::new_srgb();
        let options = TransformOptions::default();
        let transform = profile.create_transform_8bit(layout, &srgb, Layout::Rgb, options).ok()?;
        let profile = Self(transform);
        (inks == Inks::Cmyk || !profile.is_srgb(inks)).then_some(profile)
    }

    /// Tried with a few colours: profiles of one space come in many forms.
    fn is_srgb(&self, inks: Inks) -> bool {
        const LEVELS: [u8; 5] = [0, 64, 128, 192, 255];
        let gray = LEVELS.map(|level| [level; 3]);
        let mut samples = LEVELS.to_vec();
        let mut same = gray.concat();
        if inks == Inks::Rgb {
            let pure = |level| [[level, 0, 0], [0, level, 0], [0, 0, level], [255, level, 0]];
            same.extend(LEVELS.map(pure).concat().concat());
            samples.clone_from(&same);
        }
        let seen = self.srgb(&samples, same.len() / 3).unwrap_or_default();
        let near = |(same, seen): (&u8, &u8)| same.abs_diff(*seen) <= SAME;
        seen.len() == same.len() && same.iter().zip(&seen).all(near)
    }

    /// RGB samples of so many pixels.
    pub(crate) fn srgb(&self, samples: &[u8], pixels: usize) -> Result<Vec<u8>, String> {
        let mut rgb = vec![0; pixels * 3];
        self.0.transform(samples, &mut rgb).map_err(|error| error.to_string())?;
        Ok(rgb)
    }
}

/// RGB of luma and chroma of the same size (BT.601, as both JPEG and WebP have it).
pub(crate) fn rgb_of_ycc(luma: &[u8], blue: &[u8], red: &[u8], range: Range) -> Vec<u8> {
    // 16 bits of a fraction.
    let (black, gain, red_red, green_blue, green_red, blue_blue) = match range {
        Range::Full => (0, 65_536, 91_881, 22_554, 46_802, 116_130),
        Range::Limited => (16, 76_309, 104_597, 25_675, 53_279, 132_201),
    };
    let clip = |sum: i32| ((sum + 32_768) >> 16).clamp(0, 255) as u8;
    let mut rgb = Vec::with_capacity(luma.len() * 3);
    for ((luma, blue), red) in luma.iter().zip(blue).zip(red) {
        let luma = (i32::from(*luma) - black) * gain;
        let (blue, red) = (i32::from(*blue) - 128, i32::from(*red) - 128);
        rgb.extend_from_slice(&[
            clip(luma + red * red_red),
            clip(luma - blue * green_blue - red * green_red),
            clip(luma + blue * blue_blue),
        ]);
    }
    rgb
}

/// RGB of inverted inks without a profile: what each ink lets through, times what black does.
pub(crate) fn rgb_of_cmyk(samples: &[u8]) -> Vec<u8> {
    let through = |ink: u8, black: u8| {
        let product = u32::from(ink) * u32::from(black) + 128;
        ((product + (product >> 8)) >> 8) as u8
    };
    let pixels = samples.as_chunks::<4>().0.iter();
    pixels.flat_map(|[c, m, y, k]| [*c, *m, *y].map(|ink| through(ink, *k))).collect()
}

/// Full-range luma as WebP has it.
pub(crate) fn limit_luma(samples: &mut [u8]) {
    for sample in samples {
        *sample = (16 + (u32::from(*sample) * 219 + 127) / 255) as u8;
    }
}

/// Full-range chroma as WebP has it.
pub(crate) fn limit_chroma(samples: &mut [u8]) {
    for sample in samples {
        // 16 to 240 around 128.
        *sample = ((i32::from(*sample) - 128) * 224 + 128 * 255 + 127).div_euclid(255) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_black_and_red_in_both_ranges() {
        let full = rgb_of_ycc(&[255, 0, 76], &[128, 128, 85], &[128, 128, 255], Range::Full);
        assert_eq!(full, [255, 255, 255, 0, 0, 0, 254, 0, 0]);
        let (mut luma, mut chroma) = ([255, 0, 76], [128, 255, 0, 85]);
        limit_luma(&mut luma);
        limit_chroma(&mut chroma);
        assert_eq!((luma, chroma), ([235, 16, 81], [128, 240, 16, 90]));
        let limited = rgb_of_ycc(&luma, &[128, 128, 90], &[128, 128, 240], Range::Limited);
        assert_eq!(limited, [255, 255, 255, 0, 0, 0, 254, 0, 0]);
    }

    #[test]
    fn inks_let_light_through() {
        let rgb = rgb_of_cmyk(&[255, 255, 255, 255, 255, 0, 0, 255, 255, 255, 255, 128]);
        assert_eq!(rgb, [255, 255, 255, 255, 0, 0, 128, 128, 128]);
    }

    #[test]
    fn srgb_passes_and_other_profiles_change_colours() {
        let srgb = ColorProfile::new_srgb().encode().unwrap();
        assert!(Profile::read(&srgb, Inks::Rgb).is_none());
        let p3 = ColorProfile::new_display_p3().encode().unwrap();
        let p3 = Profile::read(&p3, Inks::Rgb).unwrap();
        let green = p3.srgb(&[100, 200, 100], 1).unwrap();
        assert!(green[0] < 90 && green[1] > 200, "{green:?}");
        assert!(Profile::read(&srgb, Inks::Cmyk).is_none());
        assert!(Profile::read(b"no profile", Inks::Rgb).is_none());
    }
}
