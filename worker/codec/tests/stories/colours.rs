//! Transparency ends on white, and colours in sRGB.

use gif::Frame;
use moxcms::ColorProfile;
use png::{BitDepth, ColorType};
use turbojpeg::Subsamp;

use crate::encode::{self, Jpeg, Png};
use crate::picture::{self, QUARTERS, Rgb, assert_near, made, rgb, seen};

/// Side of the images here.
const SIDE: u32 = 600;

/// The quarters: opaque, half transparent, and twice not there at all.
const ALPHAS: [u8; 4] = [255, 128, 0, 0];

fn on_white() -> [Rgb; 4] {
    let half = QUARTERS[1].map(|sample| ((u16::from(sample) * 128 + 255 * 127) / 255) as u8);
    [QUARTERS[0], half, [255; 3], [255; 3]]
}

fn quarter(x: u32, y: u32) -> usize {
    usize::from(x >= SIDE / 2) + 2 * usize::from(y >= SIDE / 2)
}

fn rgba() -> Vec<u8> {
    picture::painted(SIDE, SIDE, |x, y| {
        let [r, g, b] = QUARTERS[quarter(x, y)];
        [r, g, b, ALPHAS[quarter(x, y)]]
    })
}

#[test]
fn alpha_ends_on_white() {
    let alpha: Vec<u8> = rgba().as_chunks::<4>().0.iter().map(|[.., alpha]| *alpha).collect();
    let lossy = made(&encode::png(&rgb(SIDE, SIDE), SIDE, SIDE)).images.remove(1).webp;
    let small = picture::painted(512, 512, |x, y| {
        [alpha[((y * SIDE / 512) * SIDE + x * SIDE / 512) as usize]]
    });
    let lossy = encode::webp_of(&[
        encode::webp_head(0x10, 512, 512),
        encode::riff(b"ALPH", &[&[0], &small[..]].concat()),
        lossy[12..].to_vec(),
    ]);
    for bytes in [
        encode::png_rgba(&rgba(), SIDE, SIDE),
        encode::webp_lossless(&rgba(), SIDE, SIDE),
        encode::tiff_rgba(&rgba(), SIDE, SIDE),
        lossy,
    ] {
        for thumbnail in &made(&bytes).images {
            assert_near(seen(thumbnail), on_white(), 6);
        }
    }
}

#[test]
fn a_transparent_colour_ends_on_white() {
    let (palette, indices) = (encode::palette(), encode::indices(SIDE, SIDE));
    let wanted = [QUARTERS[0], QUARTERS[1], QUARTERS[2], [255; 3]];
    let png =
        Png { palette: Some(&palette), transparent: Some(&[255, 255, 255, 0]), ..Png::default() };
    let png = png.of(&indices, (SIDE, SIDE), ColorType::Indexed, BitDepth::Eight);
    let side = SIDE as u16;
    let gif = Frame::from_indexed_pixels(side, side, indices, Some(3));
    for bytes in [png, encode::gif((side, side), &palette, gif)] {
        for thumbnail in &made(&bytes).images {
            assert_near(seen(thumbnail), wanted, 6);
        }
    }
}

#[test]
fn a_gif_frame_smaller_than_its_canvas_lies_on_white() {
    let mut frame = Frame::from_indexed_pixels(300, 300, vec![2; 300 * 300], None);
    (frame.left, frame.top) = (300, 0);
    let gif = encode::gif((600, 600), &encode::palette(), frame);
    for thumbnail in &made(&gif).images {
        assert_near(seen(thumbnail), [[255; 3], QUARTERS[2], [255; 3], [255; 3]], 4);
    }
}

#[test]
fn other_colours_become_srgb() {
    // Pure as Display P3 has them: beyond sRGB in one channel, and the others differ.
    let p3 = ColorProfile::new_display_p3().encode().unwrap();
    let wanted = QUARTERS.map(|colour| {
        let srgb = ColorProfile::new_srgb();
        let transform = ColorProfile::new_display_p3()
            .create_transform_8bit(
                moxcms::Layout::Rgb,
                &srgb,
                moxcms::Layout::Rgb,
                moxcms::TransformOptions::default(),
            )
            .unwrap();
        let mut seen = [0; 3];
        transform.transform(&colour, &mut seen).unwrap();
        seen
    });
    assert!(wanted[0][0].abs_diff(QUARTERS[0][0]) > 12, "{wanted:?}");
    let samples = rgb(SIDE, SIDE);
    let png = Png { icc: Some(&p3), ..Png::default() };
    let lossless = encode::webp_lossless(&samples, SIDE, SIDE);
    for bytes in [
        encode::with_profile(&encode::jpeg(SIDE, SIDE), &p3),
        png.of(&samples, (SIDE, SIDE), ColorType::Rgb, BitDepth::Eight),
        encode::webp_of(&[
            encode::webp_head(0x20, SIDE, SIDE),
            encode::riff(b"ICCP", &p3),
            lossless[12..].to_vec(),
        ]),
    ] {
        for thumbnail in &made(&bytes).images {
            assert_near(seen(thumbnail), wanted, 8);
        }
    }
}

#[test]
fn a_profile_that_says_nothing_new_changes_nothing() {
    let jpeg =
        Jpeg { subsamp: Subsamp::Sub2x1, ..Jpeg::default() }.of(&rgb(SIDE, SIDE), SIDE, SIDE);
    let plain = made(&jpeg);
    let srgb = ColorProfile::new_srgb().encode().unwrap();
    for icc in [srgb, b"no profile at all".to_vec(), vec![0; 200_000]] {
        assert_eq!(made(&encode::with_profile(&jpeg, &icc)), plain);
    }
}

#[test]
fn deep_and_gray_tiff() {
    for thumbnail in &made(&encode::tiff_deep(SIDE)).images {
        assert_near(seen(thumbnail), QUARTERS, 6);
    }
    let wanted = QUARTERS.map(|colour| [picture::gray(colour); 3]);
    for thumbnail in &made(&encode::tiff_gray(SIDE)).images {
        assert_near(seen(thumbnail), wanted, 3);
    }
    for thumbnail in &made(&encode::tiff_inks(SIDE)).images {
        assert_near(seen(thumbnail), QUARTERS, 6);
    }
}
