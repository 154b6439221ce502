//! How many searches of a user go on: an index of open fetches that users asked for.

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
            &["CREATE INDEX jobs_searches ON jobs (user_id)
                WHERE parent_id IS NULL AND kind IN ('profile_fetch', 'bulk_profiles')
                AND state IN ('queued', 'running', 'retrying')"],
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::run(manager, &["DROP INDEX jobs_searches"]).await
    }
}
