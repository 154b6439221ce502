//! One process for one machine, and the operator's command line.
//!
//! Owns configuration, start-up, shutdown and the demo provider; knows no job and no endpoint.
//! Start reading at [`machine`] (what one process is made of), then `commands/`.

pub mod cli;
mod commands;
pub mod config;
pub mod demo;
mod failure;
pub mod logging;
pub mod machine;
pub mod seed;

pub use failure::Failure;
