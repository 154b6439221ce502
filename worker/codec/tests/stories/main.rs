//! Images through the codec, as a library and as a program. Every fixture is made here.
#![allow(clippy::unwrap_used, clippy::panic)]

mod bits;
mod colours;
mod encode;
mod formats;
mod hostile;
mod orientation;
mod picture;
mod program;
mod serving;
