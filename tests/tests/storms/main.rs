//! Storms: a cluster of real processes does real work while it is killed, frozen, cut off and
//! lied to. Whatever happens: nothing that was acknowledged is lost, nothing takes place twice.
//!
//! Short here, so that every run has them; `make storm` runs the long form (`TEST_STORM=long`), and
//! `TEST_STORM_SECONDS` says how long those about money go on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod buyers;
mod crowd;
mod kills;
mod money;
mod outages;
mod poison;
mod pooler;
mod replicas;
mod schedulers;
mod storm;
mod tickets;
mod waiters;
