//! The classic way to spend: a transaction for each purchase, which locks the wallet, looks whether
//! there is enough, takes it, and writes down that it did.

use entity::sql::{self, Arg};
use entity::{Db, args};
use jobs::process::Failure;
use uuid::Uuid;

use crate::bench::stack::Stack;

/// Wallets of its own, in the same database, through the same connections.
pub(super) struct Classic {
    db: Db,
}

impl Classic {
    /// As much for each of these.
    pub(super) async fn start(stack: &Stack, users: &[Uuid], each: i64) -> Result<Self, Failure> {
        stack
            .execute(
                "CREATE TABLE bench_wallets (user_id uuid PRIMARY KEY, balance bigint NOT NULL \
                 CHECK (balance >= 0)); \
                 CREATE TABLE bench_transactions (id uuid PRIMARY KEY, user_id uuid NOT NULL \
                 REFERENCES bench_wallets, amount bigint NOT NULL, balance_before bigint NOT NULL, \
                 balance_after bigint NOT NULL, reference text NOT NULL, at timestamptz NOT NULL); \
                 CREATE INDEX bench_transactions_user ON bench_transactions (user_id, at); \
                 GRANT ALL ON bench_wallets, bench_transactions TO service_role",
            )
            .await?;
        let rows = users.iter().map(|user| args![*user, each]).collect();
        let insert = "INSERT INTO bench_wallets (user_id, balance) \
             SELECT column1::uuid, column2::bigint FROM {rows}";
        sql::execute(stack.db().write(), insert, vec![Arg::Rows(rows)]).await?;
        Ok(Self { db: stack.db().clone() })
    }

    pub(super) async fn pay(&self, user: Uuid, cost: i64) -> Result<(), Failure> {
        let tx = self.db.begin().await?;
        let lock = "SELECT balance FROM bench_wallets WHERE user_id = ? {for update}";
        let rows = sql::rows(&tx, lock, args![user]).await?;
        let balance: Option<i64> = rows.first().and_then(|row| row.try_get("", "balance").ok());
        let balance = balance.filter(|balance| *balance >= cost);
        let balance = balance.ok_or_else(|| Failure::new("too little is left"))?;
        let update = "UPDATE bench_wallets SET balance = ? WHERE user_id = ?";
        sql::execute(&tx, update, args![balance - cost, user]).await?;
        let insert = "INSERT INTO bench_transactions (id, user_id, amount, balance_before, \
             balance_after, reference, at) VALUES (?, ?, ?, ?, ?, ?, {now})";
        let (id, of) = (Uuid::now_v7(), Uuid::now_v7().to_string());
        let values = args![id, user, -cost, balance, balance - cost, of];
        sql::execute(&tx, insert, values).await?;
        Ok(tx.commit().await?)
    }
}
