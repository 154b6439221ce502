//! What the API promises.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod account;
mod ai;
mod analytics;
mod bad_input;
mod common;
mod credits;
mod dead;
mod events;
mod exports;
mod fetch;
mod fuzz;
mod hosted;
mod idempotency;
mod identity;
mod identity_keys;
mod jobs;
mod limits;
mod login;
mod long_poll;
mod media;
mod openapi;
mod operators;
mod outcomes;
mod posts;
mod problems;
mod profiles;
mod race;
mod recorded;
mod remembered;
mod renames;
mod repeats;
mod sessions;
mod stop;
mod tenants;
