//! A pool, whose statements are run for somebody.

use std::fmt::Write;

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult, Statement,
    TransactionOptions, TransactionTrait,
};

use super::options::{IDLE_IN_TRANSACTION_MS, LOCK_TIMEOUT_MS, STATEMENT_TIMEOUT_MS};
use super::{Actor, Tx, answered};

/// A pool, for single statements, and for whom they are run.
///
/// Behind a pooler that hands out a server connection per transaction (pgbouncer, Supabase), a
/// statement is prepared on one connection and may be run on another. There every single
/// statement gets a transaction of its own, and nothing is prepared for later: the driver still
/// names what it prepares, so each transaction begins by forgetting the names that others left.
#[derive(Clone, Debug)]
pub struct Conn {
    pool: DatabaseConnection,
    behind_pooler: bool,
    /// `None`: the farm itself.
    actor: Option<Actor>,
}

impl Conn {
    /// Acts as the farm.
    pub(super) fn new(pool: DatabaseConnection, behind_pooler: bool) -> Self {
        Self { pool, behind_pooler, actor: None }
    }

    /// The same pool, acting for somebody. SQLite knows nobody.
    pub(super) fn acting_for(&self, actor: Actor) -> Self {
        let actor = (self.get_database_backend() == DbBackend::Postgres).then_some(actor);
        Self { actor, ..self.clone() }
    }

    pub(super) fn pool(&self) -> &DatabaseConnection {
        &self.pool
    }

    pub(super) fn is_behind_pooler(&self) -> bool {
        self.behind_pooler
    }

    /// What is said of a transaction must be said in each: a single statement gets one of its own.
    fn is_plain(&self) -> bool {
        !self.behind_pooler && self.actor.is_none()
    }

    pub(super) async fn begin(&self, options: TransactionOptions) -> Result<Tx, DbErr> {
        let tx = answered(self.pool.begin_with_options(options)).await?;
        let mut settings = String::new();
        if self.behind_pooler {
            // Settings of a session would stay with a connection that others get next.
            let _ = write!(
                settings,
                "DEALLOCATE ALL; SET LOCAL statement_timeout = {STATEMENT_TIMEOUT_MS}; \
                 SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}; \
                 SET LOCAL idle_in_transaction_session_timeout = {IDLE_IN_TRANSACTION_MS};"
            );
        }
        match self.actor {
            Some(actor) => settings.push_str(&actor.settings()),
            None if self.behind_pooler => settings.push_str("SET LOCAL ROLE service_role"),
            None => return Ok(tx),
        }
        answered(tx.execute_unprepared(&settings)).await?;
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
            if self.is_plain() {
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
        if self.is_plain() {
            return self.pool.execute_unprepared(sql).await;
        }
        let tx = self.begin(TransactionOptions::default()).await?;
        let done = tx.execute_unprepared(sql).await?;
        tx.commit().await?;
        Ok(done)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        answered(async {
            if self.is_plain() {
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
            if self.is_plain() {
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
