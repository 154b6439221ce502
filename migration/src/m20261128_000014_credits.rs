//! Credits: what things cost, who has how many, what is set aside for open work, and a list of
//! every change that nobody can alter.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::ddl;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const PRICES: &[&str] = &[
    "CREATE TABLE credit_packages (
        name text PRIMARY KEY,
        display_name text NOT NULL,
        monthly_credits {big} NOT NULL CHECK (monthly_credits >= 0),
        is_active {bool} NOT NULL DEFAULT TRUE,
        sort_order {int} NOT NULL
    ) {strict}",
    "INSERT INTO credit_packages (name, display_name, monthly_credits, sort_order) VALUES
        ('package_a', 'Package A', 1000, 1),
        ('package_b', 'Package B', 2500, 2),
        ('package_enterprise', 'Enterprise', 10000, 3)",
    "CREATE TABLE subscription_tiers (
        tier text PRIMARY KEY CHECK (tier IN ('free', 'standard', 'premium')),
        package text REFERENCES credit_packages (name),
        price_usd_cents {big} NOT NULL CHECK (price_usd_cents >= 0),
        max_members {int} NOT NULL CHECK (max_members > 0),
        monthly_profiles {big} NOT NULL CHECK (monthly_profiles >= 0),
        monthly_emails {big} NOT NULL CHECK (monthly_emails >= 0),
        monthly_posts {big} NOT NULL CHECK (monthly_posts >= 0),
        top_up_discount_percent {int} NOT NULL
            CHECK (top_up_discount_percent BETWEEN 0 AND 100)
    ) {strict}",
    "CREATE INDEX subscription_tiers_package ON subscription_tiers (package)",
    "INSERT INTO subscription_tiers (tier, package, price_usd_cents, max_members,
        monthly_profiles, monthly_emails, monthly_posts, top_up_discount_percent) VALUES
        ('free', NULL, 0, 1, 5, 0, 0, 0),
        ('standard', 'package_a', 19900, 2, 500, 250, 125, 0),
        ('premium', 'package_b', 49900, 5, 2000, 800, 300, 20)",
    "CREATE TABLE credit_pricing_rules (
        action_type text PRIMARY KEY,
        display_name text NOT NULL,
        cost {big} NOT NULL CHECK (cost >= 0),
        free_per_month {big} NOT NULL CHECK (free_per_month >= 0),
        is_active {bool} NOT NULL DEFAULT TRUE,
        updated_at {ts}
    ) {strict}",
    "INSERT INTO credit_pricing_rules (action_type, display_name, cost, free_per_month) VALUES
        ('influencer_unlock', 'Unlock a creator', 25, 0),
        ('post_analytics', 'Analytics of posts', 5, 0),
        ('discovery_pagination', 'Further page of a search', 10, 5),
        ('bulk_export', 'Export', 50, 1),
        ('advanced_search', 'Search with filters', 15, 10)",
    "CREATE TABLE system_configurations (
        config_key text PRIMARY KEY,
        value {json} NOT NULL,
        updated_at {ts},
        updated_by {uuid} REFERENCES users (id) ON DELETE SET NULL
    ) {strict}",
    "CREATE INDEX system_configurations_by ON system_configurations (updated_by)",
    // A credit bought by itself costs what it costs in the standard tier's package, rounded.
    "INSERT INTO system_configurations (config_key, value) VALUES
        ('unlock_days', 'null'),
        ('export_charges_credits', 'false'),
        ('top_up_price_usd_cents', '20')",
];

