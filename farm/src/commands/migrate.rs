//! `farm migrate`: the tables.

use clap::ValueEnum;
use entity::db::Plans;
use jobs::process::Failure;
use migration::{Migrator, MigratorTrait, login};
use sea_orm_migration::migrator::MigrationStatus;
use sea_orm_migration::sea_orm::{DbBackend, DbErr};

use super::out;
use crate::config::Settings;
use crate::machine;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Action {
    /// Apply every step that is missing.
    Up,
    /// Take the last step back.
    Down,
    /// Say which steps are applied.
    Status,
}

pub(crate) async fn run(settings: &Settings, action: Action) -> Result<(), Failure> {
    machine::make_data_dir(&settings.common.data_dir)?;
    let db = settings.common.connect(2, Plans::Kept).await?;
    let tables = db.for_migrations().await?;
    match action {
        Action::Up => {
            Migrator::up(&tables, None).await.map_err(Failure::during("migrations failed"))?;
            if let Some((name, password)) = &settings.common.login
                && db.backend() == DbBackend::Postgres
            {
                let added = login::add(&tables, name, password.expose()).await;
                // The statement holds the password, and drivers quote statements.
                let hidden = |error: DbErr| {
                    let error = error.to_string().replace(password.expose(), "***");
                    Failure::new(format!("DATABASE_LOGIN was not made: {error}"))
                };
                added.map_err(hidden)?;
            }
        }
        Action::Down => {
            Migrator::down(&tables, Some(1))
                .await
                .map_err(Failure::during("the last step could not be taken back"))?;
        }
        Action::Status => {}
    }
    let steps = Migrator::get_migration_with_status(&tables).await?;
    let lines = steps.iter().map(|step| {
        let applied = step.status() == MigrationStatus::Applied;
        format!("{}  {}", if applied { "applied" } else { "pending" }, step.name())
    });
    db.close().await?;
    out::print(&lines.collect::<Vec<_>>().join("\n"))
}
