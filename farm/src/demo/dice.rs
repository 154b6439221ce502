//! Numbers that look thrown but never change: everything the demo provider says about a handle
//! comes from a SHA-256 of the handle, so two machines and two years give the same answer.
//! (`rand`'s generators may change between releases; this one is ours and stays.)

use sha2::{Digest, Sha256};

/// A stream of numbers decided by a few words.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The dice that these words always give. `["ab", "c"]` and `["a", "bc"]` differ.
    pub fn of(words: &[&str]) -> Self {
        let mut digest = Sha256::new();
        for word in words {
            digest.update(word.as_bytes());
            digest.update([0]);
        }
        let bytes: [u8; 32] = digest.finalize().into();
        Self(bytes.iter().take(8).fold(0, |seed, byte| (seed << 8) | u64::from(*byte)))
    }

    /// The next 64 bits (splitmix64).
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `end` - 1 (0 when `end` is 0).
    pub fn below(&mut self, end: u64) -> u64 {
        self.bits().checked_rem(end).unwrap_or(0)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// True in `percent` of a hundred throws.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of `items`, which must not be empty.
    pub fn pick<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.below(items.len() as u64) as usize]
    }

    /// The numbers 0 to `count` - 1 in a thrown order (Fisher-Yates).
    pub fn order(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            order.swap(last, self.below(last as u64 + 1) as usize);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_words_same_numbers() {
        let mut one = Dice::of(&["demo_travel", "posts"]);
        let mut two = Dice::of(&["demo_travel", "posts"]);
        assert_eq!(one.bits(), two.bits());
        assert_eq!(one.bits(), two.bits());
        assert_ne!(Dice::of(&["ab", "c"]).bits(), Dice::of(&["a", "bc"]).bits());
    }

    #[test]
    fn ranges_hold() {
        let mut dice = Dice::of(&["ranges"]);
        for _ in 0..1000 {
            assert!((3..=9).contains(&dice.between(3, 9)));
        }
        assert_eq!(dice.below(0), 0);
        assert!(!dice.chance(0));
        assert!(dice.chance(100));
    }

    #[test]
    fn an_order_is_a_permutation() {
        let mut order = Dice::of(&["order"]).order(50);
        assert_ne!(order, (0..50).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..50).collect::<Vec<_>>());
    }
}
