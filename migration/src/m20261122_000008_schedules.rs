//! Who paused an entry of the schedule and when, what its last tick enqueued, and when that tick
//! was taken.

use sea_orm_migration::prelude::*;

use crate::ddl;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        ddl::WHOLE
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::run(
            manager,
            &[
                "ALTER TABLE schedules ADD COLUMN taken_at {ts}",
                "ALTER TABLE schedules ADD COLUMN last_job {uuid}",
                "ALTER TABLE schedules ADD COLUMN paused_at {ts}",
                "ALTER TABLE schedules ADD COLUMN paused_by text",
            ],
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::run(
            manager,
            &[
                "ALTER TABLE schedules DROP COLUMN paused_by",
                "ALTER TABLE schedules DROP COLUMN paused_at",
                "ALTER TABLE schedules DROP COLUMN last_job",
                "ALTER TABLE schedules DROP COLUMN taken_at",
            ],
        )
        .await
    }
}
