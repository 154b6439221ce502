//! One process for one machine, and the operator's command line.
//!
//! Owns configuration, start-up, shutdown and the demo provider; knows no job and no endpoint.
//! Start reading at [`machine`] (what one process is made of), then `commands/`.

mod bench;
pub mod cli;
mod commands;
pub mod config;
pub mod demo;
pub mod machine;
mod roles;
mod secret;
pub mod seed;
pub mod servers;

pub use jobs::process::Failure;