const LEDGER: &[&str] = &[
    "CREATE TABLE credit_wallets (
        id {uuid} PRIMARY KEY,
        user_id {uuid} NOT NULL UNIQUE REFERENCES users (id),
        available {big} NOT NULL DEFAULT 0 CHECK (available >= 0),
        held {big} NOT NULL DEFAULT 0 CHECK (held >= 0),
        package text REFERENCES credit_packages (name),
        subscription_active {bool} NOT NULL DEFAULT FALSE,
        anchor_at {ts} NOT NULL,
        cycle_start {ts} NOT NULL,
        next_reset_at {ts} NOT NULL,
        rollover_months_allowed {int} NOT NULL DEFAULT 0
            CHECK (rollover_months_allowed BETWEEN 0 AND 2),
        is_locked {bool} NOT NULL DEFAULT FALSE,
        is_frozen {bool} NOT NULL DEFAULT FALSE,
        freeze_reason text,
        spent_this_cycle {big} NOT NULL DEFAULT 0,
        lifetime_earned {big} NOT NULL DEFAULT 0,
        lifetime_spent {big} NOT NULL DEFAULT 0,
        entries {big} NOT NULL DEFAULT 0,
        created_at {ts} NOT NULL,
        updated_at {ts} NOT NULL,
        CHECK (next_reset_at > cycle_start)
    ) {strict}",
    "CREATE INDEX credit_wallets_package ON credit_wallets (package)",
    "CREATE INDEX credit_wallets_due ON credit_wallets (next_reset_at)",
    "CREATE TABLE credit_cycles (
        wallet_id {uuid} NOT NULL REFERENCES credit_wallets (id),
        cycle_start {ts} NOT NULL,
        cycle_end {ts} NOT NULL,
        granted {big} NOT NULL,
        expired {big} NOT NULL,
        rolled_over {big} NOT NULL,
        at {ts} NOT NULL,
        PRIMARY KEY (wallet_id, cycle_start)
    ) {strict}",
    "CREATE TABLE credit_grants (
        id {uuid} PRIMARY KEY,
        wallet_id {uuid} NOT NULL REFERENCES credit_wallets (id),
        source text NOT NULL CHECK (source IN ('plan', 'topup', 'promo', 'admin')),
        amount {big} NOT NULL CHECK (amount > 0),
        remaining {big} NOT NULL CHECK (remaining >= 0),
        held {big} NOT NULL DEFAULT 0 CHECK (held >= 0),
        rollovers {int} NOT NULL DEFAULT 0,
        effective_at {ts} NOT NULL,
        expires_at {ts},
        reference text,
        created_at {ts} NOT NULL,
        CHECK (held <= remaining),
        CHECK (remaining <= amount)
    ) {strict}",
    "CREATE INDEX credit_grants_left ON credit_grants (wallet_id) WHERE remaining > 0",
    "CREATE INDEX credit_grants_wallet ON credit_grants (wallet_id)",
    "CREATE INDEX credit_grants_expiry ON credit_grants (expires_at)
        WHERE remaining > 0 AND expires_at IS NOT NULL",
    "CREATE UNIQUE INDEX credit_grants_reference ON credit_grants (reference)
        WHERE reference IS NOT NULL",
    "CREATE TABLE credit_holds (
        id {uuid} PRIMARY KEY,
        wallet_id {uuid} NOT NULL REFERENCES credit_wallets (id),
        user_id {uuid} NOT NULL REFERENCES users (id),
        action_type text NOT NULL REFERENCES credit_pricing_rules (action_type),
        amount {big} NOT NULL CHECK (amount >= 0),
        is_free {bool} NOT NULL DEFAULT FALSE,
        month_year text NOT NULL,
        state text NOT NULL CHECK (state IN ('held', 'captured', 'released', 'expired')),
        parts {json} NOT NULL,
        key text,
        fingerprint text,
        job_id {uuid},
        reference text,
        edition text,
        entry {big},
        created_at {ts} NOT NULL,
        settled_at {ts},
        CHECK ((state = 'held') = (settled_at IS NULL)),
        CHECK (NOT is_free OR amount = 0)
    ) {strict}",
    "CREATE UNIQUE INDEX credit_holds_key ON credit_holds (user_id, key) WHERE key IS NOT NULL",
    "CREATE INDEX credit_holds_wallet ON credit_holds (wallet_id)",
    "CREATE INDEX credit_holds_action ON credit_holds (action_type)",
    "CREATE INDEX credit_holds_job ON credit_holds (job_id) WHERE job_id IS NOT NULL",
    "CREATE INDEX credit_holds_open ON credit_holds (created_at) WHERE state = 'held'",
    "CREATE INDEX credit_holds_bought ON credit_holds (user_id, action_type, reference)
        WHERE state = 'captured' AND reference IS NOT NULL",
    "CREATE TABLE credit_transactions (
        id {uuid} PRIMARY KEY,
        wallet_id {uuid} NOT NULL REFERENCES credit_wallets (id),
        user_id {uuid} NOT NULL REFERENCES users (id),
        entry {big} NOT NULL,
        transaction_type text NOT NULL CHECK (transaction_type IN ('earn', 'spend', 'purchase',
            'reset', 'expire', 'rollover', 'manual_adjust', 'refund')),
        action_type text,
        amount {big} NOT NULL,
        balance_before {big} NOT NULL CHECK (balance_before >= 0),
        balance_after {big} NOT NULL CHECK (balance_after >= 0),
        description text NOT NULL,
        reference text,
        hold_id {uuid} REFERENCES credit_holds (id),
        refund_of {uuid} UNIQUE REFERENCES credit_transactions (id),
        made_by {uuid} REFERENCES users (id),
        created_at {ts} NOT NULL,
        UNIQUE (wallet_id, entry),
        CHECK (balance_after = balance_before + amount),
        CHECK (transaction_type NOT IN ('spend', 'expire') OR amount <= 0),
        CHECK (transaction_type IN ('spend', 'expire', 'manual_adjust') OR amount >= 0)
    ) {strict}",
    "CREATE INDEX credit_transactions_user ON credit_transactions (user_id, created_at)",
    "CREATE UNIQUE INDEX credit_transactions_hold ON credit_transactions (hold_id)
        WHERE hold_id IS NOT NULL",
    "CREATE INDEX credit_transactions_by ON credit_transactions (made_by)
        WHERE made_by IS NOT NULL",
    "CREATE TABLE credit_usage (
        user_id {uuid} NOT NULL REFERENCES users (id),
        action_type text NOT NULL REFERENCES credit_pricing_rules (action_type),
        month_year text NOT NULL,
        free_used {big} NOT NULL DEFAULT 0 CHECK (free_used >= 0),
        paid_used {big} NOT NULL DEFAULT 0 CHECK (paid_used >= 0),
        credits_spent {big} NOT NULL DEFAULT 0 CHECK (credits_spent >= 0),
        PRIMARY KEY (user_id, action_type, month_year)
    ) {strict}",
    "CREATE INDEX credit_usage_action ON credit_usage (action_type)",
    "CREATE TABLE unlocked_influencers (
        user_id {uuid} NOT NULL REFERENCES users (id),
        profile_id {uuid} NOT NULL REFERENCES profiles (id),
        credits_spent {big} NOT NULL CHECK (credits_spent >= 0),
        hold_id {uuid} NOT NULL REFERENCES credit_holds (id),
        unlocked_at {ts} NOT NULL,
        expires_at {ts},
        PRIMARY KEY (user_id, profile_id)
    ) {strict}",
    "CREATE INDEX unlocked_influencers_profile ON unlocked_influencers (profile_id)",
    "CREATE INDEX unlocked_influencers_hold ON unlocked_influencers (hold_id)",
    "CREATE TABLE credit_top_up_orders (
        id {uuid} PRIMARY KEY,
        order_reference text NOT NULL UNIQUE,
        user_id {uuid} NOT NULL REFERENCES users (id),
        credits_amount {big} NOT NULL CHECK (credits_amount > 0),
        price_usd_cents {big} NOT NULL CHECK (price_usd_cents >= 0),
        discount_percent {int} NOT NULL,
        payment_status text NOT NULL CHECK (payment_status IN ('pending', 'processing',
            'completed', 'failed', 'cancelled', 'refunded')),
        failure_reason text,
        created_at {ts} NOT NULL,
        delivered_at {ts}
    ) {strict}",
    "CREATE INDEX credit_top_up_orders_user ON credit_top_up_orders (user_id, created_at)",
    "CREATE TABLE audit_log (
        id {uuid} PRIMARY KEY,
        actor {uuid} REFERENCES users (id),
        act text NOT NULL,
        subject text NOT NULL,
        before {json},
        after {json},
        reason text NOT NULL CHECK (reason <> ''),
        at {ts} NOT NULL
    ) {strict}",
    "CREATE INDEX audit_log_at ON audit_log (at)",
    "CREATE INDEX audit_log_actor ON audit_log (actor)",
    // What a job is charged as; its holds name it, and so nobody else has to.
    "ALTER TABLE jobs ADD COLUMN credit_action text",
    "ALTER TABLE job_watchers DROP COLUMN hold_id",
];

