//! The small checkpoints of the tests.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)] // each file of tests uses a part

pub mod files;

use std::path::{Path, PathBuf};

use models::nets::{Place, Precision};
use serde::de::DeserializeOwned;

/// The folder of a task's checkpoint.
pub fn folder(task: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny").join(task)
}

/// A task's weights.
pub fn weights(task: &str) -> PathBuf {
    folder(task).join("model.safetensors")
}

/// What the reference answered.
pub fn golden<T: DeserializeOwned>(file: &str) -> T {
    let text = std::fs::read_to_string(folder(file)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// 32 bits on the CPU: what the reference computed with.
pub fn cpu() -> Place {
    Place::cpu(Precision::Full)
}
