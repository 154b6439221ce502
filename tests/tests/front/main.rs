//! What the API promises.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod fetch;
