//! TIFF and BMP.

use super::{COMPLEX, CORRUPT, Case, LARGE, MADE, UNSUPPORTED, cuts, through_the_program};
use crate::encode::{self, deflated, tiff_of};
use crate::picture::rgb;

type Field = (u16, u16, u32, u32);

const WIDTH: u16 = 256;
const HEIGHT: u16 = 257;
const COMPRESSION: u16 = 259;
const OFFSETS: u16 = 273;
const ROWS: u16 = 278;
const LENGTHS: u16 = 279;

/// A gray TIFF of one strip, with some fields instead of others.
fn gray(changes: &[Field], data: &[u8]) -> Vec<u8> {
    let plain: [Field; 9] = [
        (WIDTH, 4, 1, 100),
        (HEIGHT, 4, 1, 100),
        (258, 3, 1, 8),
        (COMPRESSION, 3, 1, 1),
        (262, 3, 1, 1),
        (OFFSETS, 4, 1, 1000),
        (277, 3, 1, 1),
        (ROWS, 4, 1, 100),
        (LENGTHS, 4, 1, 10_000),
    ];
    let mut fields: Vec<Field> = plain.to_vec();
    for change in changes {
        fields.retain(|field| field.0 != change.0);
        fields.push(*change);
    }
    fields.sort_by_key(|field| field.0);
    tiff_of(&fields, data)
}

fn tiffs() -> Vec<Case> {
    let plain = gray(&[], &[9; 10_000]);
    let mut cases = cuts("a TIFF cut off", &plain);
    let numbers = |count: u32, of: fn(u32) -> u32| -> Vec<u8> {
        (0..count).flat_map(|n| of(n).to_le_bytes()).collect()
    };
    let offset = |_| 1000;
    let one = |_| 1;
    let strips = |rows: u32| {
        let data = [numbers(rows, offset), numbers(rows, one)].concat();
        let changes = [
            (WIDTH, 4, 1, 1),
            (HEIGHT, 4, 1, rows),
            (ROWS, 4, 1, 1),
            (OFFSETS, 4, rows, 1000),
            (LENGTHS, 4, rows, 1000 + 4 * rows),
        ];
        gray(&changes, &data)
    };
    let tiles = |side: u32| {
        let count = side * side;
        let data = [numbers(count, offset), numbers(count, one)].concat();
        let fields: [Field; 10] = [
            (WIDTH, 4, 1, side),
            (HEIGHT, 4, 1, side),
            (258, 3, 1, 8),
            (COMPRESSION, 3, 1, 1),
            (262, 3, 1, 1),
            (277, 3, 1, 1),
            (322, 4, 1, 1),
            (323, 4, 1, 1),
            (324, 4, count, 1000),
            (325, 4, count, 1000 + 4 * count),
        ];
        tiff_of(&fields, &data)
    };
    let bomb = deflated(&vec![0; 100 << 20]);
    let tiled = |tile: u32, side: u32| {
        let fields: [Field; 10] = [
            (WIDTH, 4, 1, side),
            (HEIGHT, 4, 1, side),
            (258, 3, 1, 8),
            (COMPRESSION, 3, 1, 8),
            (262, 3, 1, 1),
            (277, 3, 1, 1),
            (322, 4, 1, tile),
            (323, 4, 1, tile),
            (324, 4, 1, 1000),
            (325, 4, 1, bomb.len() as u32),
        ];
        tiff_of(&fields, &bomb)
    };
    cases.extend([
        ("a good one", plain.clone(), MADE),
        (
            "a directory that follows itself",
            {
                let mut bytes = plain.clone();
                let next = 8 + 2 + 9 * 12;
                bytes[next] = 8;
                bytes
            },
            CORRUPT,
        ),
        ("a directory at the end", [&b"II*\0"[..], &[0xFF; 8]].concat(), CORRUPT),
        (
            "65,535 x 65,535 pixels",
            gray(&[(WIDTH, 4, 1, 65_535), (HEIGHT, 4, 1, 65_535), (ROWS, 4, 1, 65_535)], &[]),
            LARGE,
        ),
        (
            "2^32 - 1 pixels across",
            gray(&[(WIDTH, 4, 1, u32::MAX), (ROWS, 4, 1, u32::MAX), (HEIGHT, 4, 1, u32::MAX)], &[]),
            LARGE,
        ),
        ("no width", gray(&[(WIDTH, 4, 1, 0)], &[9; 10_000]), CORRUPT),
        (
            "2^32 - 1 strips",
            gray(&[(OFFSETS, 4, u32::MAX, 1000), (LENGTHS, 4, u32::MAX, 1000)], &[9; 999]),
            COMPLEX,
        ),
        ("65,535 strips", strips(65_535), MADE),
        ("66,049 tiles", tiles(257), COMPLEX),
        ("a strip of 4 GB", gray(&[(LENGTHS, 4, 1, u32::MAX)], &[9; 10_000]), COMPLEX),
        ("a strip beyond the end", gray(&[(OFFSETS, 4, 1, u32::MAX - 9)], &[9; 10_000]), CORRUPT),
        ("strips of no rows", gray(&[(ROWS, 4, 1, 0)], &[9; 10_000]), CORRUPT),
        (
            "49 megapixels in one strip",
            {
                let changes = [(WIDTH, 4, 1, 7000), (HEIGHT, 4, 1, 7000), (ROWS, 4, 1, 7000)];
                gray(&changes, &[9; 10_000])
            },
            COMPLEX,
        ),
        (
            "a compressed bomb",
            {
                let changes = [(COMPRESSION, 3, 1, 8), (LENGTHS, 4, 1, bomb.len() as u32)];
                gray(&changes, &bomb)
            },
            MADE,
        ),
        ("a tile of 2^32 - 16 pixels", tiled(u32::MAX - 15, 100), COMPLEX),
        ("a tile of 40 megapixels for 100 rows", tiled(40_000_000, 100), COMPLEX),
        ("65,535 samples", gray(&[(277, 3, 1, 65_535)], &[9; 10_000]), UNSUPPORTED),
        ("no samples", gray(&[(277, 3, 1, 0)], &[9; 10_000]), CORRUPT),
        ("64 bits", gray(&[(258, 3, 1, 64)], &vec![9; 100_000]), UNSUPPORTED),
        ("JPEG inside", gray(&[(COMPRESSION, 3, 1, 7)], &[9; 10_000]), UNSUPPORTED),
        (
            "compression of an unknown kind",
            gray(&[(COMPRESSION, 3, 1, 999)], &[9; 10_000]),
            UNSUPPORTED,
        ),
        (
            "separate planes",
            gray(&[(277, 3, 1, 3), (262, 3, 1, 2), (284, 3, 1, 2)], &vec![9; 30_000]),
            CORRUPT,
        ),
        ("a profile of 2 GB", gray(&[(34_675, 7, 1 << 31, 1000)], &[9; 10_000]), MADE),
    ]);
    cases
}

