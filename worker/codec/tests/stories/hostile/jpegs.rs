//! JPEG.

use turbojpeg::{Compressor, Image, PixelFormat, Subsamp};

use super::{COMPLEX, CORRUPT, Case, LARGE, MADE, UNSUPPORTED, cuts, through_the_program};
use crate::encode::{self, Jpeg, with_profile, with_segment};
use crate::picture::rgb;

/// Where the first segment of this kind starts: its marker.
fn find(jpeg: &[u8], marker: u8) -> usize {
    let mut at = 2;
    loop {
        assert_eq!(jpeg[at], 0xFF);
        if jpeg[at + 1] == marker {
            return at;
        }
        at += 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
    }
}

/// With other bytes at a place of its frame header.
fn framed(jpeg: &[u8], sof: u8, at: usize, bytes: &[u8]) -> Vec<u8> {
    let start = find(jpeg, sof) + at;
    [&jpeg[..start], bytes, &jpeg[start + bytes.len()..]].concat()
}

fn sized(jpeg: &[u8], sof: u8, width: u16, height: u16) -> Vec<u8> {
    framed(jpeg, sof, 5, &[height.to_be_bytes(), width.to_be_bytes()].concat())
}

/// The last scan again and again.
fn scans(jpeg: &[u8], count: usize) -> Vec<u8> {
    let last = jpeg.windows(2).rposition(|pair| pair == [0xFF, 0xDA]).unwrap();
    let (head, scan) = (&jpeg[..last], &jpeg[last..jpeg.len() - 2]);
    [head, &scan.repeat(count), &jpeg[jpeg.len() - 2..]].concat()
}

fn progressive(width: u32, height: u32, subsamp: Subsamp) -> Vec<u8> {
    let jpeg = Jpeg { subsamp, progressive: true, ..Jpeg::default() };
    jpeg.of(&rgb(width, height), width, height)
}

fn variant(change: impl Fn(&mut Compressor)) -> Vec<u8> {
    let samples = rgb(64, 64);
    let mut compressor = Compressor::new().unwrap();
    change(&mut compressor);
    let (width, height, pitch, format) = (64, 64, 192, PixelFormat::RGB);
    let pixels = &samples[..];
    compressor.compress_to_vec(Image { pixels, width, pitch, height, format }).unwrap()
}

/// A gray JPEG of nothing, in as many scans as a valid one can have: one for each coefficient.
fn blank_scans(side: u16) -> Vec<u8> {
    let segment = |marker: u8, body: &[u8]| {
        [&[0xFF, marker][..], &(body.len() as u16 + 2).to_be_bytes(), body].concat()
    };
    let size = side.to_be_bytes();
    let one_code = |class: u8, symbol: u8| [&[class, 1][..], &[0; 15], &[symbol]].concat();
    let blocks = usize::from(side).div_ceil(8).pow(2);
    let mut jpeg = vec![0xFF, 0xD8];
    jpeg.extend(segment(0xDB, &[&[0][..], &[1; 64]].concat()));
    jpeg.extend(segment(0xC2, &[&[8][..], &size, &size, &[1, 1, 0x11, 0]].concat()));
    // No difference; and a run of empty blocks, with 14 bits of its length.
    jpeg.extend(segment(0xC4, &[one_code(0, 0), one_code(0x10, 0xE0)].concat()));
    jpeg.extend(segment(0xDA, &[1, 1, 0, 0, 0, 0]));
    jpeg.extend(vec![0; blocks.div_ceil(8)]);
    for coefficient in 1..64 {
        jpeg.extend(segment(0xDA, &[1, 1, 0, coefficient, coefficient, 0]));
        let run = [&[false][..], &[true; 14]].concat();
        let bits = run.repeat(blocks.div_ceil(32_767));
        for byte in bits.chunks(8) {
            let byte =
                (0..8).fold(0, |sum, bit| sum << 1 | u8::from(*byte.get(bit).unwrap_or(&true)));
            jpeg.push(byte);
            if byte == 0xFF {
                jpeg.push(0);
            }
        }
    }
    jpeg.extend([0xFF, 0xD9]);
    jpeg
}

