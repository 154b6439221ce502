//! Caption analysis: what a caption is about, how it sounds, in which language. No HTTP, no
//! database.
//!
//! Start with [`analysis`]: what an [`Analyzer`] answers. Three [`Tier`]s answer it; [`Engine`] keeps
//! them on threads of their own and merges the work of many callers.

#![deny(missing_docs)]

pub mod analysis;
pub mod cpu;
pub mod engine;
pub mod evaluation;
#[cfg(feature = "bert")]
pub mod full;
pub mod hybrid;
pub mod isolated;
pub mod label;
#[cfg(feature = "bert")]
pub mod lite;
pub mod load;
pub mod memory;
#[cfg(feature = "bert")]
pub mod nets;
pub mod rules;
pub mod store;
pub mod text;
pub mod tier;

pub use analysis::{Analysis, Analyzer, ModelId, Offence};
pub use engine::{Engine, EngineError};
pub use label::{Category, Method, Sentiment};
pub use rules::RulesAnalyzer;
pub use text::Prepared;
pub use tier::{Tier, Wanted};
