//! Recorded provider answers: evaluation data that lies beside the checkout, never in it.

use std::path::PathBuf;

/// The folder of recorded answers, `None` where it is not at hand. `FARM_RECORDED_DIR` overrides.
#[allow(clippy::disallowed_methods)] // a switch of the test run, not a setting of the farm
pub fn recorded_dir() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/provider");
    let dir = std::env::var("FARM_RECORDED_DIR").map_or_else(|_| beside.into(), PathBuf::from);
    if dir.is_dir() {
        return Some(dir);
    }
    eprintln!("no recorded answers at {}; the story is skipped", dir.display());
    None
}
