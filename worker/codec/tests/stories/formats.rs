//! Every format in, both sizes out.

use codec::Format;
use gif::Frame;
use png::{BitDepth, ColorType};
use turbojpeg::{PixelFormat, Subsamp};

use crate::encode::{self, Jpeg, Png};
use crate::picture::{self, assert_near, assert_shown, made, rgb, seen};

/// Wider than high, higher than wide; larger and smaller than what is decoded at full size.
const SIZES: [(u32, u32); 5] = [(700, 600), (601, 1203), (2100, 1111), (1500, 2345), (4096, 3071)];

#[test]
fn jpeg_of_every_subsampling_and_scale() {
    let every = [
        Subsamp::None,
        Subsamp::Sub2x1,
        Subsamp::Sub2x2,
        Subsamp::Sub1x2,
        Subsamp::Sub4x1,
        Subsamp::Sub1x4,
    ];
    for (width, height) in SIZES {
        let samples = rgb(width, height);
        for (subsamp, progressive) in every.into_iter().flat_map(|s| [(s, false), (s, true)]) {
            // Coefficients of 12 megapixels with all their chroma are too many.
            if progressive && width > 4000 && subsamp != Subsamp::Sub2x2 {
                continue;
            }
            let jpeg = Jpeg { subsamp, progressive, ..Jpeg::default() };
            let thumbnails = made(&jpeg.of(&samples, width, height));
            assert_eq!(thumbnails.format, Format::Jpeg);
            assert_eq!((thumbnails.width, thumbnails.height), (width, height));
            assert_shown(&thumbnails, 6);
        }
    }
}

#[test]
fn jpeg_in_gray_and_in_inks() {
    for (width, height) in SIZES {
        let pixel = |x, y| picture::pixel(x, y, width, height);
        let gray = picture::painted(width, height, |x, y| [picture::gray(pixel(x, y))]);
        let jpeg = Jpeg { format: PixelFormat::GRAY, subsamp: Subsamp::Gray, progressive: false };
        let wanted = picture::QUARTERS.map(|colour| [picture::gray(colour); 3]);
        for thumbnail in &made(&jpeg.of(&gray, width, height)).images {
            assert_near(seen(thumbnail), wanted, 4);
        }
        // Inverted, as everybody stores them: what is left of white, and no black.
        let inks = picture::painted(width, height, |x, y| {
            let [r, g, b] = pixel(x, y);
            [r, g, b, 255]
        });
        let jpeg = Jpeg { format: PixelFormat::CMYK, subsamp: Subsamp::None, progressive: false };
        assert_shown(&made(&jpeg.of(&inks, width, height)), 6);
    }
}

#[test]
fn png_of_every_kind() {
    for (width, height) in SIZES {
        let (size, pixel) = ((width, height), |x, y| picture::pixel(x, y, width, height));
        let deep = picture::painted(width, height, |x, y| {
            let [r, g, b] = pixel(x, y);
            [r, 0xAA, g, 0xBB, b, 0xCC]
        });
        let (palette, indices) = (encode::palette(), encode::indices(width, height));
        let indexed = Png { palette: Some(&palette), ..Png::default() };
        for png in [
            encode::png(&rgb(width, height), width, height),
            Png::default().of(&deep, size, ColorType::Rgb, BitDepth::Sixteen),
            indexed.of(&indices, size, ColorType::Indexed, BitDepth::Eight),
            encode::interlaced_png(&rgb(width, height), width, height),
        ] {
            let thumbnails = made(&png);
            assert_eq!(thumbnails.format, Format::Png);
            assert_eq!((thumbnails.width, thumbnails.height), (width, height));
            assert_shown(&thumbnails, 6);
        }
        let gray = picture::painted(width, height, |x, y| [picture::gray(pixel(x, y))]);
        let png = Png::default().of(&gray, size, ColorType::Grayscale, BitDepth::Eight);
        let wanted = picture::QUARTERS.map(|colour| [picture::gray(colour); 3]);
        for thumbnail in &made(&png).images {
            assert_near(seen(thumbnail), wanted, 3);
        }
    }
}

#[test]
fn png_of_one_bit() {
    // The upper half is white.
    let rows: Vec<u8> = (0..600).flat_map(|y| [if y < 300 { 0xFF } else { 0 }; 75]).collect();
    let png = Png::default().of(&rows, (600, 600), ColorType::Grayscale, BitDepth::One);
    for thumbnail in &made(&png).images {
        assert_near(seen(thumbnail), [[255; 3], [255; 3], [0; 3], [0; 3]], 2);
    }
}

