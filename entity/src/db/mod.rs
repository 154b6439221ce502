//! Connections. SQLite has one writer and a pool of readers; Postgres has one pool for both.
//!
//! [`Db`] acts as the farm itself, which may do everything. What is done for a caller goes through
//! a [`Scope`]: there Postgres lets them see and do what the policies say (the migration of
//! row-level security), whatever the statement asks for.

mod conn;
mod options;
mod scope;

use std::time::Duration;

use sea_orm::{
    ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    SqliteTransactionMode, TransactionOptions,
};

pub use self::conn::Conn;
use self::options::{pooler, postgres, sqlite};
pub use self::scope::{Actor, Scope};

use crate::{args, sql};

/// An open transaction; dropped without [`Tx::commit`] it rolls back.
pub type Tx = DatabaseTransaction;

/// The newest migration this version relies on; what comes after it may be there too.
pub const NEWEST_MIGRATION: &str = "m20261128_000019_provider";

/// Longest wait for the answer to a single statement. The server ends a statement
/// sooner; a server that vanished (power, network) says nothing for a quarter of an hour.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(35);

/// How Postgres plans the statements of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plans {
    /// Once, as a rule: for many small statements, of which planning is the greater part.
    Kept,
    /// For every statement, with its values and the sizes of the moment: for batches over tables
    /// that grow by thousands of rows a second, where a plan of a minute ago reads all of them.
    Fresh,
}

impl Plans {
    fn mode(self) -> &'static str {
        match self {
            Self::Kept => "auto",
            Self::Fresh => "force_custom_plan",
        }
    }
}

/// Connections of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// Open now.
    pub open: u32,
    /// Of them, those that nobody uses.
    pub idle: u32,
    /// How many there may be.
    pub most: u32,
}

/// The database of one process.
#[derive(Clone)]
pub struct Db {
    read: Conn,
    write: Conn,
    url: String,
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL holds a password.
        f.debug_struct("Db").field("backend", &self.backend()).finish_non_exhaustive()
    }
}

/// Gives up on a database that says nothing for longer than any statement of ours may take; what
/// was under way rolls back, or is found by the lease and the reconciler.
///
/// # Errors
/// The database's own, or that it does not answer.
pub async fn answered<T>(asked: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
    let silence = |_| DbErr::Custom("the database does not answer".to_owned());
    tokio::time::timeout(ANSWER_TIMEOUT, asked).await.map_err(silence)?
}

impl Db {
    /// Opens `url` (`sqlite://path?mode=rwc` or `postgres://…`) with at most `max` connections.
    /// `?pgbouncer=true`, or Supabase's port 6543, says that a transaction pooler is in between.
    ///
    /// # Errors
    /// When the database cannot be reached or the URL is of neither kind.
    pub async fn connect(url: &str, max: u32) -> Result<Self, DbErr> {
        Self::connect_with(url, max, Plans::Kept).await
    }

    /// Like [`Self::connect`], with a say in how Postgres plans.
    ///
    /// # Errors
    /// The same.
    pub async fn connect_with(url: &str, max: u32, plans: Plans) -> Result<Self, DbErr> {
        if url.starts_with("sqlite:") {
            // One writer: SQLite allows no more, and queueing in the pool is fair where the
            // busy handler is not.
            let write = Database::connect(sqlite(url, 1)).await?;
            let read = Database::connect(sqlite(url, max.clamp(1, 8))).await?;
            let conn = |pool| Conn::new(pool, false);
            Ok(Self { read: conn(read), write: conn(write), url: url.to_owned() })
        } else {
            let (server, behind_pooler) = pooler(url)?;
            let pool = Database::connect(postgres(&server, behind_pooler, max, plans)).await?;
            let conn = Conn::new(pool, behind_pooler);
            Ok(Self { read: conn.clone(), write: conn, url: url.to_owned() })
        }
    }

