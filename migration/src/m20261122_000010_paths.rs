//! One way to each waiting row. What the planner knows of a queue is always old: rows wait for
//! moments, and statistics are taken by the minute, so of two indexes that look alike it takes
//! either, and one of them may hold the whole backlog. A partial index can only be used by a
//! statement that repeats its condition: with a condition of its own, an index is used where it is
//! asked for, and nowhere else.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

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
                "DROP INDEX jobs_due",
                // Always true: a run is never negative.
                "CREATE INDEX jobs_due ON jobs (queue, priority, run_at, id)
                    WHERE state IN ('queued', 'retrying') AND run >= 0",
            ],
        )
        .await?;
        if manager.get_connection().get_database_backend() == DbBackend::Postgres {
            // Every job leaves two dead versions of its row behind.
            ddl::run(
                manager,
                &[
                    "ALTER TABLE jobs SET (autovacuum_vacuum_scale_factor = 0.02,
                        autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.02)",
                    // One that keeps its plan: the other was planned anew by every statement.
                    "CREATE OR REPLACE FUNCTION farm_now() RETURNS timestamptz
                        LANGUAGE plpgsql STABLE AS $$ BEGIN
                        RETURN date_trunc('milliseconds', clock_timestamp())
                            + (SELECT offset_ms FROM farm_clock) * interval '1 millisecond';
                        END $$",
                ],
            )
            .await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::run(
            manager,
            &[
                "DROP INDEX jobs_due",
                "CREATE INDEX jobs_due ON jobs (queue, priority, run_at, id)
                    WHERE state IN ('queued', 'retrying')",
            ],
        )
        .await?;
        if manager.get_connection().get_database_backend() == DbBackend::Postgres {
            ddl::run(
                manager,
                &[
                    "ALTER TABLE jobs RESET (autovacuum_vacuum_scale_factor,
                        autovacuum_vacuum_cost_delay, autovacuum_analyze_scale_factor)",
                    "CREATE OR REPLACE FUNCTION farm_now() RETURNS timestamptz
                        LANGUAGE sql STABLE AS $$
                        SELECT date_trunc('milliseconds', clock_timestamp())
                            + (SELECT offset_ms FROM farm_clock) * interval '1 millisecond' $$",
                ],
            )
            .await?;
        }
        Ok(())
    }
}
