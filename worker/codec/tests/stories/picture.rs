//! The picture that is sent, and what is seen of it in a thumbnail.

use codec::{Settings, Thumbnail, Thumbnails};

/// A colour.
pub type Rgb = [u8; 3];

/// Of the four quarters of the centre square, in reading order.
pub const QUARTERS: [Rgb; 4] = [[200, 50, 40], [40, 160, 70], [50, 70, 190], [230, 200, 60]];

/// Outside of the centre square, where nothing must be seen of it.
pub const MARGIN: Rgb = [0, 255, 255];

/// The picture at a place.
pub fn pixel(x: u32, y: u32, width: u32, height: u32) -> Rgb {
    let side = width.min(height);
    let (left, top) = ((width - side) / 2, (height - side) / 2);
    if x < left || y < top || x >= left + side || y >= top + side {
        return MARGIN;
    }
    let (right, below) = (x - left >= side / 2, y - top >= side / 2);
    QUARTERS[usize::from(right) + 2 * usize::from(below)]
}

/// Its samples; most rows are as the one before.
pub fn rgb(width: u32, height: u32) -> Vec<u8> {
    let side = width.min(height);
    let top = (height - side) / 2;
    let changes = [0, top, top + side / 2, top + side];
    let mut samples = Vec::with_capacity(3 * width as usize * height as usize);
    let mut row = Vec::new();
    for y in 0..height {
        if changes.contains(&y) {
            row = (0..width).flat_map(|x| pixel(x, y, width, height)).collect();
        }
        samples.extend_from_slice(&row);
    }
    samples
}

/// Samples of any picture.
pub fn painted<const N: usize>(
    width: u32,
    height: u32,
    pixel: impl Fn(u32, u32) -> [u8; N],
) -> Vec<u8> {
    let row = |y| (0..width).map(move |x| (x, y));
    (0..height).flat_map(row).flat_map(|(x, y)| pixel(x, y)).collect()
}

/// As a gray of the same brightness.
pub fn gray([r, g, b]: Rgb) -> u8 {
    ((299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b) + 500) / 1000) as u8
}

/// The thumbnails of bytes that must have some.
pub fn made(bytes: &[u8]) -> Thumbnails {
    codec::thumbnails(bytes, &Settings::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// Average colours of the quarters of a thumbnail, away from their borders; its size is checked.
pub fn seen(thumbnail: &Thumbnail) -> [Rgb; 4] {
    let mut webp = image_webp::WebPDecoder::new(std::io::Cursor::new(&thumbnail.webp)).unwrap();
    assert_eq!(webp.dimensions(), (thumbnail.width, thumbnail.height));
    assert!(!webp.has_alpha() && webp.is_lossy());
    assert!(webp.icc_profile().unwrap().is_none() && webp.exif_metadata().unwrap().is_none());
    let mut samples = vec![0; webp.output_buffer_size().unwrap()];
    webp.read_image(&mut samples).unwrap();
    let side = thumbnail.width as usize;
    let pixels = samples.as_chunks::<3>().0;
    [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(right, below)| {
        let range = |half: usize| {
            let (start, length) = (half * side / 2, side / 2);
            start + length / 4..start + (3 * length / 4).max(length / 4 + 1)
        };
        let mut sums = [0_usize; 3];
        let mut count = 0;
        for y in range(below) {
            for x in range(right) {
                for (sum, sample) in sums.iter_mut().zip(pixels[y * side + x]) {
                    *sum += usize::from(sample);
                }
                count += 1;
            }
        }
        sums.map(|sum| (sum / count) as u8)
    })
}

/// Whether the quarters have these colours, as nearly as a lossy format keeps them.
#[track_caller]
pub fn assert_near(seen: [Rgb; 4], wanted: [Rgb; 4], tolerance: u8) {
    let near = seen.concat().iter().zip(wanted.concat()).all(|(a, b)| a.abs_diff(b) <= tolerance);
    assert!(near, "{seen:?} instead of {wanted:?}");
}

/// Both thumbnails show the picture.
#[track_caller]
pub fn assert_shown(thumbnails: &Thumbnails, tolerance: u8) {
    assert_eq!(thumbnails.images.len(), 2);
    for thumbnail in &thumbnails.images {
        assert_near(seen(thumbnail), QUARTERS, tolerance);
    }
}
