//! WebP and GIF.

use gif::{Encoder, ExtensionData, Frame};

use super::{COMPLEX, CORRUPT, Case, LARGE, MADE, cuts, through_the_program};
use crate::bits::many_codes;
use crate::encode::{self, animation, riff, webp_head, webp_of};
use crate::picture::{made, rgb};

fn webps() -> Vec<Case> {
    let lossy = encode::webp_lossy();
    let lossless = encode::webp_lossless(&rgb(700, 600), 700, 600);
    let tiny = made(&encode::png(&rgb(16, 16), 16, 16)).images.remove(0).webp;
    let mut cases = cuts("a lossy WebP cut off", &lossy);
    cases.extend(cuts("a lossless WebP cut off", &lossless));
    // The length of the file is as it was cut: its picture is what ends early.
    for part in [30, 50, 90] {
        let end = 20 + (lossy.len() - 20) * part / 100;
        cases.push(("a lossy WebP cut off honestly", webp_of(&[lossy[12..end].to_vec()]), CORRUPT));
    }
    let big = |side: u32| encode::webp_lossless(&vec![90; 3 * (side * side) as usize], side, side);
    let moving = |frames: &[Vec<u8>]| {
        let head = [webp_head(2, 512, 512), riff(b"ANIM", &[0; 6])];
        webp_of(&[&head[..], frames].concat())
    };
    let frame = |place: [u8; 6], data: &[u8]| {
        riff(b"ANMF", &[&place, &[255, 1, 0, 255, 1, 0, 0, 0, 0, 0][..], data].concat())
    };
    let garbled = |from: usize| {
        let mut bytes = lossy.clone();
        bytes[from..].iter_mut().zip(1_u32..).for_each(|(byte, n)| *byte = ((n * 97) >> 3) as u8);
        bytes
    };
    cases.extend([
        ("10,000 frames", animation((16, 16), &vec![((0, 0), &tiny); 10_000]), MADE),
        (
            "10,000 frames on 49 megapixels",
            { animation((7000, 7000), &vec![((0, 0), &tiny); 10_000]) },
            MADE,
        ),
        (
            "a canvas of 2^24 x 2^24",
            webp_of(&[webp_head(2, 1 << 24, 1 << 24), frame([0; 6], &lossy[12..])]),
            LARGE,
        ),
        (
            "a canvas that the picture does not fill",
            webp_of(&[webp_head(0, 600, 600), lossy[12..].to_vec()]),
            CORRUPT,
        ),
        (
            "a frame outside of the canvas",
            moving(&[frame([9, 0, 0, 9, 0, 0], &lossy[12..])]),
            CORRUPT,
        ),
        ("a frame far outside", moving(&[frame([255; 6], &lossy[12..])]), CORRUPT),
        ("an animation without frames", moving(&[]), CORRUPT),
        ("a frame without a picture", moving(&[frame([0; 6], &riff(b"JUNK", b"?"))]), CORRUPT),
        ("a frame of nothing", moving(&[riff(b"ANMF", &[])]), CORRUPT),
        ("a frame in a frame", moving(&[frame([0; 6], &frame([0; 6], &lossy[12..]))]), CORRUPT),
        ("no picture", webp_of(&[]), CORRUPT),
        (
            "a longer file than there is",
            {
                let mut bytes = lossy.clone();
                bytes[4..8].fill(0xFF);
                bytes
            },
            CORRUPT,
        ),
        (
            "a longer chunk than there is",
            {
                let mut bytes = lossy.clone();
                bytes[16..20].fill(0xFF);
                bytes
            },
            CORRUPT,
        ),
        (
            "lossy, 16,383 x 16,383 pixels",
            {
                let mut bytes = lossy.clone();
                bytes[26..30].copy_from_slice(&[0xFF, 0x3F, 0xFF, 0x3F]);
                bytes
            },
            LARGE,
        ),
        (
            "lossy, 49 megapixels of no data",
            {
                let mut bytes = lossy.clone();
                bytes[26..30].copy_from_slice(&[0x58, 0x1B, 0x58, 0x1B]);
                bytes
            },
            CORRUPT,
        ),
        (
            "lossless, 16,384 x 16,384 pixels",
            {
                let mut bytes = lossless.clone();
                bytes[21..24].fill(0xFF);
                bytes[24] |= 0x0F;
                bytes
            },
            LARGE,
        ),
        ("lossless, 16 megapixels", big(4000), COMPLEX),
        ("lossless, 9 megapixels", big(3000), MADE),
        ("1,000 codes", many_codes(1024, 1000), MADE),
        ("65,536 codes", many_codes(1024, 65_536), COMPLEX),
        ("20,000 codes", many_codes(1024, 20_000), COMPLEX),
        ("4,000 codes in 11 megapixels", many_codes(3400, 4000), COMPLEX),
        (
            "alpha of an unknown kind",
            {
                webp_of(&[
                    webp_head(0x10, 512, 512),
                    riff(b"ALPH", &[0xFF; 99]),
                    lossy[12..].to_vec(),
                ])
            },
            CORRUPT,
        ),
        (
            "alpha that ends early",
            {
                webp_of(&[webp_head(0x10, 512, 512), riff(b"ALPH", &[0; 99]), lossy[12..].to_vec()])
            },
            CORRUPT,
        ),
        ("a garbled header", garbled(20), CORRUPT),
        (
            "a profile of 20 MB",
            webp_of(&[
                webp_head(0x20, 512, 512),
                riff(b"ICCP", &vec![0; 20_000_000]),
                lossy[12..].to_vec(),
            ]),
            MADE,
        ),
        ("HTML behind the picture", [&lossy[..], b"<html><script>"].concat(), MADE),
    ]);
    cases
}

