//! Secrets that nobody was asked for.

/// A text of so many letters and digits: good in URLs and shells, none of them looks like another.
pub(crate) fn invent(length: usize) -> String {
    const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    (0..length).map(|_| char::from(LETTERS[rand::random_range(0..LETTERS.len())])).collect()
}
