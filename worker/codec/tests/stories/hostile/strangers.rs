//! What is none of the six formats.

use super::{Case, UNSUPPORTED, through_the_program};

const NO_IMAGE: &str = "not_an_image";

#[test]
fn strangers() {
    let padded = |magic: &[u8]| [magic, &[0; 500]].concat();
    let noise: Vec<u8> =
        (0..1_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let cases: Vec<Case> = vec![
        ("nothing", vec![], "empty_image"),
        ("a zero", vec![0], NO_IMAGE),
        ("zeros", vec![0; 1_000_000], NO_IMAGE),
        ("noise", noise, NO_IMAGE),
        ("a text", b"BM is how this text begins, and it goes on".to_vec(), NO_IMAGE),
        ("JSON", b"{\"error\":\"not found\"}".to_vec(), NO_IMAGE),
        ("half a magic", b"\x89PN".to_vec(), NO_IMAGE),
        ("AVIF", padded(b"\0\0\0\x1Cftypavif\0\0\0\0avifmif1"), UNSUPPORTED),
        ("HEIC", padded(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"), UNSUPPORTED),
        ("JPEG XL", padded(b"\0\0\0\x0CJXL \r\n\x87\n"), UNSUPPORTED),
        ("JPEG XL without a container", padded(b"\xFF\x0A"), UNSUPPORTED),
        ("JPEG 2000", padded(b"\0\0\0\x0CjP  \r\n\x87\n"), UNSUPPORTED),
        ("MP4", padded(b"\0\0\0\x18ftypisom\0\0\0\0isomavc1"), UNSUPPORTED),
        ("WebM", padded(b"\x1A\x45\xDF\xA3"), UNSUPPORTED),
        ("PDF", padded(b"%PDF-1.7\n"), UNSUPPORTED),
        ("PSD", padded(b"8BPS\0\x01"), UNSUPPORTED),
        ("ICO", padded(b"\0\0\x01\0\x01\0"), UNSUPPORTED),
        ("ZIP", padded(b"PK\x03\x04"), UNSUPPORTED),
        ("SVG", b"<?xml version=\"1.0\"?><!-- x --><svg xmlns=\"x\"/>".to_vec(), UNSUPPORTED),
        (
            "SVG that includes a file",
            {
                b"<!DOCTYPE svg [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><svg>&x;</svg>".to_vec()
            },
            UNSUPPORTED,
        ),
        ("HTML", b"\n <!DOCTYPE html><html><body>Not found</body></html>".to_vec(), UNSUPPORTED),
    ];
    through_the_program(cases);
}
