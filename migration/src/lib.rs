//! Migrations: one reversible step per file, for Postgres and SQLite alike.
//!
//! Statements are written once in [`ddl`]'s small notation. Row-level-security policies live here
//! too; nothing else in the product executes DDL. A new table needs its policies and grants in the
//! step that makes it, or nobody can use it; a step that changes rows begins with `SET LOCAL ROLE
//! service_role`, or sees none of them where the tables' owner is an ordinary role.

pub mod ddl;
pub mod login;
mod m20261122_000001_clock;
mod m20261122_000002_jobs;
mod m20261122_000003_users;
mod m20261122_000004_profiles;
mod m20261122_000005_idempotency;
mod m20261122_000006_noop_effects;
mod m20261122_000007_workers;
mod m20261122_000008_schedules;
mod m20261122_000009_turns;
mod m20261122_000010_paths;
mod m20261122_000011_analysis;
mod m20261127_000012_media;
mod m20261128_000013_teams;
mod m20261128_000014_credits;
mod m20261128_000015_searches;
mod m20261128_000016_identity;
mod m20261128_000017_row_security;
mod m20261128_000018_lean_ledger;
mod m20261128_000019_provider;

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::prelude::*;

/// The steps, oldest first.
#[derive(Debug)]
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261122_000001_clock::Migration),
            Box::new(m20261122_000002_jobs::Migration),
            Box::new(m20261122_000003_users::Migration),
            Box::new(m20261122_000004_profiles::Migration),
            Box::new(m20261122_000005_idempotency::Migration),
            Box::new(m20261122_000006_noop_effects::Migration),
            Box::new(m20261122_000007_workers::Migration),
            Box::new(m20261122_000008_schedules::Migration),
            Box::new(m20261122_000009_turns::Migration),
            Box::new(m20261122_000010_paths::Migration),
            Box::new(m20261122_000011_analysis::Migration),
            Box::new(m20261127_000012_media::Migration),
            Box::new(m20261128_000013_teams::Migration),
            Box::new(m20261128_000014_credits::Migration),
            Box::new(m20261128_000015_searches::Migration),
            Box::new(m20261128_000016_identity::Migration),
            Box::new(m20261128_000017_row_security::Migration),
            Box::new(m20261128_000018_lean_ledger::Migration),
            Box::new(m20261128_000019_provider::Migration),
        ]
    }
}
