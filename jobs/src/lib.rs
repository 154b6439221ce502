//! The contract about work: kinds and their policies, enqueue, ticket queues, and waiting for a
//! job to change.
//!
//! Knows no handler, no HTTP and no model. Start reading at [`catalog`] (the list of kinds), then
//! [`Jobs`] (what the other crates hold).

#![deny(missing_docs)]

pub mod backoff;
pub mod catalog;
pub mod handle;
mod hex;
pub mod kinds;
pub mod limit;
pub mod memory;
pub mod policy;
pub mod process;
pub mod quota;
pub mod redis;
pub mod redrive;
pub mod storage;
pub mod submit;
pub mod ticket;
pub mod watch;

pub use catalog::{AnyJob, Kind};
pub use handle::Handle;
pub use hex::hex;
pub use policy::{Job, Policy};
pub use redrive::RedriveDone;
pub use storage::Storage;
pub use submit::{Jobs, JobsError, Options};
pub use ticket::{Lane, Signal, TicketQueue};
