//! Sessions of the local issuer, with the refresh tokens that continue them; who looked for whom;
//! and what else a user says about themselves.

use sea_orm_migration::prelude::*;

use crate::ddl;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const UP: &[&str] = &[
    "ALTER TABLE users ADD COLUMN first_name text",
    "ALTER TABLE users ADD COLUMN last_name text",
    "ALTER TABLE users ADD COLUMN company text",
    // A family of refresh tokens: whatever came out of one sign-in.
    "CREATE TABLE sessions (
        id {uuid} PRIMARY KEY,
        user_id {uuid} NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        created_at {ts} NOT NULL,
        expires_at {ts} NOT NULL,
        revoked_at {ts}
    ) {strict}",
    "CREATE INDEX sessions_user ON sessions (user_id)",
    "CREATE INDEX sessions_due ON sessions (expires_at)",
    "CREATE TABLE refresh_tokens (
        token_hash text PRIMARY KEY,
        session_id {uuid} NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
        parent_hash text,
        created_at {ts} NOT NULL,
        expires_at {ts} NOT NULL,
        replaced_at {ts}
    ) {strict}",
    "CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id)",
    "CREATE INDEX refresh_tokens_due ON refresh_tokens (expires_at)",
    "CREATE TABLE user_searches (
        id {uuid} PRIMARY KEY,
        user_id {uuid} NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        instagram_username text NOT NULL,
        analysis_type text NOT NULL,
        created_at {ts} NOT NULL
    ) {strict}",
    "CREATE INDEX user_searches_user ON user_searches (user_id, created_at, id)",
];

const DOWN: &[&str] = &[
    "DROP TABLE user_searches",
    "DROP TABLE refresh_tokens",
    "DROP TABLE sessions",
    "ALTER TABLE users DROP COLUMN company",
    "ALTER TABLE users DROP COLUMN last_name",
    "ALTER TABLE users DROP COLUMN first_name",
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