fn cases() -> Vec<Case> {
    let plain = encode::jpeg(700, 600);
    let steps = progressive(700, 600, Subsamp::Sub2x2);
    let mut cases = cuts("a JPEG cut off", &plain);
    cases.extend(cuts("a progressive JPEG cut off", &steps));
    let scan = find(&plain, 0xDA) + 14;
    let noise = |length: usize| -> Vec<u8> {
        (0..length as u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
            .map(|n| n.min(254))
            .collect()
    };
    let garbled =
        [&plain[..scan], &noise(plain.len() - scan - 2), &plain[plain.len() - 2..]].concat();
    let script = b"<html><script>alert(1)</script></html>";
    let long = with_segment(&plain, 0xE2, &[0; 9]);
    cases.extend([
        ("20,000 x 20,000 pixels", sized(&plain, 0xC0, 20_000, 20_000), LARGE),
        ("65,535 x 65,535 pixels", sized(&plain, 0xC0, 65_535, 65_535), LARGE),
        ("no width", sized(&plain, 0xC0, 0, 600), CORRUPT),
        ("no height", sized(&plain, 0xC0, 700, 0), CORRUPT),
        ("more rows than data", sized(&plain, 0xC0, 700, 6000), CORRUPT),
        ("50 megapixels of no data", sized(&plain, 0xC0, 7000, 7000), CORRUPT),
        ("a progressive one of 50 megapixels", sized(&steps, 0xC2, 7000, 7000), COMPLEX),
        ("16 megapixels, progressive, no data", sized(&steps, 0xC2, 4000, 3900), CORRUPT),
        ("65 scans", scans(&steps, 65), COMPLEX),
        ("1,000 scans", scans(&steps, 1000), COMPLEX),
        ("64 scans of 23 blank megapixels", blank_scans(4850), MADE),
        ("a million scans", scans(&progressive(16, 16, Subsamp::None), 1_000_000), COMPLEX),
        ("garbled data", garbled, CORRUPT),
        (
            "two frame headers",
            {
                let frame = find(&plain, 0xC0);
                let body = plain[frame + 4..frame + 19].to_vec();
                with_segment(&plain, 0xC0, &body)
            },
            CORRUPT,
        ),
        ("sampling factors of 0", framed(&plain, 0xC0, 11, &[0]), CORRUPT),
        ("sampling factors of 15", framed(&plain, 0xC0, 11, &[0xFF]), CORRUPT),
        ("a table that is not there", framed(&plain, 0xC0, 12, &[3]), CORRUPT),
        ("255 components", framed(&plain, 0xC0, 9, &[255]), CORRUPT),
        ("12 bits", framed(&plain, 0xC0, 4, &[12]), UNSUPPORTED),
        ("lossless", variant(|c| c.set_lossless(true).unwrap()), UNSUPPORTED),
        ("arithmetic coding", variant(|c| c.set_arithmetic(true).unwrap()), UNSUPPORTED),
        (
            "a segment longer than the file",
            {
                let mut bytes = long.clone();
                bytes[4..6].copy_from_slice(&[0xFF, 0xFF]);
                bytes.truncate(600);
                bytes
            },
            CORRUPT,
        ),
        (
            "a segment of no length",
            {
                let mut bytes = long;
                bytes[4..6].copy_from_slice(&[0, 0]);
                bytes
            },
            CORRUPT,
        ),
        ("only markers", [&[0xFF, 0xD8][..], &[0xFF, 0xD0].repeat(5_000_000)].concat(), CORRUPT),
        ("only fill", [&[0xFF, 0xD8][..], &vec![0xFF; 10_000_000]].concat(), CORRUPT),
        ("no frame", vec![0xFF, 0xD8, 0xFF, 0xD9], CORRUPT),
        ("HTML behind the picture", [&plain[..], script].concat(), MADE),
        ("HTML in a comment", with_segment(&plain, 0xFE, script), MADE),
        ("HTML behind the first marker", [&[0xFF, 0xD8, 0xFF][..], script].concat(), CORRUPT),
        ("a profile of 16 MB", with_profile(&plain, &vec![7; 255 * 65_519]), MADE),
        ("a profile of 3 MB that is none", with_profile(&plain, &vec![7; 3_000_000]), MADE),
        (
            "metadata of 20 MB",
            {
                let one = with_segment(&[0xFF, 0xD8], 0xE1, &vec![b'x'; 65_533]);
                [&plain[..2], &one[2..].repeat(320), &plain[2..]].concat()
            },
            MADE,
        ),
        (
            "EXIF with 65,535 fields",
            {
                let fields = [&b"Exif\0\0II*\0\x08\0\0\0\xFF\xFF"[..], &vec![0; 60_000]].concat();
                with_segment(&plain, 0xE1, &fields)
            },
            MADE,
        ),
        (
            "EXIF that points at itself",
            {
                with_segment(
                    &plain,
                    0xE1,
                    b"Exif\0\0II*\0\0\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0",
                )
            },
            MADE,
        ),
        (
            "stray bytes between segments",
            {
                let second = find(&plain, 0xDB);
                [&plain[..second], &[1, 2, 3], &plain[second..]].concat()
            },
            MADE,
        ),
        (
            "stray bytes before the end",
            {
                let end = plain.len() - 2;
                [&plain[..end], &[0; 7], &plain[end..]].concat()
            },
            MADE,
        ),
        (
            "an unknown revision of JFIF",
            {
                let mut bytes = plain.clone();
                bytes[find(&plain, 0xE0) + 9] = 9;
                bytes
            },
            MADE,
        ),
    ]);
    cases
}

#[test]
fn jpegs() {
    through_the_program(cases());
}
