//! A lossless WebP written bit by bit, to be as costly as its format allows.

use crate::encode;

/// Bits, the least of a byte first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: usize,
}

impl Bits {
    fn push(&mut self, value: u32, count: usize) {
        for bit in 0..count {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let last = self.bytes.last_mut().unwrap();
            *last |= ((value >> bit & 1) as u8) << (self.used % 8);
            self.used += 1;
        }
    }

    /// A prefix code of one symbol, 0, which then takes no bits.
    fn single(&mut self) {
        self.push(0b0001, 4);
    }

    /// A prefix code of 256 symbols of eight bits each, and of none for the rest.
    fn bytewise(&mut self, rest: usize) {
        self.push(0, 1);
        // Lengths of the code of lengths, in its own order: 0 and 8 have one bit.
        self.push(12 - 4, 4);
        for place in 0..12 {
            self.push(u32::from(place == 2 || place == 11), 3);
        }
        self.push(0, 1);
        (0..256).for_each(|_| self.push(1, 1));
        (0..rest).for_each(|_| self.push(0, 1));
    }

    fn byte(&mut self, value: u32) {
        // Codes have their highest bit first.
        (0..8).rev().for_each(|bit| self.push(value >> bit & 1, 1));
    }
}

/// A square of one colour whose blocks are told to be coded in so many different ways: each way has
/// tables of its own in the decoder.
pub fn many_codes(side: u32, codes: u32) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.push(0x2F, 8);
    bits.push(side - 1, 14);
    bits.push(side - 1, 14);
    // No alpha, version, no transform, no cache; blocks of 4 x 4 pixels have codes.
    bits.push(0, 1 + 3 + 1 + 1);
    bits.push(1, 1);
    bits.push(0, 3);
    bits.push(0, 1);
    bits.bytewise(24);
    bits.bytewise(0);
    (0..3).for_each(|_| bits.single());
    let blocks = side.div_ceil(4).pow(2);
    for block in 0..blocks {
        let code = block % codes;
        bits.byte(code & 255);
        bits.byte(code >> 8);
    }
    (0..5 * codes).for_each(|_| bits.single());
    encode::webp_of(&[encode::riff(b"VP8L", &bits.bytes)])
}
