//! Table definitions written once: `{uuid}`, `{ts}`, `{json}`, `{bool}`, `{float}`, `{big}`,
//! `{int}`, `{small}` and `{serial}` become each database's type, `{strict}` its table options.
//! Times are `timestamptz` on Postgres and integer milliseconds on SQLite.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend, DbErr};

/// Every step takes place whole or not at all, on SQLite too.
pub const WHOLE: Option<bool> = Some(true);

/// Replaces the type words of a statement.
pub fn render(backend: DbBackend, template: &str) -> String {
    let types: [(&str, &str, &str); 10] = [
        ("{uuid}", "uuid", "BLOB"),
        ("{ts}", "timestamptz", "INTEGER"),
        ("{json}", "jsonb", "TEXT"),
        ("{bool}", "boolean", "INTEGER"),
        ("{float}", "double precision", "REAL"),
        ("{big}", "bigint", "INTEGER"),
        ("{int}", "integer", "INTEGER"),
        ("{small}", "smallint", "INTEGER"),
        ("{serial}", "bigserial PRIMARY KEY", "INTEGER PRIMARY KEY"),
        ("{strict}", "", "STRICT"),
    ];
    types.iter().fold(template.to_owned(), |text, (word, postgres, sqlite)| {
        text.replace(word, if backend == DbBackend::Postgres { postgres } else { sqlite })
    })
}

/// Runs statements in order.
pub async fn run(manager: &SchemaManager<'_>, statements: &[&str]) -> Result<(), DbErr> {
    let db = manager.get_connection();
    for statement in statements {
        db.execute_unprepared(&render(db.get_database_backend(), statement)).await?;
    }
    Ok(())
}

/// Drops tables in order.
pub async fn drop_tables(manager: &SchemaManager<'_>, tables: &[&str]) -> Result<(), DbErr> {
    for table in tables {
        run(manager, &[&format!("DROP TABLE IF EXISTS {table}")]).await?;
    }
    Ok(())
}
