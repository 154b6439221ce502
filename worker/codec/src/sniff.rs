//! What an image is, by its first bytes: names and headers of the outside are never asked.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::CodecError;

/// The formats that are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// ISO 10918-1.
    Jpeg,
    /// ISO 15948.
    Png,
    /// RFC 9649.
    Webp,
    /// GIF87a and GIF89a.
    Gif,
    /// Windows bitmaps.
    Bmp,
    /// TIFF 6.0 and BigTIFF.
    Tiff,
}

impl Format {
    /// As in a media type: `jpeg` of `image/jpeg`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::Png => "png",
            Self::Webp => "webp",
            Self::Gif => "gif",
            Self::Bmp => "bmp",
            Self::Tiff => "tiff",
        }
    }
}

/// As people write it.
impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Webp => "WebP",
            Self::Gif => "GIF",
            Self::Bmp => "BMP",
            Self::Tiff => "TIFF",
        })
    }
}

/// The format of the bytes, or the name of what else they are.
pub(crate) fn sniff(bytes: &[u8]) -> Result<Format, CodecError> {
    if bytes.is_empty() {
        return Err(CodecError::Empty);
    }
    let is = |at: usize, magic: &[u8]| bytes.get(at..).is_some_and(|rest| rest.starts_with(magic));
    if is(0, b"\xFF\xD8\xFF") {
        Ok(Format::Jpeg)
    } else if is(0, b"\x89PNG\r\n\x1A\n") {
        Ok(Format::Png)
    } else if is(0, b"RIFF") && is(8, b"WEBP") {
        Ok(Format::Webp)
    } else if is(0, b"GIF87a") || is(0, b"GIF89a") {
        Ok(Format::Gif)
    } else if is(0, b"BM") && bytes.get(14).is_some_and(|n| BMP_HEADERS.contains(n)) {
        Ok(Format::Bmp)
    } else if TIFFS.iter().any(|magic| is(0, magic)) {
        Ok(Format::Tiff)
    } else {
        match foreign(bytes) {
            Some(name) => Err(CodecError::unsupported(name)),
            None => Err(CodecError::NotAnImage),
        }
    }
}

/// Lengths of the header that follows the first 14 bytes; two letters alone begin many a text.
const BMP_HEADERS: [u8; 7] = [12, 40, 52, 56, 64, 108, 124];

