//! Teams: everybody has one of their own from the start, and may see what a teammate may see.

use sea_orm_migration::prelude::*;

use crate::ddl;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const UP: &[&str] = &[
    "CREATE TABLE teams (
        id {uuid} PRIMARY KEY,
        name text NOT NULL CHECK (name <> ''),
        personal_of {uuid} UNIQUE REFERENCES users (id) ON DELETE CASCADE,
        created_at {ts} NOT NULL,
        updated_at {ts} NOT NULL
    ) {strict}",
    "CREATE TABLE team_members (
        id {uuid} PRIMARY KEY,
        team_id {uuid} NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
        user_id {uuid} NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        role text NOT NULL CHECK (role IN ('owner', 'member')),
        status text NOT NULL CHECK (status IN ('active', 'inactive', 'suspended', 'removed')),
        invited_by {uuid} REFERENCES users (id) ON DELETE SET NULL,
        joined_at {ts} NOT NULL,
        UNIQUE (team_id, user_id)
    ) {strict}",
    "CREATE INDEX team_members_of_user ON team_members (user_id, team_id) WHERE status = 'active'",
    "CREATE INDEX team_members_user ON team_members (user_id)",
    "CREATE INDEX team_members_inviter ON team_members (invited_by) WHERE invited_by IS NOT NULL",
    // A row for each who granted it: what one of them takes along stays with the others.
    "CREATE TABLE team_profile_access (
        team_id {uuid} NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
        profile_id {uuid} NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
        granted_by {uuid} NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        granted_at {ts} NOT NULL,
        expires_at {ts},
        PRIMARY KEY (team_id, profile_id, granted_by)
    ) {strict}",
    "CREATE INDEX team_profile_access_profile ON team_profile_access (profile_id)",
    "CREATE INDEX team_profile_access_granter ON team_profile_access (granted_by)",
    "CREATE INDEX user_profile_access_profile ON user_profile_access (profile_id)",
];

/// Those who are here already have a team of their own, too. Its id is its owner's: no random one
/// can be had alike on both databases.
const PERSONAL: [&str; 2] = [
    "INSERT INTO teams (id, name, personal_of, created_at, updated_at)
     SELECT id, COALESCE(NULLIF(full_name, ''), email), id, created_at, created_at FROM users",
    "INSERT INTO team_members (id, team_id, user_id, role, status, joined_at)
     SELECT id, id, id, 'owner', 'active', created_at FROM users",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        ddl::WHOLE
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::run(manager, UP).await?;
        ddl::run(manager, &PERSONAL).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::run(manager, &["DROP INDEX user_profile_access_profile"]).await?;
        ddl::drop_tables(manager, &["team_profile_access", "team_members", "teams"]).await
    }
}
