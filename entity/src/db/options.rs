//! How connections are opened.

use std::time::Duration;

use sea_orm::{ConnectOptions, DbErr, sqlx};
use url::Url;

use super::Plans;

/// Longest statement, in milliseconds: none of ours takes a second unless something is wrong.
pub(super) const STATEMENT_TIMEOUT_MS: u32 = 30_000;
/// Longest wait for a lock, in milliseconds.
pub(super) const LOCK_TIMEOUT_MS: u32 = 10_000;
/// Longest pause inside a transaction, in milliseconds. None of ours waits for anything but the
/// database in one; whoever holds locks and says nothing is frozen or gone, and rescue, which
/// passes over locked rows, must not wait for longer than a lease.
pub(super) const IDLE_IN_TRANSACTION_MS: u32 = 5_000;

/// What a new connection begins with: it acts as the farm. The role is one of the server's, and
/// there before the first step of a migration only when another database has made it.
const AS_THE_FARM: &str = "SELECT set_config('role', rolname, false) FROM pg_roles \
     WHERE rolname = 'service_role'";

/// The server's URL without our own parameter, and whether a transaction pooler is in between.
pub(super) fn pooler(url: &str) -> Result<(String, bool), DbErr> {
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

pub(super) fn postgres(url: &str, behind_pooler: bool, max: u32, plans: Plans) -> ConnectOptions {
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
        })
        .map_sqlx_postgres_pool_opts(move |options| {
            if behind_pooler {
                return options; // there it is said in each transaction
            }
            options.after_connect(|connection, _| {
                Box::pin(async move {
                    sqlx::query(AS_THE_FARM).execute(connection).await?;
                    Ok(())
                })
            })
        });
    options
}

pub(super) fn sqlite(url: &str, connections: u32) -> ConnectOptions {
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
