//! Idempotency keys: a repeated POST gets the answer of the first.

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
                "CREATE TABLE idempotency_keys (
                    id {uuid} PRIMARY KEY,
                    user_id {uuid} NOT NULL REFERENCES users (id) ON DELETE CASCADE,
                    key text NOT NULL,
                    body_hash text NOT NULL,
                    job_id {uuid},
                    answer {json},
                    created_at {ts} NOT NULL,
                    expires_at {ts} NOT NULL,
                    UNIQUE (user_id, key)
                ) {strict}",
                "CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at)",
            ],
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::drop_tables(manager, &["idempotency_keys"]).await
    }
}
