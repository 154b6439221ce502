//! The eight orientations of EXIF, from every format that has them.

use png::{BitDepth, ColorType};

use crate::encode::{self, Png};
use crate::picture::{QUARTERS, Rgb, assert_near, made, rgb, seen};

/// What is seen of the quarters for each orientation, 1 to 8.
fn turned() -> [[Rgb; 4]; 8] {
    let [a, b, c, d] = QUARTERS;
    [
        [a, b, c, d],
        [b, a, d, c],
        [d, c, b, a],
        [c, d, a, b],
        [a, c, b, d],
        [c, a, d, b],
        [d, b, c, a],
        [b, d, a, c],
    ]
}

#[test]
fn an_image_is_seen_as_it_was_taken() {
    let (width, height) = (700, 600);
    let samples = rgb(width, height);
    let jpeg = encode::jpeg(width, height);
    let lossless = encode::webp_lossless(&samples, width, height);
    for (exif, wanted) in (1_u8..).zip(turned()) {
        let block = encode::exif(exif);
        let named = [&b"Exif\0\0"[..], &block].concat();
        let head = encode::webp_head(0x08, width, height);
        let png = Png { exif: Some(block.clone()), ..Png::default() };
        for bytes in [
            encode::with_segment(&jpeg, 0xE1, &named),
            png.of(&samples, (width, height), ColorType::Rgb, BitDepth::Eight),
            encode::webp_of(&[head, lossless[12..].to_vec(), encode::riff(b"EXIF", &block)]),
            encode::tiff(&samples, width, height, u16::from(exif)),
        ] {
            let thumbnails = made(&bytes);
            let size = if exif < 5 { (width, height) } else { (height, width) };
            assert_eq!((thumbnails.width, thumbnails.height), size);
            for thumbnail in &thumbnails.images {
                assert_near(seen(thumbnail), wanted, 8);
            }
        }
    }
}

#[test]
fn a_senseless_orientation_changes_nothing() {
    let jpeg = encode::jpeg(600, 600);
    for block in [encode::exif(0), encode::exif(9), b"II*\0\xF0\xFF\xFF\xFF".to_vec(), vec![]] {
        let named = [&b"Exif\0\0"[..], &block].concat();
        let thumbnails = made(&encode::with_segment(&jpeg, 0xE1, &named));
        assert_near(seen(&thumbnails.images[0]), QUARTERS, 8);
    }
}
