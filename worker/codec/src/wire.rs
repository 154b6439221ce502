//! What goes between a worker and the program `codec`.
//!
//! A request is the length of an image, four bytes with the least first, and its bytes. An answer
//! is a line of JSON ([`Answer`]), and after it the thumbnails' bytes one after another. One
//! request is answered before the next is read; the program ends when its input does.

use std::io::{self, BufRead, Read, Write};

use serde::{Deserialize, Serialize};

use crate::{CodecError, Format, MAX_BYTES, Thumbnail, Thumbnails};

/// The most bytes the line of an answer has, with its end.
pub const MAX_LINE: usize = 4 * 1024;

/// The most bytes an answer has: its line, and the thumbnails. Of an image that is all noise they
/// take 1 MB at the highest quality.
pub const MAX_ANSWER: usize = MAX_LINE + 2 * 1024 * 1024;

/// The line of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// There are thumbnails; their bytes follow.
    Ok(Described),
    /// There are none.
    Error(Refusal),
}

/// [`Thumbnails`] without their bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Described {
    /// Of the image.
    pub format: Format,
    /// Of the image, as it is meant to be seen.
    pub width: u32,
    /// Of the image, as it is meant to be seen.
    pub height: u32,
    /// In the order of their bytes.
    pub images: Vec<Picture>,
}

/// A [`Thumbnail`] without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// Side that was asked for.
    pub size: u32,
    /// What it has.
    pub width: u32,
    /// As its width.
    pub height: u32,
    /// How many bytes of it follow.
    pub bytes: usize,
}

/// A [`CodecError`], told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// [`CodecError::code`].
    pub code: String,
    /// The error as a sentence.
    pub message: String,
}

impl From<&CodecError> for Refusal {
    fn from(error: &CodecError) -> Self {
        Self { code: error.code().to_owned(), message: error.to_string() }
    }
}

impl From<&Thumbnails> for Described {
    fn from(thumbnails: &Thumbnails) -> Self {
        let Thumbnails { format, width, height, images } = thumbnails;
        let picture = |image: &Thumbnail| Picture {
            size: image.size,
            width: image.width,
            height: image.height,
            bytes: image.webp.len(),
        };
        let images = images.iter().map(picture).collect();
        Self { format: *format, width: *width, height: *height, images }
    }
}

impl Described {
    /// How many bytes follow the line; `None` where they are more than an answer has.
    pub fn following(&self) -> Option<usize> {
        let sum = self.images.iter().try_fold(0_usize, |sum, image| sum.checked_add(image.bytes));
        sum.filter(|sum| *sum <= MAX_ANSWER - MAX_LINE)
    }

    /// With the bytes that followed; `None` where they are not as many as were told.
    pub fn with(self, bytes: &[u8]) -> Option<Thumbnails> {
        let Self { format, width, height, images } = self;
        let mut rest = bytes;
        let mut made = Vec::with_capacity(images.len());
        for Picture { size, width, height, bytes } in images {
            let (webp, after) = rest.split_at_checked(bytes)?;
            made.push(Thumbnail { size, width, height, webp: webp.to_vec() });
            rest = after;
        }
        rest.is_empty().then_some(Thumbnails { format, width, height, images: made })
    }
}

/// What a worker sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// An image.
    Image(Vec<u8>),
    /// More bytes than an image may have: so many, which were passed over.
    TooLarge(u64),
}

/// Sends an image.
pub fn write_request(to: &mut impl Write, image: &[u8]) -> io::Result<()> {
    let length = u32::try_from(image.len()).map_err(io::Error::other)?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(image)?;
    to.flush()
}

/// The next image, or `None` at the end.
pub fn read_request(from: &mut impl BufRead) -> io::Result<Option<Request>> {
    if from.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length as usize > MAX_BYTES {
        let passed = io::copy(&mut from.take(length.into()), &mut io::sink())?;
        let whole = passed == u64::from(length);
        return if whole { Ok(Some(Request::TooLarge(passed))) } else { Err(ends()) };
    }
    let mut image = vec![0; length as usize];
    from.read_exact(&mut image)?;
    Ok(Some(Request::Image(image)))
}

/// Sends what came of an image.
pub fn write_answer(
    to: &mut impl Write,
    answer: &Result<Thumbnails, CodecError>,
) -> io::Result<()> {
    let line = match answer {
        Ok(thumbnails) => Answer::Ok(thumbnails.into()),
        Err(error) => Answer::Error(error.into()),
    };
    let mut line = serde_json::to_vec(&line)?;
    line.push(b'\n');
    to.write_all(&line)?;
    for image in answer.iter().flat_map(|thumbnails| &thumbnails.images) {
        to.write_all(&image.webp)?;
    }
    to.flush()
}

/// What came of an image.
pub fn read_answer(from: &mut impl BufRead) -> io::Result<Result<Thumbnails, Refusal>> {
    let mut line = Vec::new();
    from.by_ref().take(MAX_LINE as u64).read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(ends());
    }
    match serde_json::from_slice(&line)? {
        Answer::Error(refusal) => Ok(Err(refusal)),
        Answer::Ok(described) => {
            let length = described.following().ok_or_else(ends)?;
            let mut bytes = vec![0; length];
            from.read_exact(&mut bytes)?;
            described.with(&bytes).map(Ok).ok_or_else(ends)
        }
    }
}

fn ends() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "it ends within a message, or tells a wrong length",
    )
}
