//! Row-level security on Postgres: what a caller may see and do is the database's business, too.
//!
//! Three roles, named as Supabase names them, so that its own gateway is held to the same rules:
//! `anon` sees nothing, `authenticated` what the policies below say, `service_role` is the farm
//! itself: workers, and what the front door does on somebody's behalf. Who is `authenticated` is
//! said by the setting `request.jwt.claims`, of one transaction: `sub`, the user's id, and
//! `farm_operator`. Nobody has a right that is not given here, and a table that is not named here
//! is closed to all three.
//!
//! SQLite has no roles; there the same rules are in the queries alone.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::ddl;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Whoever owns the tables must be able to act as the farm, or could not hand functions to it.
/// Roles are of the whole server: others of its databases may just be making them.
const ROLES: &str = "DO $$
    DECLARE name text;
    BEGIN
        FOREACH name IN ARRAY ARRAY['anon', 'authenticated', 'service_role'] LOOP
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
                BEGIN
                    EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', name);
                EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
                END;
            END IF;
        END LOOP;
        BEGIN
            SET LOCAL ROLE service_role;
            RESET ROLE;
        EXCEPTION WHEN insufficient_privilege THEN
            EXECUTE format('GRANT anon, authenticated, service_role TO %I', current_user);
        END;
    END $$";

const FUNCTIONS: &[&str] = &[
    // After a transaction the setting is an empty text, not nothing.
    "CREATE FUNCTION farm_caller() RETURNS uuid LANGUAGE sql STABLE SET search_path = '' AS $$
        SELECT (nullif(current_setting('request.jwt.claims', true), '')::jsonb
            ->> 'sub')::uuid $$",
    "CREATE FUNCTION farm_is_operator() RETURNS boolean LANGUAGE sql STABLE
        SET search_path = '' AS $$
        SELECT coalesce((nullif(current_setting('request.jwt.claims', true), '')::jsonb
            ->> 'farm_operator')::boolean, false) $$",
    // Policies ask these of tables that have policies of their own, which would ask in turn.
    "CREATE FUNCTION farm_teams() RETURNS SETOF uuid LANGUAGE sql STABLE SECURITY DEFINER
        SET search_path = '' AS $$
        SELECT team_id FROM public.team_members
        WHERE user_id = public.farm_caller() AND status = 'active' $$",
    // Whoever asked for a job, or for one that waits for it.
    "CREATE FUNCTION farm_sees_job(job uuid) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER
        SET search_path = '' AS $$
        WITH RECURSIVE tree(id) AS (SELECT job UNION
            SELECT w.parent_id FROM public.job_watchers w JOIN tree ON w.job_id = tree.id
            WHERE w.parent_id IS NOT NULL)
        SELECT EXISTS (SELECT FROM public.job_watchers w JOIN tree ON w.job_id = tree.id
            WHERE w.user_id = public.farm_caller()) $$",
    // As it was, but for where it looks for the table.
    "CREATE OR REPLACE FUNCTION farm_now() RETURNS timestamptz
        LANGUAGE plpgsql STABLE SET search_path = '' AS $$ BEGIN
        RETURN date_trunc('milliseconds', clock_timestamp())
            + (SELECT offset_ms FROM public.farm_clock) * interval '1 millisecond';
        END $$",
    "ALTER FUNCTION refuse_change() SET search_path = ''",
    "REVOKE ALL ON FUNCTION farm_caller(), farm_is_operator(), farm_teams(), farm_sees_job(uuid),
        farm_now(), append_only(), refuse_change() FROM PUBLIC",
    "GRANT USAGE ON SEQUENCE noop_effects_id_seq TO service_role",
    "GRANT EXECUTE ON FUNCTION farm_caller(), farm_is_operator(), farm_teams(),
        farm_sees_job(uuid), farm_now() TO authenticated, service_role",
    // The farm's own role passes every policy, and is not bound to be the tables' owner.
    "GRANT CREATE ON SCHEMA public TO service_role",
    "ALTER FUNCTION farm_teams() OWNER TO service_role",
    "ALTER FUNCTION farm_sees_job(uuid) OWNER TO service_role",
    "REVOKE CREATE ON SCHEMA public FROM service_role",
    "GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role",
];

