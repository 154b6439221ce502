//! What a purchase costs the database. A row that is inserted is looked up in each table that it
//! refers to, and a row that is changed is entered anew into each index that looks at what changed.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::ddl;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Grants are found by whether anything is left of them, not by how much: that changes with every
/// purchase, and whether it does once.
const GRANTS: &[&str] = &[
    "DROP INDEX credit_grants_left",
    "DROP INDEX credit_grants_expiry",
    "CREATE INDEX credit_grants_left ON credit_grants (wallet_id) WHERE NOT is_spent",
    "CREATE INDEX credit_grants_expiry ON credit_grants (expires_at)
        WHERE NOT is_spent AND expires_at IS NOT NULL",
];

const GRANTS_DOWN: &[&str] = &[
    "DROP INDEX credit_grants_left",
    "DROP INDEX credit_grants_expiry",
    "ALTER TABLE credit_grants DROP COLUMN is_spent",
    "CREATE INDEX credit_grants_left ON credit_grants (wallet_id) WHERE remaining > 0",
    "CREATE INDEX credit_grants_expiry ON credit_grants (expires_at)
        WHERE remaining > 0 AND expires_at IS NOT NULL",
];

/// One look at the wallet and whose it is, in place of one at each. What an action is called comes
/// from the price that was read in the same transaction, and `credit_usage` refers to that. SQLite
/// cannot change what a table refers to, and has one writer, who waits for the disk.
const CHECKS: &[&str] = &[
    "ALTER TABLE credit_wallets ADD CONSTRAINT credit_wallets_owner UNIQUE (id, user_id)",
    "ALTER TABLE credit_holds
        DROP CONSTRAINT credit_holds_wallet_id_fkey,
        DROP CONSTRAINT credit_holds_user_id_fkey,
        DROP CONSTRAINT credit_holds_action_type_fkey,
        ADD CONSTRAINT credit_holds_owner_fkey FOREIGN KEY (wallet_id, user_id)
            REFERENCES credit_wallets (id, user_id)",
    "DROP INDEX credit_holds_action",
    "DROP INDEX credit_holds_wallet",
    "CREATE INDEX credit_holds_wallet ON credit_holds (wallet_id, user_id)",
    "ALTER TABLE credit_transactions
        DROP CONSTRAINT credit_transactions_wallet_id_fkey,
        DROP CONSTRAINT credit_transactions_user_id_fkey,
        DROP CONSTRAINT credit_transactions_wallet_id_entry_key,
        DROP CONSTRAINT credit_transactions_refund_of_key,
        ADD CONSTRAINT credit_transactions_owner_fkey FOREIGN KEY (wallet_id, user_id)
            REFERENCES credit_wallets (id, user_id),
        ADD CONSTRAINT credit_transactions_entry UNIQUE (wallet_id, user_id, entry)",
    "CREATE UNIQUE INDEX credit_transactions_refund ON credit_transactions (refund_of)
        WHERE refund_of IS NOT NULL",
];

const CHECKS_DOWN: &[&str] = &[
    "DROP INDEX credit_transactions_refund",
    "ALTER TABLE credit_transactions
        DROP CONSTRAINT credit_transactions_owner_fkey,
        DROP CONSTRAINT credit_transactions_entry,
        ADD CONSTRAINT credit_transactions_wallet_id_fkey FOREIGN KEY (wallet_id)
            REFERENCES credit_wallets (id),
        ADD CONSTRAINT credit_transactions_user_id_fkey FOREIGN KEY (user_id)
            REFERENCES users (id),
        ADD CONSTRAINT credit_transactions_wallet_id_entry_key UNIQUE (wallet_id, entry),
        ADD CONSTRAINT credit_transactions_refund_of_key UNIQUE (refund_of)",
    "DROP INDEX credit_holds_wallet",
    "CREATE INDEX credit_holds_wallet ON credit_holds (wallet_id)",
    "CREATE INDEX credit_holds_action ON credit_holds (action_type)",
    "ALTER TABLE credit_holds
        DROP CONSTRAINT credit_holds_owner_fkey,
        ADD CONSTRAINT credit_holds_wallet_id_fkey FOREIGN KEY (wallet_id)
            REFERENCES credit_wallets (id),
        ADD CONSTRAINT credit_holds_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id),
        ADD CONSTRAINT credit_holds_action_type_fkey FOREIGN KEY (action_type)
            REFERENCES credit_pricing_rules (action_type)",
    "ALTER TABLE credit_wallets DROP CONSTRAINT credit_wallets_owner",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        ddl::WHOLE
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let postgres = manager.get_database_backend() == DbBackend::Postgres;
        // SQLite adds no column that is stored.
        let kept = if postgres { "STORED" } else { "VIRTUAL" };
        let add = format!(
            "ALTER TABLE credit_grants ADD COLUMN is_spent {{bool}}
                GENERATED ALWAYS AS (remaining = 0) {kept}"
        );
        ddl::run(manager, &[&add]).await?;
        ddl::run(manager, GRANTS).await?;
        if postgres {
            ddl::run(manager, CHECKS).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() == DbBackend::Postgres {
            ddl::run(manager, CHECKS_DOWN).await?;
        }
        ddl::run(manager, GRANTS_DOWN).await
    }
}
