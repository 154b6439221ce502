//! Connections. SQLite has one writer and a pool of readers; Postgres has one pool for both.

use std::time::Duration;

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend,
    DbErr, ExecResult, QueryResult, SqliteTransactionMode, Statement, TransactionOptions,
    TransactionTrait,
};
use url::Url;

use crate::{args, sql};

/// An open transaction; dropped without [`Tx::commit`] it rolls back.
pub type Tx = DatabaseTransaction;

/// The newest migration this version relies on; what comes after it may be there too.
pub const NEWEST_MIGRATION: &str = "m20261128_000016_identity";

/// Longest statement, in milliseconds: none of ours takes a second unless something is wrong.
const STATEMENT_TIMEOUT_MS: u32 = 30_000;
/// Longest wait for a lock, in milliseconds.
const LOCK_TIMEOUT_MS: u32 = 10_000;
/// Longest pause inside a transaction, in milliseconds. None of ours waits for anything but the
/// database in one; whoever holds locks and says nothing is frozen or gone, and rescue, which
/// passes over locked rows, must not wait for longer than a lease.
const IDLE_IN_TRANSACTION_MS: u32 = 5_000;

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

/// A pool, for single statements.
///
/// Behind a pooler that hands out a server connection per transaction (pgbouncer, Supabase), a
/// statement is prepared on one connection and may be run on another. There every single
/// statement gets a transaction of its own, and nothing is prepared for later: the driver still
/// names what it prepares, so each transaction begins by forgetting the names that others left.
#[derive(Clone, Debug)]
pub struct Conn {
    pool: DatabaseConnection,
    behind_pooler: bool,
}

impl Conn {
    async fn begin(&self, options: TransactionOptions) -> Result<Tx, DbErr> {
        let tx = answered(self.pool.begin_with_options(options)).await?;
        if self.behind_pooler {
            // Settings of a session would stay with a connection that others get next.
            tx.execute_unprepared(&format!(
                "DEALLOCATE ALL; SET LOCAL statement_timeout = {STATEMENT_TIMEOUT_MS}; \
                 SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}; \
                 SET LOCAL idle_in_transaction_session_timeout = {IDLE_IN_TRANSACTION_MS}"
            ))
            .await?;
        }
        Ok(tx)
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Conn {
    fn get_database_backend(&self) -> DbBackend {
        self.pool.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        answered(async {
            if !self.behind_pooler {
                return self.pool.execute_raw(statement).await;
            }
            let tx = self.begin(TransactionOptions::default()).await?;
            let done = tx.execute_raw(statement).await?;
            tx.commit().await?;
            Ok(done)
        })
        .await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.pool.execute_unprepared(sql).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        answered(async {
            if !self.behind_pooler {
                return self.pool.query_one_raw(statement).await;
            }
            let tx = self.begin(TransactionOptions::default()).await?;
            let row = tx.query_one_raw(statement).await?;
            tx.commit().await?;
            Ok(row)
        })
        .await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        answered(async {
            if !self.behind_pooler {
                return self.pool.query_all_raw(statement).await;
            }
            let tx = self.begin(TransactionOptions::default()).await?;
            let rows = tx.query_all_raw(statement).await?;
            tx.commit().await?;
            Ok(rows)
        })
        .await
    }
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
            let conn = |pool| Conn { pool, behind_pooler: false };
            Ok(Self { read: conn(read), write: conn(write), url: url.to_owned() })
        } else {
            let (server, behind_pooler) = pooler(url)?;
            let pool = Database::connect(postgres(&server, behind_pooler, max, plans)).await?;
            let conn = Conn { pool, behind_pooler };
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
            return Ok(self.write.pool.clone());
        }
        if self.write.behind_pooler {
            return Err(DbErr::Custom(
                "migrations need the server itself, not a transaction pooler: give its direct \
                 DATABASE_URL for this command"
                    .to_owned(),
            ));
        }
        let mut options = postgres(&pooler(&self.url)?.0, false, 1, Plans::Kept);
        options.map_sqlx_postgres_opts(|options| options.application_name("farm migrate"));
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

    /// Closes the pools.
    pub async fn close(self) -> Result<(), DbErr> {
        self.read.pool.close().await?;
        self.write.pool.close().await
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
            let no_table = text.contains("does not exist") || text.contains("no such table");
            if no_table { Ok(false) } else { Err(error) }
        }
    }
}

/// The server's URL without our own parameter, and whether a transaction pooler is in between.
fn pooler(url: &str) -> Result<(String, bool), DbErr> {
    let mut server =
        Url::parse(url).map_err(|_| DbErr::Custom("the database's URL is none".to_owned()))?;
    let told = server.query_pairs().find(|(name, _)| name == "pgbouncer").map(|(_, v)| v == "true");
    let rest: Vec<(String, String)> = server
        .query_pairs()
        .filter(|(name, _)| name != "pgbouncer")
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    server.set_query(None);
    if !rest.is_empty() {
        server.query_pairs_mut().extend_pairs(rest);
    }
    let behind = told.unwrap_or(server.port() == Some(6543));
    Ok((server.into(), behind))
}

fn postgres(url: &str, behind_pooler: bool, max: u32, plans: Plans) -> ConnectOptions {
    let mut options = ConnectOptions::new(url.to_owned());
    options
        .max_connections(max)
        .min_connections(1)
        // Whoever waits for an answer should have one, also when it is that there is none.
        .acquire_timeout(Duration::from_secs(5))
        // A server that restarted leaves dead connections behind.
        .test_before_acquire_if_idle_for(Duration::from_secs(1))
        .sqlx_logging(false)
        .map_sqlx_postgres_opts(move |options| {
            if behind_pooler {
                return options.statement_cache_capacity(0);
            }
            options.application_name("farm").options([
                ("statement_timeout", STATEMENT_TIMEOUT_MS.to_string()),
                ("lock_timeout", LOCK_TIMEOUT_MS.to_string()),
                ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_MS.to_string()),
                ("plan_cache_mode", plans.mode().to_owned()),
                // Compiling a plan takes longer than any of ours runs.
                ("jit", "off".to_owned()),
            ])
        });
    options
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
    ["deadlock detected", "could not serialize", "database is locked", "lock timeout"]
        .iter()
        .any(|words| text.contains(words))
}

/// True when the error says that a unique index refused the row.
pub fn is_unique_violation(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(sea_orm::SqlErr::UniqueConstraintViolation(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pooler_is_told_by_the_url() {
        let direct = "postgres://u:p@host:5432/db?sslmode=require";
        assert_eq!(pooler(direct).unwrap(), (direct.to_owned(), false));
        let bouncer = "postgres://u:p@host:6432/db?pgbouncer=true&sslmode=require";
        let server = "postgres://u:p@host:6432/db?sslmode=require";
        assert_eq!(pooler(bouncer).unwrap(), (server.to_owned(), true));
        assert!(pooler("postgres://u:p@host:6543/db").unwrap().1);
        assert!(!pooler("postgres://u:p@host:6543/db?pgbouncer=false").unwrap().1);
    }
}
