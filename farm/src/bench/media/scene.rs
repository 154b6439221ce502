//! A picture to measure on: a landscape of noise in eight octaves, with edges, as hard to decode
//! and to shrink as a photograph. The same on every machine.

use jobs::process::Failure;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

/// As a JPEG of the usual quality, with colours of half the resolution.
pub(super) fn jpeg(width: u16, height: u16) -> Result<Vec<u8>, Failure> {
    let pixels = paint(width, height);
    let mut bytes = vec![];
    let mut encoder = Encoder::new(&mut bytes, 88);
    encoder.set_sampling_factor(SamplingFactor::R_4_2_0);
    let encoded = encoder.encode(&pixels, width, height, ColorType::Rgb);
    encoded.map_err(Failure::during("the scene"))?;
    Ok(bytes)
}

fn paint(width: u16, height: u16) -> Vec<u8> {
    let mut pixels = Vec::with_capacity(usize::from(width) * usize::from(height) * 3);
    for y in 0..height {
        for x in 0..width {
            // Detail is a matter of the scene, not of how many pixels show it.
            let (u, v) = (f32::from(x) / f32::from(width) * 8.0, f32::from(y) / 1_000.0 * 7.0);
            let rough = octaves(u, v, 8);
            let warm = octaves(u + 31.0, v * 0.7 + 17.0, 4);
            // Ridges: where the ground turns, it turns sharply.
            let ridge = 1.0 - (rough * 2.0 - 1.0).abs() * 1.6;
            let light = (0.55 * rough + 0.45 * ridge).clamp(0.0, 1.0);
            let red = 255.0 * (0.25 + 0.75 * light) * (0.7 + 0.3 * warm);
            let green = 255.0 * (0.2 + 0.75 * light) * (0.85 - 0.1 * warm);
            let blue = 255.0 * (0.35 + 0.55 * light) * (0.95 - 0.35 * warm);
            // `as` keeps to 0..=255 by itself.
            pixels.extend([red as u8, green as u8, blue as u8]);
        }
    }
    pixels
}

/// Value noise, each octave twice as fine and 0.55 as strong; 0 to 1.
fn octaves(x: f32, y: f32, count: u32) -> f32 {
    let (mut sum, mut weight, mut most, mut scale) = (0.0, 1.0, 0.0, 1.0);
    for octave in 0..count {
        sum += weight * noise(x * scale, y * scale, octave);
        most += weight;
        weight *= 0.55;
        scale *= 2.0;
    }
    sum / most
}

fn noise(x: f32, y: f32, octave: u32) -> f32 {
    let (left, top) = (x.floor(), y.floor());
    let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
    let (across, down) = (smooth(x - left), smooth(y - top));
    let at = |dx: i32, dy: i32| grain(left as i32 + dx, top as i32 + dy, octave);
    let upper = at(0, 0) + (at(1, 0) - at(0, 0)) * across;
    let lower = at(0, 1) + (at(1, 1) - at(0, 1)) * across;
    upper + (lower - upper) * down
}

/// A number from 0 to 1 that a place always has.
fn grain(x: i32, y: i32, octave: u32) -> f32 {
    let mut bits = (x as u32).wrapping_mul(0x9E37_79B1)
        ^ (y as u32).wrapping_mul(0x85EB_CA77)
        ^ octave.wrapping_mul(0xC2B2_AE3D);
    bits = (bits ^ (bits >> 15)).wrapping_mul(0x2C1B_3C6D);
    bits = (bits ^ (bits >> 12)).wrapping_mul(0x297A_2D39);
    (bits ^ (bits >> 15)) as f32 / u32::MAX as f32
}