fn gifs() -> Vec<Case> {
    let (palette, indices) = (encode::palette(), encode::indices(700, 600));
    let plain =
        encode::gif((700, 600), &palette, Frame::from_indexed_pixels(700, 600, indices, None));
    let mut cases = cuts("a GIF cut off", &plain[..plain.len() - 2]);
    let patched = |at: usize, with: &[u8]| [&plain[..at], with, &plain[at + with.len()..]].concat();
    // Behind the header, the palette of eight colours and the block before the frame.
    let frame =
        plain.windows(10).position(|w| w[0] == 0x2C && w[5..9] == [0xBC, 2, 0x58, 2]).unwrap();
    let many = {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, 16, 16, &palette).unwrap();
        for _ in 0..10_000 {
            encoder.write_frame(&Frame::from_indexed_pixels(16, 16, vec![1; 256], None)).unwrap();
        }
        drop(encoder);
        bytes
    };
    let blank = |side: u16, interlaced| {
        let pixels = vec![0; usize::from(side) * usize::from(side)];
        let mut frame = Frame::from_indexed_pixels(side, side, pixels, None);
        frame.interlaced = interlaced;
        encode::gif((side, side), &palette, frame)
    };
    let noted = {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, 16, 16, &palette).unwrap();
        encoder
            .write_extension(ExtensionData::new_control_ext(
                1,
                gif::DisposalMethod::Any,
                false,
                None,
            ))
            .unwrap();
        let blocks = vec![[b'x'; 255].as_slice(); 70_000];
        let blocks = [&[&b"XMP DataXMP"[..]], &blocks[..]].concat();
        encoder.write_raw_extension(gif::AnyExtension(0xFF), &blocks).unwrap();
        encoder.write_frame(&Frame::from_indexed_pixels(16, 16, vec![1; 256], None)).unwrap();
        drop(encoder);
        bytes
    };
    cases.extend([
        ("10,000 frames", many, MADE),
        ("65,535 x 65,535 pixels", patched(6, &[0xFF; 4]), LARGE),
        ("no canvas", patched(6, &[0; 4]), CORRUPT),
        ("a frame outside of the canvas", patched(frame + 1, &[9, 0]), CORRUPT),
        ("a frame larger than the canvas", patched(frame + 5, &[0xFF; 4]), CORRUPT),
        ("a frame of no pixels", patched(frame + 5, &[0; 4]), MADE),
        (
            "no palette",
            {
                let bare = patched(10, &[0]);
                [&bare[..13], &bare[13 + 24..]].concat()
            },
            CORRUPT,
        ),
        ("codes of 200 bits", patched(frame + 10, &[200]), CORRUPT),
        ("garbled data", patched(frame + 12, &[0xA5; 99]), CORRUPT),
        ("49 megapixels of one colour", blank(7000, false), MADE),
        ("49 interlaced megapixels", blank(7000, true), COMPLEX),
        ("a note of 18 MB", noted, COMPLEX),
        ("HTML behind the header", b"GIF89a<html><script>alert(1)</script></html>".to_vec(), LARGE),
        ("HTML behind the picture", [&plain[..], b"<html><script>"].concat(), MADE),
        ("a header and no more", b"GIF89a".to_vec(), CORRUPT),
    ]);
    cases
}

#[test]
fn animations() {
    through_the_program([webps(), gifs()].concat());
}
