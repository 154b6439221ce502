//! What the front door does as the farm itself, whatever a caller may see: it finds out who they
//! are, stores their work, takes their credits, and says how the farm is doing.
//!
//! The database in the farm's own role ([`entity::Db`]) is reached from here alone; the compiler
//! sees to it. Everything else reads through [`state::AppState::scope`], where the database itself
//! knows whom it answers. Keep this small: whatever is here must decide by itself who may have it.

pub(crate) mod auth_hosted;
pub(crate) mod auth_local;
pub(crate) mod begin;
pub(crate) mod booking;
pub(crate) mod dead;
pub(crate) mod farm;
pub mod idempotency;
pub mod identity;
pub(crate) mod live;
pub(crate) mod queues;
pub(crate) mod sample;
pub(crate) mod searches;
pub mod state;
pub(crate) mod workers;
