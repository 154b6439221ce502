//! A database with a row of each table, and what subjects may do with those rows.

use std::collections::BTreeMap;
use std::path::Path;

use entity::Db;
use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, TransactionTrait};
use sea_orm::{DbBackend, Statement};
use serde_json::Value;
use tests::servers;

/// The statements, in the order of the table's columns.
const STATEMENTS: [&str; 4] = ["select", "insert", "update", "delete"];

/// Who, in which role, with which claims.
const SUBJECTS: [(&str, &str, &str); 7] = [
    ("anonymous", "anon", ""),
    ("owner", "authenticated", r#"{"sub":"00000000-0000-0000-0000-000000000001"}"#),
    ("member", "authenticated", r#"{"sub":"00000000-0000-0000-0000-000000000002"}"#),
    ("removed", "authenticated", r#"{"sub":"00000000-0000-0000-0000-000000000003"}"#),
    ("other", "authenticated", r#"{"sub":"00000000-0000-0000-0000-000000000004"}"#),
    (
        "admin",
        "authenticated",
        r#"{"sub":"00000000-0000-0000-0000-000000000005","farm_operator":true}"#,
    ),
    ("service", "service_role", ""),
];

/// What each subject may do with a table's row, by table and subject: `y` or `-` per statement.
pub(crate) type Matrix = BTreeMap<(String, String), String>;

/// The table of the specification.
pub(crate) fn wanted() -> Matrix {
    let text = std::fs::read_to_string(data("isolation.tsv")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let mut wanted = Matrix::new();
    for line in lines {
        let cells: Vec<&str> = line.split('\t').collect();
        let [table, subject, may @ ..] = cells.as_slice() else { panic!("{line:?}") };
        assert_eq!(may.len(), STATEMENTS.len(), "{line:?}");
        let key = ((*table).to_owned(), (*subject).to_owned());
        assert!(wanted.insert(key, may.concat()).is_none(), "twice: {line:?}");
    }
    wanted
}

fn data(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}

/// A row to try statements on.
struct Row {
    table: String,
    /// Those that can be written.
    columns: String,
    /// The row itself, as JSON.
    json: String,
    /// Its first key column, which says which row it is.
    column: String,
    value: String,
}

/// The database, as its tables' owner sees it.
pub(crate) struct Site {
    name: String,
    pub(crate) owner: DatabaseConnection,
    rows: Vec<Row>,
}

impl Site {
    pub(crate) async fn open() -> Self {
        let (db, name) = servers::database().await;
        db.close().await.unwrap();
        let owner = Db::owner(&servers::owner_url(&name)).await.unwrap();
        let fill = std::fs::read_to_string(data("isolation.sql")).unwrap();
        owner.execute_unprepared(&fill).await.unwrap();
        let mut site = Self { name, owner, rows: vec![] };
        for table in site.texts(TABLES).await {
            let row = site.row(table).await;
            site.rows.push(row);
        }
        site
    }

    /// A connection as the farm's processes have one: it owns nothing.
    pub(crate) async fn login(&self) -> DatabaseConnection {
        Db::owner(&servers::url_of(&self.name)).await.unwrap()
    }

    pub(crate) fn url(&self) -> String {
        servers::url_of(&self.name)
    }

    pub(crate) async fn close(self) {
        self.owner.close().await.unwrap();
        servers::drop_database(&self.name).await;
    }

    /// Every row's first column of a query of texts.
    pub(crate) async fn texts(&self, query: &str) -> Vec<String> {
        let rows = self.owner.query_all_raw(statement(query)).await.unwrap();
        rows.iter().map(|row| row.try_get_by_index::<String>(0).unwrap()).collect()
    }

    /// The row of a table that is about the owner; any where none says whose it is.
    async fn row(&self, table: String) -> Row {
        let whose = "00000000-0000-0000-0000-000000000001";
        let query = format!(
            "SELECT to_jsonb(t)::text FROM {table} t \
             ORDER BY (to_jsonb(t)::text LIKE '%{whose}%') DESC, \
             length(jsonb_strip_nulls(to_jsonb(t))::text) DESC LIMIT 1"
        );
        let found = self.texts(&query).await;
        let json = found.into_iter().next().unwrap_or_else(|| {
            panic!("{table} has no row to try: give it one in tests/data/isolation.sql")
        });
        // A generated one takes no value.
        let columns = format!(
            "SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute \
             WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped \
             AND attgenerated = ''"
        );
        let columns = self.texts(&columns).await.pop().unwrap();
        let key = format!(
            "SELECT a.attname::text FROM pg_attribute a LEFT JOIN pg_index i \
             ON i.indrelid = a.attrelid AND i.indisprimary AND a.attnum = ANY(i.indkey) \
             WHERE a.attrelid = '{table}'::regclass AND a.attnum > 0 \
             ORDER BY i.indrelid IS NULL, a.attnum LIMIT 1"
        );
        let column = self.texts(&key).await.pop().unwrap();
        let parsed: Value = serde_json::from_str(&json).unwrap();
        let value = match &parsed[&column] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        Row { table, columns, json, column, value }
    }

    /// What the database lets subjects do with rows of these tables; of all, when none is named.
    pub(crate) async fn matrix(&self, of: Option<&[&str]>, tx: &DatabaseTransaction) -> Matrix {
        let mut matrix = Matrix::new();
        let asked = |row: &&Row| of.is_none_or(|of| of.contains(&row.table.as_str()));
        for row in self.rows.iter().filter(asked) {
            for (subject, role, claims) in SUBJECTS {
                let mut may = String::new();
                for what in STATEMENTS {
                    may.push(if allowed(tx, row, what, role, claims).await { 'y' } else { '-' });
                }
                matrix.insert((row.table.clone(), subject.to_owned()), may);
            }
        }
        matrix
    }
}

/// Every table, and views too, if there ever are some.
const TABLES: &str = "SELECT c.relname::text FROM pg_class c \
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm') \
     ORDER BY c.relname";

pub(crate) fn statement(text: &str) -> Statement {
    Statement::from_string(DbBackend::Postgres, text)
}

/// Tries the statement in somebody's role, and takes it back.
async fn allowed(
    tx: &DatabaseTransaction,
    row: &Row,
    what: &str,
    role: &str,
    claims: &str,
) -> bool {
    let Row { table, columns, json, column, value } = row;
    let (json, value) = (json.replace('\'', "''"), value.replace('\'', "''"));
    // Times and numbers are compared as the column's own type.
    let this = format!(
        "{column} = (SELECT {column} FROM jsonb_populate_record(NULL::{table}, \
         jsonb_build_object('{column}', '{value}')))"
    );
    let text = match what {
        "select" => format!("SELECT 1 FROM {table} WHERE {this}"),
        // As it is: what a unique index stops got past the policies.
        "insert" => format!(
            "INSERT INTO {table} ({columns}) SELECT {columns} \
             FROM jsonb_populate_record(NULL::{table}, '{json}')"
        ),
        "update" => format!("UPDATE {table} SET {column} = {column} WHERE {this}"),
        _ => format!("DELETE FROM {table} WHERE {this}"),
    };
    let inner = tx.begin().await.unwrap();
    let settings = format!(
        "SELECT set_config('role', '{role}', true), \
         set_config('request.jwt.claims', '{claims}', true)"
    );
    inner.execute_unprepared(&settings).await.unwrap();
    let done = match what {
        "select" => inner.query_all_raw(statement(&text)).await.map(|rows| rows.len() as u64),
        _ => inner.execute_raw(statement(&text)).await.map(|done| done.rows_affected()),
    };
    inner.rollback().await.unwrap();
    match done {
        Ok(rows) => rows > 0,
        Err(error) => {
            let text = error.to_string();
            let stopped_later =
                ["violates foreign key", "duplicate key", "violates check constraint"];
            let refused = ["permission denied", "violates row-level security", "is append-only"];
            let got_past = stopped_later.iter().any(|words| text.contains(words));
            assert!(
                got_past || refused.iter().any(|words| text.contains(words)),
                "{what} {table}: {text}"
            );
            got_past
        }
    }
}
