//! Turning and mirroring as EXIF asks for: of the small square, where it costs nothing.

use image::metadata::Orientation;

/// What the bytes of an EXIF block say; nothing, where they are broken.
pub(crate) fn of_exif(exif: Option<&[u8]>) -> Orientation {
    let exif = exif.map(|exif| exif.strip_prefix(b"Exif\0\0").unwrap_or(exif));
    exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms)
}

/// Whether width and height change places.
pub(crate) fn swaps(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    )
}

/// A square as it is meant to be seen.
pub(crate) fn upright(square: Vec<u8>, channels: usize, orientation: Orientation) -> Vec<u8> {
    match channels {
        1 => turned::<1>(square, orientation),
        _ => turned::<3>(square, orientation),
    }
}

fn turned<const CHANNELS: usize>(square: Vec<u8>, orientation: Orientation) -> Vec<u8> {
    let pixels = square.as_chunks::<CHANNELS>().0;
    let side = pixels.len().isqrt();
    let end = side.saturating_sub(1);
    let from: fn(usize, usize, usize) -> (usize, usize) = match orientation {
        Orientation::NoTransforms => return square,
        Orientation::FlipHorizontal => |x, y, end| (end - x, y),
        Orientation::Rotate180 => |x, y, end| (end - x, end - y),
        Orientation::FlipVertical => |x, y, end| (x, end - y),
        Orientation::Rotate90FlipH => |x, y, _| (y, x),
        Orientation::Rotate90 => |x, y, end| (y, end - x),
        Orientation::Rotate270FlipH => |x, y, end| (end - y, end - x),
        Orientation::Rotate270 => |x, y, end| (end - y, x),
    };
    let mut turned = Vec::with_capacity(square.len());
    for y in 0..side {
        for x in 0..side {
            let (x, y) = from(x, y, end);
            turned.extend_from_slice(&pixels[y * side + x]);
        }
    }
    turned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eight_ways_of_exif() {
        let seen = |exif: u8| {
            let orientation = Orientation::from_exif(exif).unwrap();
            String::from_utf8(upright(b"abcd".to_vec(), 1, orientation)).unwrap()
        };
        // The stored rows are `ab` and `cd`.
        let ways: Vec<String> = (1..=8).map(seen).collect();
        assert_eq!(ways, ["abcd", "badc", "dcba", "cdab", "acbd", "cadb", "dbca", "bdac"]);
        let colours =
            upright(vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0, 0], 3, Orientation::FlipVertical);
        assert_eq!(colours, [7, 8, 9, 0, 0, 0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_broken_block_turns_nothing() {
        for exif in [None, Some(&b""[..]), Some(b"Exif\0\0II*\0\xFF\xFF\xFF\xFF"), Some(b"MM")] {
            assert_eq!(of_exif(exif), Orientation::NoTransforms);
        }
    }
}
