//! PNG.

use std::io::Write;

use png::{BitDepth, ColorType};

use super::{COMPLEX, CORRUPT, Case, LARGE, MADE, cuts, through_the_program};
use crate::encode::{self, Png, deflated, png_of};
use crate::picture::{assert_shown, made, rgb};

fn header(width: u32, height: u32, depth: u8, colour: u8, interlaced: u8) -> Vec<u8> {
    let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
    [&size[..], &[depth, colour, 0, 0, interlaced]].concat()
}

/// So many zeros, compressed.
fn zeros(count: u64) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    let block = vec![0; 1 << 20];
    for _ in 0..count >> 20 {
        encoder.write_all(&block).unwrap();
    }
    encoder.write_all(&block[..(count & 0xF_FFFF) as usize]).unwrap();
    encoder.finish().unwrap()
}

fn blank(header: &[u8], count: u64) -> Vec<u8> {
    png_of(&[(b"IHDR", header), (b"IDAT", &zeros(count)), (b"IEND", &[])])
}

/// The picture with chunks before its data.
fn with(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let data = rows();
    let data = deflated(&data);
    let head = header(200, 200, 8, 2, 0);
    let all = [&[(b"IHDR", &head[..])], chunks, &[(b"IDAT", &data[..]), (b"IEND", &[])]].concat();
    png_of(&all)
}

/// Of the picture, each with its filter.
fn rows() -> Vec<u8> {
    rgb(200, 200).chunks(600).flat_map(|row| [&[0], row].concat()).collect()
}

fn damaged(at: usize, with: u8) -> Vec<u8> {
    let mut bytes = encode::png(&rgb(700, 600), 700, 600);
    bytes[at] = with;
    bytes
}

fn cases() -> Vec<Case> {
    let plain = encode::png(&rgb(700, 600), 700, 600);
    let mut cases = cuts("a PNG cut off", &plain[..plain.len() - 12]);
    let whole = encode::interlaced_png(&rgb(700, 600), 700, 600);
    cases.extend(cuts("an interlaced PNG cut off", &whole[..whole.len() - 12]));
    let big = |side: u64, pixel: u64| (side * pixel + 1) * side;
    let frames = [&1_000_000_u32.to_be_bytes()[..], &[0; 4]].concat();
    cases.extend([
        ("30,000 x 30,000 pixels", blank(&header(30_000, 30_000, 8, 2, 0), 1 << 20), LARGE),
        ("2^31 x 2^31 pixels", blank(&header(1 << 31, 1 << 31, 8, 2, 0), 99), LARGE),
        ("a row of 50 megapixels", blank(&header(50_000_000, 1, 16, 6, 0), 1 << 20), LARGE),
        ("a column of 50 megapixels", blank(&header(1, 50_000_000, 1, 0, 0), 100_000_000), LARGE),
        ("no width", blank(&header(0, 9, 8, 2, 0), 99), CORRUPT),
        ("49 megapixels of black", blank(&header(7000, 7000, 8, 2, 0), big(7000, 3)), MADE),
        ("49 deep megapixels", blank(&header(7000, 7000, 16, 6, 0), big(7000, 8)), MADE),
        ("49 interlaced megapixels", blank(&header(7000, 7000, 8, 2, 1), big(7000, 3)), COMPLEX),
        ("data for ten thousand more rows", blank(&header(900, 900, 8, 2, 0), big(9000, 3)), MADE),
        (
            "a bomb for a profile",
            with(&[(b"iCCP", &[&b"x\0\0"[..], &zeros(100 << 20)].concat())]),
            MADE,
        ),
        (
            "a bomb for a text",
            with(&[(b"zTXt", &[&b"x\0\0"[..], &zeros(100 << 20)].concat())]),
            MADE,
        ),
        ("a text of 20 MB", with(&[(b"tEXt", &vec![b'x'; 20_000_000])]), MADE),
        ("EXIF of 20 MB", with(&[(b"eXIf", &vec![0; 20_000_000])]), COMPLEX),
        ("an unknown chunk of 20 MB", with(&[(b"juNk", &vec![0; 20_000_000])]), MADE),
        ("a million frames", with(&[(b"acTL", &frames)]), MADE),
        ("a damaged header", damaged(20, 9), CORRUPT),
        ("damaged data", damaged(60, 9), CORRUPT),
        ("a chunk of 2 GB", damaged(33, 0x7F), CORRUPT),
        (
            "data that are not compressed",
            {
                let head = header(9, 9, 8, 2, 0);
                png_of(&[(b"IHDR", &head), (b"IDAT", &[7; 999]), (b"IEND", &[])])
            },
            CORRUPT,
        ),
        ("no data", png_of(&[(b"IHDR", &header(9, 9, 8, 2, 0)), (b"IEND", &[])]), CORRUPT),
        ("no header", png_of(&[(b"IDAT", &deflated(&rows())), (b"IEND", &[])]), CORRUPT),
        ("nine bits", blank(&header(9, 9, 9, 2, 0), 999), CORRUPT),
        (
            "a filter that is none",
            {
                let head = header(200, 200, 8, 2, 0);
                let mut rows = rows();
                rows[0] = 77;
                png_of(&[(b"IHDR", &head), (b"IDAT", &deflated(&rows)), (b"IEND", &[])])
            },
            CORRUPT,
        ),
        ("a palette that is not there", blank(&header(9, 9, 8, 3, 0), 90), CORRUPT),
        // The decoder panics, which is caught.
        (
            "a palette that ends within a colour",
            {
                let head = header(9, 9, 8, 3, 0);
                let data = deflated(&[0; 90]);
                png_of(&[(b"IHDR", &head), (b"PLTE", &[1; 7]), (b"IDAT", &data), (b"IEND", &[])])
            },
            CORRUPT,
        ),
        (
            "indices beyond the palette",
            {
                let short = Png { palette: Some(&[1, 2, 3]), ..Png::default() };
                short.of(&[200; 81], (9, 9), ColorType::Indexed, BitDepth::Eight)
            },
            MADE,
        ),
        ("HTML behind the picture", [&plain[..], b"<html><script>"].concat(), MADE),
    ]);
    cases
}

#[test]
fn pngs() {
    through_the_program(cases());
}

#[test]
fn what_is_wrong_behind_the_pixels_is_no_matter() {
    let whole = encode::png(&rgb(700, 600), 700, 600);
    let (picture, end) = whole.split_at(whole.len() - 12);
    let broken = [picture, b"\0\0\0\x04eXIf????!!!!", end].concat();
    assert_shown(&made(&broken), 6);
}