/// What was booked stays as it was booked.
const POSTGRES_ONLY: &[&str] = &[
    "CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
        BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$",
    "CREATE TRIGGER credit_transactions_append_only BEFORE UPDATE OR DELETE
        ON credit_transactions FOR EACH ROW EXECUTE FUNCTION append_only()",
    "CREATE TRIGGER credit_transactions_no_truncate BEFORE TRUNCATE
        ON credit_transactions FOR EACH STATEMENT EXECUTE FUNCTION append_only()",
    "CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE
        ON audit_log FOR EACH ROW EXECUTE FUNCTION append_only()",
    "CREATE TRIGGER audit_log_no_truncate BEFORE TRUNCATE
        ON audit_log FOR EACH STATEMENT EXECUTE FUNCTION append_only()",
];

const SQLITE_ONLY: &[&str] = &[
    "CREATE TRIGGER credit_transactions_no_update BEFORE UPDATE ON credit_transactions
        BEGIN SELECT RAISE(ABORT, 'credit_transactions is append-only'); END",
    "CREATE TRIGGER credit_transactions_no_delete BEFORE DELETE ON credit_transactions
        BEGIN SELECT RAISE(ABORT, 'credit_transactions is append-only'); END",
    "CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log
        BEGIN SELECT RAISE(ABORT, 'audit_log is append-only'); END",
    "CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log
        BEGIN SELECT RAISE(ABORT, 'audit_log is append-only'); END",
];