fn bmps() -> Vec<Case> {
    let plain = encode::bmp(&rgb(200, 100), 200, 100);
    let with = |at: usize, bytes: &[u8]| [&plain[..at], bytes, &plain[at + bytes.len()..]].concat();
    let size =
        |width: i32, height: i32| with(18, &[width.to_le_bytes(), height.to_le_bytes()].concat());
    // Eight bits in runs: here two runs, and the end.
    let runs = {
        let mut bytes = size(8000, 6000);
        bytes[28..30].copy_from_slice(&[8, 0]);
        bytes[30] = 1;
        bytes
    };
    let mut cases = cuts("a BMP cut off", &plain);
    cases.extend([
        ("from the top down", size(200, -100), MADE),
        ("2^31 - 1 pixels across", size(i32::MAX, i32::MAX), LARGE),
        ("65,535 x 65,535 pixels", size(65_535, 65_535), LARGE),
        ("-2^31 pixels down", size(200, i32::MIN), LARGE),
        ("-2^31 pixels across", size(i32::MIN, 100), LARGE),
        ("no width", size(0, 100), CORRUPT),
        ("more rows than data", size(200, 9000), CORRUPT),
        ("48 megapixels in runs", runs, COMPLEX),
        ("five bits", with(28, &[5, 0]), CORRUPT),
        ("compression of an unknown kind", with(30, &[77]), CORRUPT),
        ("pixels beyond the end", with(10, &[0xFF; 4]), CORRUPT),
        (
            "a palette of 2^32 - 1 colours",
            {
                let mut bytes = with(28, &[8, 0]);
                bytes[46..50].fill(0xFF);
                bytes
            },
            CORRUPT,
        ),
        (
            "HTML behind the header",
            b"BM<html><script>alert(1)</script></html>".to_vec(),
            "not_an_image",
        ),
    ]);
    cases
}

#[test]
fn tiffs_and_bmps() {
    through_the_program([tiffs(), bmps()].concat());
}
