//! One file per kind, named like it.

pub(crate) mod bulk_profiles;
pub(crate) mod consistency_scan;
pub(crate) mod noop;
pub(crate) mod post_analysis;
pub(crate) mod profile_analysis;
pub(crate) mod profile_fetch;
mod profile_rows;
pub(crate) mod prune;
