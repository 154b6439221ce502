//! Good images that take about as much memory as they may.

use gif::Frame;
use turbojpeg::Subsamp;

use super::{COMPLEX, Case, MADE, through_the_program};
use crate::encode::{self, Jpeg};
use crate::picture::rgb;

#[test]
fn heavy() {
    let jpeg = |width, height, subsamp, progressive| {
        let jpeg = Jpeg { subsamp, progressive, ..Jpeg::default() };
        jpeg.of(&rgb(width, height), width, height)
    };
    let gif = |side: u16| {
        let pixels = vec![0; usize::from(side) * usize::from(side)];
        let mut frame = Frame::from_indexed_pixels(side, side, pixels, None);
        frame.interlaced = true;
        encode::gif((side, side), &encode::palette(), frame)
    };
    let stuffed = |mut bytes: Vec<u8>| {
        bytes.resize(codec::MAX_BYTES, 0);
        bytes
    };
    let cases: Vec<Case> = vec![
        ("a JPEG of 12 megapixels", jpeg(4000, 3000, Subsamp::Sub2x2, false), MADE),
        ("a JPEG of 49 megapixels", jpeg(7000, 7000, Subsamp::None, false), MADE),
        (
            "a JPEG of 49 megapixels and 25 MB",
            stuffed(jpeg(7000, 7000, Subsamp::Sub2x2, false)),
            MADE,
        ),
        ("a panorama", jpeg(20_000, 1100, Subsamp::Sub2x2, false), MADE),
        ("a long panorama", jpeg(45_000, 1000, Subsamp::None, false), COMPLEX),
        ("a progressive JPEG of 15 megapixels", jpeg(4000, 3840, Subsamp::Sub2x2, true), MADE),
        ("a progressive JPEG of 7 megapixels", jpeg(2700, 2700, Subsamp::None, true), MADE),
        (
            "an interlaced PNG of 14 megapixels",
            encode::interlaced_png(&rgb(3700, 3900), 3700, 3900),
            MADE,
        ),
        ("a PNG of 49 megapixels", encode::png(&rgb(7000, 7000), 7000, 7000), MADE),
        (
            "a lossless WebP of 10 megapixels",
            encode::webp_lossless(&rgb(3300, 3200), 3300, 3200),
            MADE,
        ),
        ("a BMP of 7 megapixels", encode::bmp(&rgb(2700, 2700), 2700, 2700), MADE),
        ("a GIF of 42 interlaced megapixels", gif(6500), MADE),
    ];
    through_the_program(cases);
}
