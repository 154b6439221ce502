//! One file per kind, named like it.

pub(crate) mod bulk_profiles;
pub(crate) mod noop;
pub(crate) mod profile_fetch;
mod profile_rows;
pub(crate) mod prune;