const MINE: &str = "user_id = (SELECT farm_caller())";
const MINE_OR_OPERATOR: &str = "user_id = (SELECT farm_caller()) OR (SELECT farm_is_operator())";
const MY_WALLETS: &str = "wallet_id IN (SELECT id FROM credit_wallets)";
const MY_TEAMS: &str = "team_id IN (SELECT farm_teams())";
const MY_LISTS: &str = "list_id IN (SELECT id FROM user_lists)";
const OPERATORS: &str = "(SELECT farm_is_operator())";
const EVERYBODY: &str = "true";

/// What a table is for `authenticated`: the statements, and the rows they are for.
type Rule = (&'static str, &'static [(&'static str, &'static str)]);

/// All tables. One without a statement is the farm's alone.
const RULES: &[Rule] = &[
    ("ai_answers", &[]),
    ("audit_log", &[("SELECT", OPERATORS)]),
    // Where pictures come from must not leave us.
    ("cdn_image_assets", &[("SELECT", OPERATORS)]),
    ("cdn_processing_stats", &[("SELECT", OPERATORS)]),
    ("credit_cycles", &[("SELECT", MY_WALLETS)]),
    ("credit_grants", &[("SELECT", MY_WALLETS)]),
    ("credit_holds", &[("SELECT", MINE_OR_OPERATOR)]),
    ("credit_packages", &[("SELECT", EVERYBODY)]),
    ("credit_pricing_rules", &[("SELECT", "is_active OR (SELECT farm_is_operator())")]),
    ("credit_top_up_orders", &[("SELECT", MINE_OR_OPERATOR)]),
    ("credit_transactions", &[("SELECT", MINE_OR_OPERATOR)]),
    ("credit_usage", &[("SELECT", MINE_OR_OPERATOR)]),
    ("credit_wallets", &[("SELECT", MINE_OR_OPERATOR)]),
    ("exports", &[("SELECT", MINE)]),
    ("farm_clock", &[("SELECT", EVERYBODY)]),
    ("idempotency_keys", &[]),
    ("job_events", &[("SELECT", "job_id IN (SELECT id FROM jobs)")]),
    (
        "job_watchers",
        &[(
            "SELECT",
            "user_id = (SELECT farm_caller()) OR (SELECT farm_is_operator()) \
             OR (parent_id IS NOT NULL AND farm_sees_job(parent_id))",
        )],
    ),
    (
        "jobs",
        &[(
            "SELECT",
            "user_id = (SELECT farm_caller()) OR (SELECT farm_is_operator()) \
             OR farm_sees_job(id)",
        )],
    ),
    ("noop_effects", &[]),
    ("posts", &[("SELECT", EVERYBODY)]),
    ("profiles", &[("SELECT", EVERYBODY)]),
    (
        "queue_controls",
        &[
            ("SELECT", OPERATORS),
            ("INSERT", OPERATORS),
            ("UPDATE", OPERATORS),
            ("DELETE", OPERATORS),
        ],
    ),
    ("refresh_tokens", &[]),
    ("related_profiles", &[("SELECT", EVERYBODY)]),
    ("schedules", &[("SELECT", OPERATORS)]),
    ("sessions", &[]),
    ("stored_objects", &[]),
    ("subscription_tiers", &[("SELECT", EVERYBODY)]),
    ("system_configurations", &[("SELECT", OPERATORS)]),
    ("team_members", &[("SELECT", MY_TEAMS)]),
    ("team_profile_access", &[("SELECT", MY_TEAMS)]),
    ("teams", &[("SELECT", "id IN (SELECT farm_teams())")]),
    ("unlocked_influencers", &[("SELECT", MINE)]),
    (
        "user_list_items",
        &[("SELECT", MY_LISTS), ("INSERT", MY_LISTS), ("UPDATE", MY_LISTS), ("DELETE", MY_LISTS)],
    ),
    ("user_lists", &[("SELECT", MINE), ("INSERT", MINE), ("UPDATE", MINE), ("DELETE", MINE)]),
    ("user_profile_access", &[("SELECT", MINE)]),
    ("user_searches", &[("SELECT", MINE), ("INSERT", MINE)]),
    ("users", &[("SELECT", "id = (SELECT farm_caller()) OR (SELECT farm_is_operator())")]),
    ("worker_kinds", &[("SELECT", OPERATORS)]),
    ("workers", &[("SELECT", OPERATORS)]),
];

/// What a signed-in caller may read of users: everything but the hash of the password.
const USER_COLUMNS: &str = "id, email, full_name, first_name, last_name, company, role, status, \
     subscription_tier, created_at, updated_at, last_login_at";

/// What was written there stays; triggers refuse whoever may do more.
const APPEND_ONLY: &[&str] = &["audit_log", "credit_transactions", "noop_effects"];

