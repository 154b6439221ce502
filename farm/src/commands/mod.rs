//! One file per command.

pub(crate) mod admin;
pub(crate) mod cluster;
pub(crate) mod demo_provider;
pub(crate) mod doctor;
pub(crate) mod jobs;
pub(crate) mod migrate;
pub(crate) mod schedules;
pub(crate) mod token;
pub(crate) mod up;
