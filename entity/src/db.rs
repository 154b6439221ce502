//! Connections. SQLite has one writer and a pool of readers; Postgres has one pool for both.

use std::time::Duration;

use sea_orm::{
    ConnectOptions, Database, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    SqliteTransactionMode, TransactionOptions, TransactionTrait,
};

/// An open transaction; dropped without [`Tx::commit`] it rolls back.
pub type Tx = DatabaseTransaction;

/// The database of one process.
#[derive(Clone, Debug)]
pub struct Db {
    read: DatabaseConnection,
    write: DatabaseConnection,
    url: String,
}

impl Db {
    /// Opens `url` (`sqlite://path?mode=rwc` or `postgres://…`) with at most `max` connections.
    ///
    /// # Errors
    /// When the database cannot be reached or the URL is of neither kind.
    pub async fn connect(url: &str, max: u32) -> Result<Self, DbErr> {
        if url.starts_with("sqlite:") {
            // One writer: SQLite allows no more, and queueing in the pool is fair where the
            // busy handler is not.
            let write = Database::connect(sqlite(url, 1)).await?;
            let read = Database::connect(sqlite(url, max.clamp(1, 8))).await?;
            Ok(Self { read, write, url: url.to_owned() })
        } else {
            let mut options = ConnectOptions::new(url.to_owned());
            options
                .max_connections(max)
                .min_connections(1)
                .acquire_timeout(Duration::from_secs(10))
                .test_before_acquire_if_idle_for(Duration::from_secs(1))
                .sqlx_logging(false);
            let pool = Database::connect(options).await?;
            Ok(Self { read: pool.clone(), write: pool, url: url.to_owned() })
        }
    }

    /// A second, single connection to the same database, for work that must not wait behind the
    /// pool (the lease of a worker).
    pub async fn apart(&self) -> Result<Self, DbErr> {
        Self::connect(&self.url, 1).await
    }

    /// For statements that only read.
    pub fn read(&self) -> &DatabaseConnection {
        &self.read
    }

    /// For single statements that write.
    pub fn write(&self) -> &DatabaseConnection {
        &self.write
    }

    /// Which of the two databases this is.
    pub fn backend(&self) -> DbBackend {
        self.read.get_database_backend()
    }

    /// A transaction that writes. On SQLite it takes the write lock at once, so that no read in
    /// it can be out of date by its first write.
    pub async fn begin(&self) -> Result<Tx, DbErr> {
        self.write
            .begin_with_options(TransactionOptions {
                sqlite_transaction_mode: (self.backend() == DbBackend::Sqlite)
                    .then_some(SqliteTransactionMode::Immediate),
                ..Default::default()
            })
            .await
    }

    /// Closes the pools.
    pub async fn close(self) -> Result<(), DbErr> {
        self.read.close().await?;
        self.write.close().await
    }
}

fn sqlite(url: &str, connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new(url.to_owned());
    options
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(Duration::from_secs(30))
        .idle_timeout(None::<Duration>)
        .max_lifetime(None::<Duration>)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(|options| {
            // FULL: an acknowledged job survives a power cut, not only a killed process.
            options
                .pragma("journal_mode", "WAL")
                .pragma("synchronous", "FULL")
                .pragma("foreign_keys", "ON")
                .busy_timeout(Duration::from_secs(20))
        });
    options
}

/// True when another transaction was in the way and the same work may simply be tried again.
pub fn is_conflict(error: &DbErr) -> bool {
    let text = error.to_string();
    ["deadlock detected", "could not serialize", "database is locked"]
        .iter()
        .any(|words| text.contains(words))
}

/// True when the error says that a unique index refused the row.
pub fn is_unique_violation(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(sea_orm::SqlErr::UniqueConstraintViolation(_)))
}
