//! The farm's clock: the database's own, plus an offset that only tests move.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

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
                "CREATE TABLE farm_clock (offset_ms {big} NOT NULL) {strict}",
                "INSERT INTO farm_clock (offset_ms) VALUES (0)",
            ],
        )
        .await?;
        let clock = match manager.get_connection().get_database_backend() {
            DbBackend::Postgres => {
                "CREATE FUNCTION farm_now() RETURNS timestamptz LANGUAGE sql STABLE AS $$ \
                 SELECT date_trunc('milliseconds', clock_timestamp()) \
                   + (SELECT offset_ms FROM farm_clock) * interval '1 millisecond' $$"
            }
            _ => {
                "CREATE VIEW farm_now AS SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) \
                 + offset_ms AS ms FROM farm_clock"
            }
        };
        ddl::run(manager, &[clock]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let clock = match manager.get_connection().get_database_backend() {
            DbBackend::Postgres => "DROP FUNCTION farm_now()",
            _ => "DROP VIEW farm_now",
        };
        ddl::run(manager, &[clock]).await?;
        ddl::drop_tables(manager, &["farm_clock"]).await
    }
}
