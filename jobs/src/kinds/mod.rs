//! One file per kind: payload, policy, key, output.

pub mod bulk_profiles;
pub mod consistency_scan;
pub mod noop;
pub mod post_analysis;
pub mod profile_analysis;
pub mod profile_fetch;
pub mod prune;