fn up_of(table: &str, rules: &[(&str, &str)]) -> Vec<String> {
    let service = if APPEND_ONLY.contains(&table) {
        "SELECT, INSERT"
    } else {
        "SELECT, INSERT, UPDATE, DELETE"
    };
    let mut steps = vec![
        format!("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"),
        format!("ALTER TABLE {table} FORCE ROW LEVEL SECURITY"),
        format!("REVOKE ALL ON {table} FROM PUBLIC, anon, authenticated, service_role"),
        format!("GRANT {service} ON {table} TO service_role"),
        format!(
            "CREATE POLICY {table}_service ON {table} TO service_role USING (true) \
             WITH CHECK (true)"
        ),
    ];
    for (statement, rows) in rules {
        let columns = if table == "users" { format!(" ({USER_COLUMNS})") } else { String::new() };
        steps.push(format!("GRANT {statement}{columns} ON {table} TO authenticated"));
        let rows = match *statement {
            "INSERT" => format!("WITH CHECK ({rows})"),
            "UPDATE" => format!("USING ({rows}) WITH CHECK ({rows})"),
            _ => format!("USING ({rows})"),
        };
        let name = format!("{table}_{}", statement.to_lowercase());
        steps.push(format!(
            "CREATE POLICY {name} ON {table} FOR {statement} TO authenticated {rows}"
        ));
    }
    steps
}

/// The list of steps taken is its writer's, who must go on writing it.
const STEPS: &[&str] = &[
    "ALTER TABLE seaql_migrations ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE seaql_migrations FORCE ROW LEVEL SECURITY",
    "REVOKE ALL ON seaql_migrations FROM PUBLIC, anon, authenticated, service_role",
    "GRANT SELECT ON seaql_migrations TO service_role",
    "CREATE POLICY seaql_migrations_service ON seaql_migrations FOR SELECT TO service_role
        USING (true)",
    "CREATE POLICY seaql_migrations_owner ON seaql_migrations TO CURRENT_USER USING (true)
        WITH CHECK (true)",
];

const DOWN: &[&str] = &[
    "DROP POLICY seaql_migrations_owner ON seaql_migrations",
    "DROP POLICY seaql_migrations_service ON seaql_migrations",
    "ALTER TABLE seaql_migrations NO FORCE ROW LEVEL SECURITY",
    "ALTER TABLE seaql_migrations DISABLE ROW LEVEL SECURITY",
    "REVOKE ALL ON seaql_migrations FROM service_role",
    "DROP FUNCTION farm_sees_job(uuid)",
    "DROP FUNCTION farm_teams()",
    "DROP FUNCTION farm_is_operator()",
    "DROP FUNCTION farm_caller()",
    "REVOKE EXECUTE ON FUNCTION farm_now() FROM authenticated, service_role",
    "GRANT EXECUTE ON FUNCTION farm_now(), append_only(), refuse_change() TO PUBLIC",
    "REVOKE USAGE ON SEQUENCE noop_effects_id_seq FROM service_role",
    "ALTER FUNCTION refuse_change() RESET search_path",
    "REVOKE USAGE ON SCHEMA public FROM anon, authenticated, service_role",
];

async fn run(manager: &SchemaManager<'_>, steps: &[String]) -> Result<(), DbErr> {
    for step in steps {
        manager.get_connection().execute_unprepared(step).await?;
    }
    Ok(())
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        ddl::WHOLE
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() != DbBackend::Postgres {
            return Ok(());
        }
        manager.get_connection().execute_unprepared(ROLES).await?;
        for step in FUNCTIONS {
            manager.get_connection().execute_unprepared(step).await?;
        }
        for (table, rules) in RULES {
            run(manager, &up_of(table, rules)).await?;
        }
        ddl::run(manager, STEPS).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() != DbBackend::Postgres {
            return Ok(());
        }
        for (table, rules) in RULES {
            let policies = rules.iter().map(|(statement, _)| statement.to_lowercase());
            let mut steps: Vec<String> = policies
                .chain(["service".to_owned()])
                .map(|name| format!("DROP POLICY {table}_{name} ON {table}"))
                .collect();
            steps.push(format!("ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY"));
            steps.push(format!("ALTER TABLE {table} DISABLE ROW LEVEL SECURITY"));
            steps.push(format!("REVOKE ALL ON {table} FROM authenticated, service_role"));
            run(manager, &steps).await?;
        }
        ddl::run(manager, DOWN).await
    }
}
