//! The database as types: tables, closed enums, named queries, and the operations that must be
//! one transaction (the job life cycle, the ledger, access grants).
//!
//! Owns every SQL statement of the product except the migrations. Knows nothing of job kinds,
//! queues in memory, HTTP or providers. Start reading at [`job`] (the row is the job), then
//! [`db`] (how a statement is written once for Postgres and SQLite).

#![deny(missing_docs)]

pub mod access;
pub mod aggregate;
pub mod ai_answer;
pub mod audit;
pub mod cdn_asset;
pub mod clock;
pub mod configuration;
pub mod db;
pub mod effect;
pub mod enums;
pub mod export;
pub mod idempotency;
pub mod job;
pub mod job_event;
pub mod job_watcher;
pub mod ledger;
pub mod post;
pub mod profile;
pub mod queue_control;
pub mod related_profile;
pub mod schedule;
pub mod session;
pub mod sql;
pub mod stored_object;
pub mod team;
pub mod time;
pub mod user;
pub mod user_list;
pub mod user_search;
pub mod worker;

pub use db::{Actor, Db, Scope, Tx};
pub use sea_orm::{ConnectionTrait, DbErr};
pub use time::Time;
