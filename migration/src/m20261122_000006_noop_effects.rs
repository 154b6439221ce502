//! Effects of noop jobs, counted by benchmarks and storms: append-only, without a unique key, so
//! that an effect that took place twice shows.

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
            &["CREATE TABLE noop_effects (
                id {serial},
                job_id {uuid} NOT NULL,
                run {int} NOT NULL,
                at {ts} NOT NULL
            ) {strict}"],
        )
        .await?;
        let refuse: &[&str] = match manager.get_connection().get_database_backend() {
            DbBackend::Postgres => &[
                "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ \
                 BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$",
                "CREATE TRIGGER noop_effects_append_only BEFORE UPDATE OR DELETE ON noop_effects \
                 FOR EACH ROW EXECUTE FUNCTION refuse_change()",
            ],
            _ => &[
                "CREATE TRIGGER noop_effects_no_update BEFORE UPDATE ON noop_effects \
                 BEGIN SELECT RAISE(ABORT, 'noop_effects is append-only'); END",
                "CREATE TRIGGER noop_effects_no_delete BEFORE DELETE ON noop_effects \
                 BEGIN SELECT RAISE(ABORT, 'noop_effects is append-only'); END",
            ],
        };
        ddl::run(manager, refuse).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::drop_tables(manager, &["noop_effects"]).await?;
        if manager.get_connection().get_database_backend() == DbBackend::Postgres {
            ddl::run(manager, &["DROP FUNCTION refuse_change()"]).await?;
        }
        Ok(())
    }
}
