//! One process for one machine, and the operator's command line.
//!
//! Owns configuration, start-up, shutdown and the demo provider; knows no job and no endpoint.

pub mod demo;
