//! The process that runs jobs: engine, dispatch, handlers, provider client.
//!
//! Knows no HTTP of ours. Start reading at [`engine`]; a handler is one file in `handlers/`.

mod analysis;
pub mod analyzers;
mod dispatch;
pub mod engine;
mod exports;
pub mod foreign;
pub mod formulas;
mod fraud;
mod handlers;
pub mod media;
pub mod process;
pub mod provider;
pub mod settings;

pub use engine::{Deps, Engine, EngineConfig, JobError};
