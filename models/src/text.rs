//! From a caption to the text that is analysed.

/// A caption made ready: see [`Prepared::of`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Caption and hashtags, cleaned. Empty when nothing is left.
    pub text: String,
    /// The hashtags alone, lower case, without `#`.
    pub hashtags: Vec<String>,
}

impl Prepared {
    /// stand-in
    pub fn of(caption: &str, hashtags: &[String]) -> Self {
        Self { text: caption.trim().to_owned(), hashtags: hashtags.to_vec() }
    }
}
