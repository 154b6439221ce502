//! One file per kind: payload, policy, key, output.

pub mod bulk_profiles;
pub mod cdn_cleanup;
pub mod cdn_drift;
pub mod cdn_freshness;
pub mod cdn_retry;
pub mod cdn_stats;
pub mod cdn_sync;
pub mod consistency_scan;
pub mod credit_reset;
pub mod expiry_sweep;
pub mod export;
pub mod image_ingest;
pub mod noop;
pub mod post_analysis;
pub mod profile_analysis;
pub mod profile_fetch;
pub mod prune;