/// Dropped in this order.
const TABLES: &[&str] = &[
    "audit_log",
    "credit_top_up_orders",
    "unlocked_influencers",
    "credit_usage",
    "credit_transactions",
    "credit_holds",
    "credit_grants",
    "credit_cycles",
    "credit_wallets",
    "system_configurations",
    "credit_pricing_rules",
    "subscription_tiers",
    "credit_packages",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        ddl::WHOLE
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::run(manager, PRICES).await?;
        ddl::run(manager, LEDGER).await?;
        let guards = match manager.get_database_backend() {
            DbBackend::Postgres => POSTGRES_ONLY,
            _ => SQLITE_ONLY,
        };
        ddl::run(manager, guards).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::run(
            manager,
            &[
                "ALTER TABLE job_watchers ADD COLUMN hold_id {uuid}",
                "ALTER TABLE jobs DROP COLUMN credit_action",
            ],
        )
        .await?;
        // SQLite deletes what a table holds before it drops it, and its rows may not be deleted.
        if manager.get_database_backend() == DbBackend::Sqlite {
            let triggers = [
                "credit_transactions_no_update",
                "credit_transactions_no_delete",
                "audit_log_no_update",
                "audit_log_no_delete",
            ];
            for trigger in triggers {
                ddl::run(manager, &[&format!("DROP TRIGGER {trigger}")]).await?;
            }
        }
        ddl::drop_tables(manager, TABLES).await?;
        if manager.get_database_backend() == DbBackend::Postgres {
            ddl::run(manager, &["DROP FUNCTION append_only()"]).await?;
        }
        Ok(())
    }
}