#[test]
fn webp_lossy_and_lossless() {
    let thumbnails = made(&encode::webp_lossy());
    assert_eq!((thumbnails.format, thumbnails.width), (Format::Webp, 512));
    assert_shown(&thumbnails, 6);
    for (width, height) in [(700, 600), (601, 1203), (2100, 1111), (1500, 2345)] {
        let thumbnails = made(&encode::webp_lossless(&rgb(width, height), width, height));
        assert_eq!((thumbnails.width, thumbnails.height), (width, height));
        assert_shown(&thumbnails, 6);
    }
}

#[test]
fn of_an_animated_webp_the_first_frame() {
    let picture = encode::webp_lossy();
    let blank = encode::webp_lossless(&vec![0; 3 * 512 * 512], 512, 512);
    let animation = encode::animation((512, 512), &[((0, 0), &picture), ((0, 0), &blank)]);
    assert_shown(&made(&animation), 6);
    // On a canvas that it does not fill: the lower right quarter is left white.
    let small = made(&encode::webp_lossless(&rgb(256, 256), 256, 256)).images.remove(0).webp;
    let animation = encode::animation((512, 512), &[((256, 256), &small), ((0, 0), &picture)]);
    let thumbnails = made(&animation);
    assert_eq!((thumbnails.width, thumbnails.height), (512, 512));
    let quarters = seen(&thumbnails.images[1]);
    assert_near(
        [quarters[0], quarters[1], quarters[2], [0; 3]],
        [[255; 3], [255; 3], [255; 3], [0; 3]],
        2,
    );
    assert!(quarters[3] != [255; 3]);
}

#[test]
fn gif_and_its_first_frame() {
    for (width, height) in [(700, 600), (601, 1203), (2100, 1111)] {
        let (palette, indices) = (encode::palette(), encode::indices(width, height));
        let frame = |interlaced| {
            let (width, height) = (width as u16, height as u16);
            let mut frame = Frame::from_indexed_pixels(width, height, indices.clone(), None);
            frame.interlaced = interlaced;
            frame
        };
        let gif = encode::gif((width as u16, height as u16), &palette, frame(false));
        let thumbnails = made(&gif);
        assert_eq!((thumbnails.format, thumbnails.width), (Format::Gif, width));
        assert_shown(&thumbnails, 6);
        // The rows as the encoder takes them stay in their order: every eighth, and so on.
        let mut shuffled = frame(true);
        shuffled.buffer = encode::interlaced_rows(&indices, width as usize).into();
        let gif = encode::gif((width as u16, height as u16), &palette, shuffled);
        assert_shown(&made(&gif), 6);
    }
}

#[test]
fn bmp_and_tiff() {
    for (width, height) in [(700, 600), (601, 1203), (2100, 1111)] {
        let samples = rgb(width, height);
        let bmp = made(&encode::bmp(&samples, width, height));
        assert_eq!((bmp.format, bmp.width, bmp.height), (Format::Bmp, width, height));
        assert_shown(&bmp, 6);
        let tiff = made(&encode::tiff(&samples, width, height, 1));
        assert_eq!((tiff.format, tiff.width, tiff.height), (Format::Tiff, width, height));
        assert_shown(&tiff, 6);
        assert_shown(&made(&encode::tiled_tiff(&samples, width, height)), 6);
    }
}

#[test]
fn a_small_image_is_not_enlarged() {
    for (width, height) in [(300, 400), (333, 333), (90, 77), (2, 5), (1, 1), (257, 9)] {
        let samples = rgb(width, height);
        for bytes in [
            encode::jpeg(width, height),
            encode::png(&samples, width, height),
            encode::webp_lossless(&samples, width, height),
            encode::bmp(&samples, width, height),
            encode::tiff(&samples, width, height, 1),
        ] {
            let thumbnails = made(&bytes);
            let side = width.min(height);
            for (thumbnail, size) in thumbnails.images.iter().zip(codec::SIZES) {
                let real = size.min(side);
                assert_eq!((thumbnail.size, thumbnail.width, thumbnail.height), (size, real, real));
                // Decoded, and of the size it tells.
                let quarters = seen(thumbnail);
                if side > 64 {
                    assert_near(quarters, picture::QUARTERS, 8);
                }
            }
        }
    }
}
