//! What the engine promises about jobs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod hand;
mod lanes;
mod lifecycle;
