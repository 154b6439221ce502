//! What operators look at: when a worker was last heard of, when a run began, which failures are
//! the same one, and how often a queue's switch was turned.

use sea_orm_migration::prelude::*;

use crate::ddl;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const UP: &[&str] = &[
    "ALTER TABLE workers ADD COLUMN renewed_at {ts}",
    "ALTER TABLE queue_controls ADD COLUMN changes {big} NOT NULL DEFAULT 0",
    "ALTER TABLE jobs ADD COLUMN claimed_at {ts}",
    "ALTER TABLE jobs ADD COLUMN error_fingerprint text",
    // The words of older failures were never taken apart: their code has to do.
    "UPDATE jobs SET error_fingerprint = COALESCE(error_code, 'unknown') WHERE state = 'failed'",
    "CREATE INDEX jobs_failed ON jobs (kind, error_fingerprint, finished_at)
        WHERE state = 'failed'",
    "CREATE INDEX jobs_ended ON jobs (queue, finished_at) WHERE finished_at IS NOT NULL",
];

const DOWN: &[&str] = &[
    "DROP INDEX jobs_ended",
    "DROP INDEX jobs_failed",
    "ALTER TABLE jobs DROP COLUMN error_fingerprint",
    "ALTER TABLE jobs DROP COLUMN claimed_at",
    "ALTER TABLE queue_controls DROP COLUMN changes",
    "ALTER TABLE workers DROP COLUMN renewed_at",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        ddl::WHOLE
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::run(manager, DOWN).await
    }
}
