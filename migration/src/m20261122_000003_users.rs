//! Users: one id per person.

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
            &["CREATE TABLE users (
                id {uuid} PRIMARY KEY,
                email text NOT NULL UNIQUE,
                hashed_password text,
                full_name text,
                role text NOT NULL CHECK (role IN ('user', 'admin', 'superadmin')),
                status text NOT NULL
                    CHECK (status IN ('active', 'pending', 'suspended', 'inactive')),
                subscription_tier text NOT NULL
                    CHECK (subscription_tier IN ('free', 'standard', 'premium')),
                created_at {ts} NOT NULL,
                updated_at {ts} NOT NULL,
                last_login_at {ts},
                CHECK (email = lower(email))
            ) {strict}"],
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::drop_tables(manager, &["users"]).await
    }
}
