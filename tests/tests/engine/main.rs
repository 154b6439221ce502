//! What the engine promises about jobs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod analysis;
mod cancel;
mod children;
mod fence;
mod hand;
mod keys;
mod lanes;
mod ledger;
mod ledger_model;
mod ledger_months;
mod lifecycle;
mod outcomes;
mod pictures;
mod progress;
mod rescue;
mod retention;
mod rolling;
mod schedule;
mod schedule_stream;
mod shutdown;
mod state_machine;
mod tables;
