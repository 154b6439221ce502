//! What keeps the farm honest without anybody asking: tickets for due rows, rescue of lost runs,
//! deadlines, the reconciler, retention.
//!
//! Any number of processes may run it; every act is one conditional statement. Knows no handler
//! and no HTTP. Start reading at [`Upkeep::run_until`].

pub mod process;
mod upkeep;

pub use upkeep::{Upkeep, UpkeepConfig};
