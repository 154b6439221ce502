//! What a catalogue must not hold: each query finds what is wrong, and must find nothing.

use sea_orm::{ConnectionTrait, TransactionTrait};

use crate::site::{Site, statement};

/// What is looked for, and something that must be found once it is there.
const LINTS: &[(&str, &str, &str)] = &[
    (
        "tables without row-level security, or with an owner who passes it",
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace \
         AND relkind IN ('r', 'p') AND NOT (relrowsecurity AND relforcerowsecurity)",
        "CREATE TABLE lint (id int)",
    ),
    (
        "tables with row-level security and without a policy",
        "SELECT relname::text FROM pg_class c WHERE relnamespace = 'public'::regnamespace \
         AND relkind IN ('r', 'p') AND relrowsecurity \
         AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid)",
        "CREATE TABLE lint (id int); ALTER TABLE lint ENABLE ROW LEVEL SECURITY",
    ),
    (
        "policies for everybody",
        "SELECT policyname::text FROM pg_policies WHERE schemaname = 'public' \
         AND 'public' = ANY(roles)",
        "CREATE POLICY lint ON jobs USING (true)",
    ),
    (
        "functions that look for names wherever their caller does",
        "SELECT proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace \
         AND NOT COALESCE(proconfig::text LIKE '%search_path=%', false)",
        "CREATE FUNCTION lint() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ),
    (
        "functions in their owner's role whose owner may do more than the farm",
        "SELECT proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace \
         AND prosecdef AND proowner::regrole::text <> 'service_role'",
        "CREATE FUNCTION lint() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = '' \
         AS 'SELECT 1'",
    ),
    (
        "views that see what their owner sees",
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace \
         AND (relkind = 'm' OR relkind = 'v' \
         AND NOT COALESCE(reloptions::text LIKE '%security_invoker=true%', false))",
        "CREATE VIEW lint AS SELECT id FROM jobs",
    ),
    (
        "foreign keys without an index that begins with their columns",
        "SELECT k.conrelid::regclass || ' ' || k.conname FROM pg_constraint k \
         WHERE k.contype = 'f' AND k.connamespace = 'public'::regnamespace \
         AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = k.conrelid \
           AND (i.indpred IS NULL OR pg_get_expr(i.indpred, i.indrelid) LIKE '%IS NOT NULL%') \
           AND (string_to_array(i.indkey::text, ' ')::int[])[1:cardinality(k.conkey)] \
             @> k.conkey::int[])",
        "ALTER TABLE exports ADD CONSTRAINT lint FOREIGN KEY (object_key) \
         REFERENCES stored_objects (key) NOT VALID; DROP INDEX exports_due; \
         ALTER TABLE exports DROP CONSTRAINT exports_object_key_key",
    ),
    (
        "indexes that say the same twice",
        "SELECT a.indexrelid::regclass::text FROM pg_index a \
         JOIN pg_index b ON a.indrelid = b.indrelid AND a.indexrelid > b.indexrelid \
         AND a.indkey::text = b.indkey::text AND a.indclass = b.indclass \
         AND a.indoption = b.indoption \
         AND COALESCE(pg_get_expr(a.indexprs, a.indrelid), '') \
           = COALESCE(pg_get_expr(b.indexprs, b.indrelid), '') \
         AND COALESCE(pg_get_expr(a.indpred, a.indrelid), '') \
           = COALESCE(pg_get_expr(b.indpred, b.indrelid), '') \
         JOIN pg_class c ON c.oid = a.indrelid AND c.relnamespace = 'public'::regnamespace",
        "CREATE INDEX lint ON exports (user_id, created_at)",
    ),
    (
        "rights of everybody on tables and sequences",
        "SELECT c.relname || ' ' || g.privilege_type FROM pg_class c, aclexplode(c.relacl) g \
         WHERE c.relnamespace = 'public'::regnamespace AND g.grantee = 0",
        "GRANT SELECT ON jobs TO PUBLIC",
    ),
    (
        "rights of everybody on functions",
        "SELECT p.proname::text FROM pg_proc p, \
         aclexplode(COALESCE(p.proacl, acldefault('f', p.proowner))) g \
         WHERE p.pronamespace = 'public'::regnamespace AND g.grantee = 0",
        "GRANT EXECUTE ON FUNCTION farm_now() TO PUBLIC",
    ),
    (
        "everybody's right to make something",
        "SELECT g.privilege_type::text FROM pg_namespace n, \
         aclexplode(COALESCE(n.nspacl, acldefault('n', n.nspowner))) g \
         WHERE n.nspname = 'public' AND g.grantee = 0 AND g.privilege_type <> 'USAGE'",
        "GRANT CREATE ON SCHEMA public TO PUBLIC",
    ),
    (
        "rights of strangers",
        "SELECT c.relname::text FROM pg_class c, aclexplode(c.relacl) g \
         WHERE c.relnamespace = 'public'::regnamespace AND g.grantee = 'anon'::regrole",
        "GRANT SELECT ON profiles TO anon",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_holds_nothing_that_opens_a_door() {
    let site = Site::open().await;
    for (what, query, _) in LINTS {
        let found = site.texts(query).await;
        assert!(found.is_empty(), "{what}: {found:?}");
    }
    site.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_these_questions_finds_what_it_asks_for() {
    let site = Site::open().await;
    for (what, query, wrong) in LINTS {
        let tx = site.owner.begin().await.unwrap();
        tx.execute_unprepared(wrong).await.unwrap();
        let found = tx.query_all_raw(statement(query)).await.unwrap();
        assert!(!found.is_empty(), "{what}: not found after {wrong:?}");
        tx.rollback().await.unwrap();
    }
    site.close().await;
}