    /// A connection without limits on time, for migrations: an index over millions of rows takes
    /// as long as it takes.
    ///
    /// # Errors
    /// When the database cannot be reached, or only through a transaction pooler, where the names
    /// of prepared statements would collide.
    pub async fn for_migrations(&self) -> Result<DatabaseConnection, DbErr> {
        if self.backend() == DbBackend::Sqlite {
            return Ok(self.write.pool().clone());
        }
        if self.write.is_behind_pooler() {
            return Err(DbErr::Custom(
                "migrations need the server itself, not a transaction pooler: give its direct \
                 DATABASE_URL for this command"
                    .to_owned(),
            ));
        }
        Self::owner(&self.url).await
    }

    /// A connection to a Postgres without limits on time, in the login's own right.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn owner(url: &str) -> Result<DatabaseConnection, DbErr> {
        let mut options = postgres(&pooler(url)?.0, false, 1, Plans::Kept);
        // As whoever owns the tables, not as the farm.
        options
            .map_sqlx_postgres_opts(|options| options.application_name("farm migrate"))
            .map_sqlx_postgres_pool_opts(|options| options);
        Database::connect(options).await
    }

    /// A second, single connection to the same database, for work that must not wait behind the
    /// pool (the lease of a worker).
    pub async fn apart(&self) -> Result<Self, DbErr> {
        Self::connect(&self.url, 1).await
    }

    /// For statements that only read.
    pub fn read(&self) -> &Conn {
        &self.read
    }

    /// For single statements that write.
    pub fn write(&self) -> &Conn {
        &self.write
    }

    /// How the connections are used now.
    pub fn pool(&self) -> Pool {
        if self.backend() == DbBackend::Sqlite {
            let pools = [&self.read, &self.write];
            let pools = pools.map(|conn| conn.pool().get_sqlite_connection_pool());
            return Pool {
                open: pools.iter().map(|pool| pool.size()).sum(),
                idle: pools.iter().map(|pool| pool.num_idle() as u32).sum(),
                most: pools.iter().map(|pool| pool.options().get_max_connections()).sum(),
            };
        }
        let pool = self.read.pool().get_postgres_connection_pool();
        Pool {
            open: pool.size(),
            idle: pool.num_idle() as u32,
            most: pool.options().get_max_connections(),
        }
    }

    /// Which of the two databases this is.
    pub fn backend(&self) -> DbBackend {
        self.read.get_database_backend()
    }

    /// A transaction that writes. On SQLite it takes the write lock at once, so that no read in
    /// it can be out of date by its first write.
    pub async fn begin(&self) -> Result<Tx, DbErr> {
        let sqlite_transaction_mode =
            (self.backend() == DbBackend::Sqlite).then_some(SqliteTransactionMode::Immediate);
        let options = TransactionOptions { sqlite_transaction_mode, ..Default::default() };
        self.write.begin(options).await
    }

    /// The database as a caller may see it.
    pub fn acting_for(&self, actor: Actor) -> Scope {
        Scope::new(&self.read, &self.write, actor)
    }

    /// Closes the pools.
    pub async fn close(self) -> Result<(), DbErr> {
        self.read.pool().clone().close().await?;
        self.write.pool().clone().close().await
    }
}

/// Whether the tables are there and as new as this version needs them.
///
/// # Errors
/// When the database does not answer.
pub async fn is_migrated<C: ConnectionTrait>(db: &C) -> Result<bool, DbErr> {
    let applied = "SELECT version FROM seaql_migrations WHERE version = ?";
    match sql::rows(db, applied, args![NEWEST_MIGRATION]).await {
        Ok(rows) => Ok(!rows.is_empty()),
        Err(error) => {
            let text = error.to_string();
            // Of a server that has the farm's roles for another of its databases.
            let not_ours = text.contains("permission denied for table seaql_migrations");
            let no_table = text.contains("does not exist") || text.contains("no such table");
            if no_table || not_ours { Ok(false) } else { Err(error) }
        }
    }
}

/// True when another transaction was in the way and the same work may simply be tried again.
pub fn is_conflict(error: &DbErr) -> bool {
    let text = error.to_string();
    ["deadlock detected", "could not serialize", "database is locked", "lock timeout"]
        .iter()
        .any(|words| text.contains(words))
}

/// True when the error says that a unique index refused the row.
pub fn is_unique_violation(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(sea_orm::SqlErr::UniqueConstraintViolation(_)))
}
