//! What the API promises.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod bad_input;
mod common;
mod fetch;
mod fuzz;
mod idempotency;
mod jobs;
mod login;
mod long_poll;
mod openapi;
mod outcomes;
mod posts;
mod problems;
mod profiles;
mod race;
mod recorded;
mod renames;
mod repeats;
