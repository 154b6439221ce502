//! Who may do what with rows on Postgres: the policies against a table that was written by hand
//! from the specification, each policy by itself, and what a catalogue must not hold.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod catalogue;
mod matrix;
mod owner;
mod policies;
mod scope;
mod site;
