//! Why there are no thumbnails: each as one sentence, and as one word for a program.

use crate::{Format, MAX_BYTES, MAX_PIXELS, MAX_SIDE, sniff};

/// Letters of a decoder's own words that are passed on.
const MOST_LETTERS: usize = 200;

/// Why an image was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Nothing came.
    #[error("the image has no bytes")]
    Empty,
    /// Nothing that is known begins like this.
    #[error("the bytes are no image: they begin like none of JPEG, PNG, WebP, GIF, BMP and TIFF")]
    NotAnImage,
    /// Known by its first bytes, or by a feature of its header, and not decoded here.
    #[error("{what} is not supported; JPEG, PNG, WebP, GIF, BMP and TIFF are")]
    Unsupported {
        /// The format, or the variant of one.
        what: String,
    },
    /// More bytes than an image may have.
    #[error("the image has {bytes} bytes, and may have {MAX_BYTES}")]
    TooManyBytes {
        /// How many it has.
        bytes: u64,
    },
    /// More pixels than an image may have.
    #[error(
        "the {format} has {width} x {height} pixels, and may have {MAX_PIXELS}, {MAX_SIDE} on a side"
    )]
    TooManyPixels {
        /// Of the image.
        format: Format,
        /// By its header.
        width: u32,
        /// By its header.
        height: u32,
    },
    /// To decode it would take more than its pixels explain.
    #[error("the {format} is too complex: {rule}")]
    TooComplex {
        /// Of the image.
        format: Format,
        /// What it has, and what it may have.
        rule: String,
    },
    /// It ends early, or contradicts itself or its format.
    #[error("the {format} is corrupt: {why}")]
    Corrupt {
        /// Of the image.
        format: Format,
        /// In the decoder's words.
        why: String,
    },
    /// The image is fine, its thumbnail could not be written.
    #[error("a thumbnail of the {format} could not be written: {why}")]
    Unwritable {
        /// Of the image.
        format: Format,
        /// In the encoder's words.
        why: String,
    },
}

impl CodecError {
    /// The same in one word, which stays as it is when the sentences change.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty_image",
            Self::NotAnImage => "not_an_image",
            Self::Unsupported { .. } => "unsupported_format",
            Self::TooManyBytes { .. } | Self::TooManyPixels { .. } => "image_too_large",
            Self::TooComplex { .. } => "image_too_complex",
            Self::Corrupt { .. } => "corrupt_image",
            Self::Unwritable { .. } => "unwritable_thumbnail",
        }
    }

    /// For who caught a decoder's panic over these bytes.
    pub fn panicked(bytes: &[u8]) -> Self {
        match sniff::sniff(bytes) {
            Ok(format) => Self::corrupt(format, "its decoder gave up"),
            Err(error) => error,
        }
    }

    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into() }
    }

    pub(crate) fn complex(format: Format, rule: impl Into<String>) -> Self {
        Self::TooComplex { format, rule: rule.into() }
    }

    /// A decoder's words may quote the image: some of them are enough.
    pub(crate) fn corrupt(format: Format, why: impl ToString) -> Self {
        Self::Corrupt { format, why: why.to_string().chars().take(MOST_LETTERS).collect() }
    }
}
