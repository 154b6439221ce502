//! Pictures for the posts: a soft two-way gradient with a few out-of-focus lights, in the colours
//! of a persona. Decided by the name of the picture alone, like everything here.

use jpeg_encoder::{ColorType, Encoder, EncodingError};

use super::{dice::Dice, persona};

/// The longest side that is drawn.
pub const MAX_SIDE: u16 = 2048;

/// What a picture's path names: `/images/{kind}/{seed}-{width}x{height}.jpg`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureName {
    /// The persona whose colours are used.
    pub kind: String,
    /// Decides the drawing; equal seeds differ only in size.
    pub seed: String,
    /// Width in pixels.
    pub width: u16,
    /// Height in pixels.
    pub height: u16,
}

impl PictureName {
    /// Reads the last two segments of a path; sides over the cap are cut to it. `None` when it is
    /// not a picture of ours.
    pub fn parse(kind: &str, file: &str) -> Option<Self> {
        persona::named(kind)?;
        let (seed, size) = file.strip_suffix(".jpg")?.rsplit_once('-')?;
        let (width, height) = size.split_once('x')?;
        let spelled = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if seed.is_empty() || seed.len() > 64 || !seed.bytes().all(spelled) {
            return None;
        }
        let pixels = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let count = digits.then(|| text.parse::<u32>().ok()).flatten()?;
            (count > 0).then(|| count.min(u32::from(MAX_SIDE)) as u16)
        };
        Some(Self {
            kind: kind.to_owned(),
            seed: seed.to_owned(),
            width: pixels(width)?,
            height: pixels(height)?,
        })
    }
}

/// A blurred disc of light.
struct Glow {
    x: f32,
    y: f32,
    radius: f32,
    colour: [f32; 3],
    strength: f32,
}

/// Draws the picture. Takes tens of milliseconds for a large one: call it off the async threads.
pub fn draw(name: &PictureName) -> Result<Vec<u8>, EncodingError> {
    let pixels = paint(name);
    let mut jpeg = Vec::with_capacity(pixels.len() / 10);
    Encoder::new(&mut jpeg, 82).encode(&pixels, name.width, name.height, ColorType::Rgb)?;
    Ok(jpeg)
}

fn paint(name: &PictureName) -> Vec<u8> {
    let mut dice = Dice::of(&["picture", &name.kind, &name.seed]);
    let palette = persona::named(&name.kind).map_or([[128; 3]; 4], |persona| persona.palette);
    let order = dice.order(palette.len());
    let colour = |place: usize| palette[order[place % order.len()]].map(f32::from);
    let corners = [colour(0), colour(1), colour(2), colour(0)];
    let glows: Vec<Glow> = (0..dice.between(4, 7))
        .map(|index| Glow {
            x: dice.between(5, 95) as f32 / 100.0,
            y: dice.between(5, 95) as f32 / 100.0,
            radius: dice.between(10, 34) as f32 / 100.0,
            colour: if index % 3 == 2 { [250.0, 246.0, 236.0] } else { colour(index as usize) },
            strength: dice.between(30, 75) as f32 / 100.0,
        })
        .collect();

    let (width, height) = (f32::from(name.width), f32::from(name.height));
    let aspect = height / width;
    let mut pixels = Vec::with_capacity(usize::from(name.width) * usize::from(name.height) * 3);
    for row in 0..name.height {
        let y = f32::from(row) / height;
        let (left, right) = (blend(corners[0], corners[2], y), blend(corners[1], corners[3], y));
        // Few glows reach a given row: the others are dropped before its pixels are gone through.
        let reaching: Vec<(&Glow, f32)> = glows
            .iter()
            .map(|glow| (glow, 1.0 - ((y - glow.y) * aspect / glow.radius).powi(2)))
            .filter(|(_, near)| *near > 0.0)
            .collect();
        for column in 0..name.width {
            let x = f32::from(column) / width;
            let mut pixel = blend(left, right, x);
            for (glow, row_near) in &reaching {
                let across = (x - glow.x) / glow.radius;
                let near = row_near - across * across;
                if near > 0.0 {
                    // Squared, so that the edge of the disc melts into the ground.
                    pixel = blend(pixel, glow.colour, near * near * glow.strength);
                }
            }
            // `as` keeps to 0..=255 by itself.
            pixels.extend_from_slice(&[pixel[0] as u8, pixel[1] as u8, pixel[2] as u8]);
        }
    }
    pixels
}

fn blend(from: [f32; 3], to: [f32; 3], share: f32) -> [f32; 3] {
    [
        from[0] + (to[0] - from[0]) * share,
        from[1] + (to[1] - from[1]) * share,
        from[2] + (to[2] - from[2]) * share,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_strictly() {
        let name = PictureName::parse("travel", "DaB-c_9-640x800.jpg").expect("a picture");
        assert_eq!((name.seed.as_str(), name.width, name.height), ("DaB-c_9", 640, 800));
        let capped = PictureName::parse("food", "a-9000x40.jpg").expect("a picture");
        assert_eq!((capped.width, capped.height), (MAX_SIDE, 40));
        for (kind, file) in [
            ("nothing", "a-1x1.jpg"),
            ("food", "a-1x1.png"),
            ("food", "1x1.jpg"),
            ("food", "-1x1.jpg"),
            ("food", "a-0x1.jpg"),
            ("food", "a-+5x1.jpg"),
            ("food", "a-x.jpg"),
            ("food", "a%2f-1x1.jpg"),
            ("food", "a-99999999999x1.jpg"),
        ] {
            assert_eq!(PictureName::parse(kind, file), None, "{kind}/{file}");
        }
    }

    #[test]
    fn a_picture_is_a_jpeg_and_stays_the_same() {
        let name = PictureName::parse("beauty", "seed-64x80.jpg").expect("a picture");
        let one = draw(&name).expect("encodes");
        assert_eq!(&one[..3], &[0xff, 0xd8, 0xff]);
        assert_eq!(one, draw(&name).expect("encodes"));
        let other = PictureName::parse("beauty", "other-64x80.jpg").expect("a picture");
        assert_ne!(one, draw(&other).expect("encodes"));
    }
}
