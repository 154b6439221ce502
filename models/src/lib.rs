//! Caption analysis: what a caption is about, how it sounds, in which language. No HTTP, no
//! database.
//!
//! Start with [`analysis`]: what an [`Analyzer`] answers. Three [`Tier`]s answer it.

#![deny(missing_docs)]

pub mod analysis;
pub mod evaluation;
pub mod hybrid;
pub mod label;
pub mod rules;
pub mod text;
pub mod tier;

pub use analysis::{Analysis, Analyzer, ModelId, Offence};
pub use label::{Category, Method, Sentiment};
pub use rules::RulesAnalyzer;
pub use text::Prepared;
pub use tier::{Tier, Wanted};
