//! One file per kind, named like it.

pub(crate) mod bulk_profiles;
pub(crate) mod cdn_cleanup;
pub(crate) mod cdn_drift;
pub(crate) mod cdn_freshness;
pub(crate) mod cdn_retry;
pub(crate) mod cdn_stats;
pub(crate) mod cdn_sync;
pub(crate) mod consistency_scan;
pub(crate) mod credit_reset;
pub(crate) mod expiry_sweep;
pub(crate) mod export;
pub(crate) mod image_ingest;
pub(crate) mod noop;
pub(crate) mod post_analysis;
pub(crate) mod profile_analysis;
pub(crate) mod profile_fetch;
mod profile_rows;
pub(crate) mod prune;