const TIFFS: [&[u8]; 4] = [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"];

/// Known well enough to be named in the refusal: where, what and whose.
const FOREIGN: [(usize, &[u8], &str); 31] = [
    (0, b"\0\0\0\x0CJXL \r\n\x87\n", "JPEG XL"),
    (0, b"\xFF\x0A", "JPEG XL"),
    (0, b"\0\0\0\x0CjP  \r\n\x87\n", "JPEG 2000"),
    (0, b"\xFF\x4F\xFF\x51", "JPEG 2000"),
    (0, b"II\xBC", "JPEG XR"),
    (0, b"8BPS", "PSD"),
    (0, b"\0\0\x01\0", "ICO"),
    (0, b"\0\0\x02\0", "CUR"),
    (0, b"icns", "ICNS"),
    (0, b"%PDF-", "PDF"),
    (0, b"%!PS", "PostScript"),
    (0, b"\x1A\x45\xDF\xA3", "WebM"),
    (0, b"OggS", "Ogg"),
    (8, b"AVI LIST", "AVI"),
    (8, b"WAVE", "WAV"),
    (0, b"FLV\x01", "FLV"),
    (0, b"ID3", "MP3"),
    (0, b"PK\x03\x04", "ZIP"),
    (0, b"\x1F\x8B", "gzip"),
    (0, b"7z\xBC\xAF\x27\x1C", "7z"),
    (0, b"Rar!", "RAR"),
    (0, b"\x28\xB5\x2F\xFD", "zstd"),
    (0, b"DDS ", "DDS"),
    (0, b"qoif", "QOI"),
    (0, b"\x76\x2F\x31\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"BPG\xFB", "BPG"),
    (0, b"FLIF", "FLIF"),
    (0, b"\x8AMNG", "MNG"),
    (0, b"gimp xcf", "XCF"),
    (0, b"\x7FELF", "ELF"),
];

fn foreign(bytes: &[u8]) -> Option<&'static str> {
    let is = |at: usize, magic: &[u8]| bytes.get(at..).is_some_and(|rest| rest.starts_with(magic));
    let known = FOREIGN.iter().find(|(at, magic, _)| is(*at, magic));
    known.map(|(_, _, name)| *name).or_else(|| brand(bytes)).or_else(|| markup(bytes))
}

/// Files made of ISO boxes tell each other apart by the brands they claim.
fn brand(bytes: &[u8]) -> Option<&'static str> {
    if bytes.get(4..8)? != b"ftyp" {
        return None;
    }
    let length = u32::from_be_bytes(*bytes.first_chunk()?) as usize;
    let end = length.clamp(12, 128).min(bytes.len());
    let brands = || bytes.get(8..end).unwrap_or_default().chunks_exact(4);
    let any = |names: &[&[u8]]| brands().any(|brand| names.contains(&brand));
    Some(if any(&[b"avif", b"avis"]) {
        "AVIF"
    } else if any(&[b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"]) {
        "HEIC"
    } else if any(&[b"crx "]) {
        "CR3"
    } else if any(&[b"qt  "]) {
        "QuickTime"
    } else {
        "MP4"
    })
}

/// Texts that name themselves early; blanks and a byte order mark may come first.
fn markup(bytes: &[u8]) -> Option<&'static str> {
    let start = bytes.get(..bytes.len().min(1024))?;
    let text = String::from_utf8_lossy(start).to_ascii_lowercase();
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{FEFF}');
    if !text.starts_with('<') {
        return None;
    }
    let html = ["<!doctype html", "<html", "<head", "<body", "<script", "<iframe"];
    if html.iter().any(|tag| text.starts_with(tag)) {
        Some("HTML")
    } else if text.contains("<svg") {
        Some("SVG")
    } else if text.starts_with("<?xml") {
        Some("XML")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_decide() {
        for (bytes, format) in [
            (&b"\xFF\xD8\xFF\xE0"[..], Format::Jpeg),
            (b"\x89PNG\r\n\x1A\n", Format::Png),
            (b"RIFF\0\0\0\0WEBPVP8 ", Format::Webp),
            (b"GIF89a", Format::Gif),
            (b"BM\0\0\0\0\0\0\0\0\0\0\0\0\x28\0\0\0", Format::Bmp),
            (b"MM\0*\0\0\0\x08", Format::Tiff),
        ] {
            assert_eq!(sniff(bytes), Ok(format));
        }
    }

    #[test]
    fn what_is_known_is_named_in_the_refusal() {
        for (bytes, name) in [
            (&b"\0\0\0\x1Cftypmif1\0\0\0\0mif1avif"[..], "AVIF"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
            (b"\0\0\0\x18ftypisom\0\0\0\0isomavc1", "MP4"),
            (b"\0\0\0\x0CJXL \r\n\x87\n", "JPEG XL"),
            (b"\xFF\x4F\xFF\x51", "JPEG 2000"),
            (b"\xEF\xBB\xBF \n<?xml version='1.0'?><svg/>", "SVG"),
            (b"  <!DOCTYPE html><p>", "HTML"),
            (b"%PDF-1.7", "PDF"),
            (b"RIFF\0\0\0\0AVI LIST", "AVI"),
        ] {
            let error = sniff(bytes).unwrap_err();
            assert_eq!(error.code(), "unsupported_format");
            assert!(error.to_string().starts_with(name), "{error}");
        }
    }

    #[test]
    fn the_rest_is_no_image() {
        for bytes in [&b"\0"[..], b"BMW is a make of cars", b"{}", b"\xFF\xD8", b"RIFF\0\0\0\0"] {
            assert_eq!(sniff(bytes), Err(CodecError::NotAnImage));
        }
        assert_eq!(sniff(b""), Err(CodecError::Empty));
    }
}
