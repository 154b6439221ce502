//! One way to write a statement for Postgres and SQLite.
//!
//! A template uses `?` for the next value, `{now}` for the farm's clock, `{now+?}` and `{now-?}`
//! for that clock shifted by a number of milliseconds (a column's name in place of `now` shifts
//! that column), `{for update}`, `{for no key update}` (beside which others may refer to the row) and
//! `{skip locked}` for row locks (SQLite holds its one write lock
//! instead), `{unsynced}` at the end of a condition for a commit that does not wait for the disk
//! (on Postgres), and Postgres casts such as `?::uuid`, which are left out on SQLite. `IN {list}` takes
//! the next [`Arg::List`]; `FROM {rows}` takes the next [`Arg::Rows`] as a table `v` with
//! `column1`, `column2` and so on, to be cast in the template; `{job}` names the columns of a job.
//! Literals must not contain `?` or braces.
//!
//! On Postgres a list is one parameter, and so is each column of several rows: however many there
//! are, the statement is the same one, prepared once. (A column of ids, numbers or times that holds
//! a NULL goes as texts, which is another statement.)

use std::borrow::Cow;
use std::sync::LazyLock;

use sea_orm::sea_query::ArrayType;
use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, EntityTrait, ExecResult, FromQueryResult, IdenStatic,
    Iterable, QueryResult, Statement, Value,
};

use crate::time::Time;

/// The columns of [`crate::job::Model`]. Named, because a statement that was prepared with `*` is
/// refused from the moment a migration adds a column.
static JOB: LazyLock<String> = LazyLock::new(columns::<crate::job::Entity>);

/// As if somebody had said `SET LOCAL synchronous_commit = off` before.
const UNSYNCED: &str = "AND set_config('synchronous_commit', 'off', true) IS NOT NULL";

/// The columns of an entity, for a `SELECT` or a `RETURNING`.
pub fn columns<E: EntityTrait>() -> String {
    let names = E::Column::iter().map(|column| column.as_str().to_owned());
    names.collect::<Vec<_>>().join(", ")
}

/// A value of a template.
#[derive(Clone, Debug)]
pub enum Arg {
    /// Bound as it is.
    Value(Value),
    /// Bound in the database's own form of time.
    Time(Option<Time>),
    /// A list of texts or of ids; an empty one matches nothing.
    List(Vec<Value>),
    /// The rows of a table, at least one, all of the same length.
    Rows(Vec<Vec<Arg>>),
}

impl<T: Into<Value>> From<T> for Arg {
    fn from(value: T) -> Self {
        Arg::Value(value.into())
    }
}

/// A time argument.
pub fn at(time: impl Into<Option<Time>>) -> Arg {
    Arg::Time(time.into())
}

/// A list argument.
pub fn list<T: Into<Value> + Clone>(items: &[T]) -> Arg {
    Arg::List(items.iter().cloned().map(Into::into).collect())
}

/// `args![a, b, c]`: a vector of [`Arg`]s.
#[macro_export]
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::sql::Arg::from($value)),*] };
}

/// Builds a statement from a template.
pub fn statement(backend: DbBackend, template: &str, args: Vec<Arg>) -> Statement {
    let mut build =
        Build { backend, text: String::with_capacity(template.len() + 64), values: vec![] };
    let mut args = args.into_iter();
    let mut rest = template;
    while let Some(at) = rest.find(['?', '{', ':']) {
        build.text.push_str(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with('?') {
            build.arg(args.next());
            rest = &rest[1..];
        } else if let Some(after) = rest.strip_prefix('{') {
            let end = after.find('}').unwrap_or(after.len());
            build.word(&after[..end], &mut args);
            rest = after.get(end + 1..).unwrap_or("");
        } else if let Some(cast) = rest.strip_prefix("::") {
            let end = cast.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(cast.len());
            if backend == DbBackend::Postgres {
                build.text.push_str(&rest[..end + 2]);
            }
            rest = &cast[end..];
        } else {
            build.text.push(':');
            rest = &rest[1..];
        }
    }
    build.text.push_str(rest);
    debug_assert!(args.next().is_none(), "more values than places in: {template}");
    Statement::from_sql_and_values(backend, build.text, build.values)
}

struct Build {
    backend: DbBackend,
    text: String,
    values: Vec<Value>,
}

impl Build {
    fn bind(&mut self, value: Value) {
        self.values.push(value);
        if self.backend == DbBackend::Sqlite {
            // The driver looks a numbered one up by its name, in a list of all of them.
            self.text.push('?');
            return;
        }
        self.text.push('$');
        self.text.push_str(&self.values.len().to_string());
    }

    fn arg(&mut self, arg: Option<Arg>) {
        match arg {
            Some(Arg::Value(value)) => self.bind(value),
            Some(Arg::Time(time)) => self.bind(time_value(time, self.backend)),
            Some(Arg::List(values)) if self.backend == DbBackend::Postgres => {
                // `IN (a, b)` becomes `= ANY(array)`.
                let of_ids = values.iter().any(|value| matches!(value, Value::Uuid(_)));
                let kind = if of_ids { ArrayType::Uuid } else { ArrayType::String };
                let kept = self.text.strip_suffix("IN ").map(str::len);
                debug_assert!(kept.is_some(), "a list without IN: {}", self.text);
                self.text.truncate(kept.unwrap_or(self.text.len()));
                self.text.push_str("= ANY(");
                if values.is_empty() {
                    // Of whatever type it is compared with.
                    self.text.push_str("NULL");
                } else {
                    self.bind(Value::Array(kind, Some(Box::new(values))));
                }
                self.text.push(')');
            }
            Some(Arg::List(values)) => {
                self.text.push('(');
                if values.is_empty() {
                    self.text.push_str("NULL");
                }
                for (i, value) in values.into_iter().enumerate() {
                    if i > 0 {
                        self.text.push_str(", ");
                    }
                    self.bind(value);
                }
                self.text.push(')');
            }
            Some(Arg::Rows(rows)) if self.backend == DbBackend::Postgres && rows.len() > 1 => {
                self.columns(rows);
            }
            // A single row is planned faster as it is.
            Some(Arg::Rows(rows)) => {
                self.text.push_str("(VALUES ");
                for (i, row) in rows.into_iter().enumerate() {
                    self.text.push_str(if i > 0 { ", (" } else { "(" });
                    for (j, arg) in row.into_iter().enumerate() {
                        if j > 0 {
                            self.text.push_str(", ");
                        }
                        self.arg(Some(arg));
                    }
                    self.text.push(')');
                }
                self.text.push_str(") AS v");
            }
            None => debug_assert!(false, "fewer values than places"),
        }
    }

    /// One array per column: of ids, of numbers, or else of texts.
    fn columns(&mut self, rows: Vec<Vec<Arg>>) {
        let width = rows.first().map_or(0, Vec::len);
        debug_assert!(width > 0 && rows.iter().all(|row| row.len() == width), "uneven rows");
        let mut columns: Vec<Vec<Arg>> =
            (0..width).map(|_| Vec::with_capacity(rows.len())).collect();
        for row in rows {
            for (column, cell) in columns.iter_mut().zip(row) {
                column.push(cell);
            }
        }
        self.text.push_str("unnest(");
        for (at, cells) in columns.into_iter().enumerate() {
            self.text.push_str(if at > 0 { ", " } else { "" });
            let (array, kind) = typed(cells);
            self.bind(array);
            self.text.push_str(kind);
        }
        self.text.push_str(") AS v(");
        for column in 1..=width {
            self.text.push_str(if column > 1 { ", column" } else { "column" });
            self.text.push_str(&column.to_string());
        }
        self.text.push(')');
    }

    fn word(&mut self, word: &str, args: &mut impl Iterator<Item = Arg>) {
        let postgres = self.backend == DbBackend::Postgres;
        match word {
            "now" => self.text.push_str(now(self.backend)),
            _ if word.ends_with("+?") || word.ends_with("-?") => {
                let (base, sign) = (&word[..word.len() - 2], &word[word.len() - 2..word.len() - 1]);
                let base = if base == "now" { now(self.backend) } else { base };
                self.text.extend(["(", base, " ", sign, " "]);
                self.arg(args.next());
                self.text.push_str(if postgres {
                    "::bigint * interval '1 millisecond')"
                } else {
                    ")"
                });
            }
            "list" | "rows" => self.arg(args.next()),
            "job" => self.text.push_str(&JOB),
            "for update" if postgres => self.text.push_str("FOR UPDATE"),
            "for no key update" if postgres => self.text.push_str("FOR NO KEY UPDATE"),
            "skip locked" if postgres => self.text.push_str("FOR UPDATE SKIP LOCKED"),
            "unsynced" if postgres => self.text.push_str(UNSYNCED),
            _ => {}
        }
    }
}

fn time_value(time: Option<Time>, backend: DbBackend) -> Value {
    match (time, backend) {
        (Some(time), backend) => time.value(backend),
        (None, DbBackend::Postgres) => Value::from(None::<chrono::DateTime<chrono::Utc>>),
        (None, _) => Value::from(None::<i64>),
    }
}

/// A column as one array, and its cast. Ids, numbers and times go as they are, which Postgres need
/// not parse; with a NULL among them, and all else, as texts.
fn typed(cells: Vec<Arg>) -> (Value, &'static str) {
    let kind = |cell: &Arg| match cell {
        Arg::Value(Value::Uuid(Some(_))) => Some((ArrayType::Uuid, "::uuid[]")),
        Arg::Value(Value::Int(Some(_))) => Some((ArrayType::Int, "::int[]")),
        Arg::Value(Value::BigInt(Some(_))) => Some((ArrayType::BigInt, "::bigint[]")),
        Arg::Time(Some(_)) => Some((ArrayType::ChronoDateTimeUtc, "::timestamptz[]")),
        _ => None,
    };
    let first = cells.first().and_then(kind);
    let alike = cells.iter().all(|cell| kind(cell) == first);
    if let Some((of, cast)) = first.filter(|_| alike) {
        let values = cells.into_iter().filter_map(|cell| match cell {
            Arg::Value(value) => Some(value),
            Arg::Time(time) => Some(time_value(time, DbBackend::Postgres)),
            Arg::List(_) | Arg::Rows(_) => None,
        });
        return (Value::Array(of, Some(Box::new(values.collect()))), cast);
    }
    let texts = cells.iter().map(|cell| match cell {
        Arg::Value(value) => text_of(value),
        Arg::Time(time) => time.map(Time::rfc3339).map(Cow::Owned),
        _ => None,
    });
    (array(texts).into(), "::text[]")
}

/// A Postgres array as text: `{"a","b",NULL}`. The elements are text, cast where they are used.
fn array<'a>(cells: impl Iterator<Item = Option<Cow<'a, str>>>) -> String {
    let mut array = String::from("{");
    for cell in cells {
        array.push_str(if array.len() > 1 { "," } else { "" });
        let Some(cell) = cell else {
            array.push_str("NULL");
            continue;
        };
        array.push('"');
        for part in cell.split_inclusive(['"', '\\']) {
            let plain = part.len() - usize::from(part.ends_with(['"', '\\']));
            array.push_str(&part[..plain]);
            if plain < part.len() {
                array.extend(["\\", &part[plain..]]);
            }
        }
        array.push('"');
    }
    array.push('}');
    array
}

/// A value as Postgres reads it from text.
fn text_of(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => text.as_deref().map(Cow::Borrowed),
        Value::Uuid(id) => id.map(|id| id.to_string().into()),
        Value::Bool(yes) => yes.map(|yes| Cow::Borrowed(if yes { "t" } else { "f" })),
        Value::SmallInt(number) => number.map(|number| number.to_string().into()),
        Value::Int(number) => number.map(|number| number.to_string().into()),
        Value::BigInt(number) => number.map(|number| number.to_string().into()),
        Value::Double(number) => number.map(|number| number.to_string().into()),
        Value::Json(json) => json.as_ref().map(|json| json.to_string().into()),
        other => {
            debug_assert!(false, "rows cannot hold {other:?} yet");
            None
        }
    }
}

/// The farm's clock as an expression: the database's own clock plus the test offset. Read once
/// per statement: a function that reads a table costs more than all the rest of a row's update.
pub fn now(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "(SELECT farm_now())",
        _ => "(SELECT ms FROM farm_now)",
    }
}

/// Runs a statement and returns how many rows it touched.
pub async fn execute<C: ConnectionTrait>(
    db: &C,
    template: &str,
    args: Vec<Arg>,
) -> Result<u64, DbErr> {
    let done: ExecResult =
        db.execute_raw(statement(db.get_database_backend(), template, args)).await?;
    Ok(done.rows_affected())
}

/// Runs a statement and returns its rows as `T`.
pub async fn all<C: ConnectionTrait, T: FromQueryResult>(
    db: &C,
    template: &str,
    args: Vec<Arg>,
) -> Result<Vec<T>, DbErr> {
    rows(db, template, args).await?.iter().map(|row| T::from_query_result(row, "")).collect()
}

/// Runs a statement and returns its first row as `T`.
pub async fn one<C: ConnectionTrait, T: FromQueryResult>(
    db: &C,
    template: &str,
    args: Vec<Arg>,
) -> Result<Option<T>, DbErr> {
    let statement = statement(db.get_database_backend(), template, args);
    db.query_one_raw(statement).await?.map(|row| T::from_query_result(&row, "")).transpose()
}

/// Runs a statement and returns its raw rows.
pub async fn rows<C: ConnectionTrait>(
    db: &C,
    template: &str,
    args: Vec<Arg>,
) -> Result<Vec<QueryResult>, DbErr> {
    db.query_all_raw(statement(db.get_database_backend(), template, args)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(backend: DbBackend, template: &str, args: Vec<Arg>) -> String {
        statement(backend, template, args).sql
    }

    #[test]
    fn a_template_reads_the_same_on_both_databases() {
        let template = "UPDATE t SET a = ?::uuid, b = {now+?} WHERE c IN {list} AND d <= {now}";
        let args = || args![1, 500_i64, Arg::List(vec!["x".into(), "y".into()])];
        assert_eq!(
            text(DbBackend::Postgres, template, args()),
            "UPDATE t SET a = $1::uuid, \
             b = ((SELECT farm_now()) + $2::bigint * interval '1 millisecond') \
             WHERE c = ANY($3) AND d <= (SELECT farm_now())"
        );
        assert_eq!(
            text(DbBackend::Sqlite, template, args()),
            "UPDATE t SET a = ?, b = ((SELECT ms FROM farm_now) + ?) WHERE c IN (?, ?) \
             AND d <= (SELECT ms FROM farm_now)"
        );
    }

    #[test]
    fn empty_lists_match_nothing_and_rows_are_a_table() {
        let nothing = || vec![Arg::List(vec![])];
        assert_eq!(text(DbBackend::Sqlite, "x IN {list}", nothing()), "x IN (NULL)");
        assert_eq!(text(DbBackend::Postgres, "x IN {list}", nothing()), "x = ANY(NULL)");
        let rows = || vec![Arg::Rows(vec![args![1, 2], args![3, 4]])];
        let template = "SELECT column1 FROM {rows} {skip locked}";
        assert_eq!(
            text(DbBackend::Sqlite, template, rows()),
            "SELECT column1 FROM (VALUES (?, ?), (?, ?)) AS v "
        );
        assert_eq!(
            text(DbBackend::Postgres, template, vec![Arg::Rows(vec![args![1, 2]])]),
            "SELECT column1 FROM (VALUES ($1, $2)) AS v FOR UPDATE SKIP LOCKED"
        );
        assert_eq!(
            text(DbBackend::Postgres, template, rows()),
            "SELECT column1 FROM unnest($1::int[], $2::int[]) AS v(column1, column2) \
             FOR UPDATE SKIP LOCKED"
        );
    }

    #[test]
    fn on_postgres_any_number_of_rows_is_one_array_per_column() {
        let id = sea_orm::prelude::Uuid::from_u128(7);
        let rows = vec![args![id, "a \"b\" \\ {c},", None::<i32>], args![id, "", 5]];
        let built = statement(DbBackend::Postgres, "SELECT 1 FROM {rows}", vec![Arg::Rows(rows)]);
        assert_eq!(
            built.sql,
            "SELECT 1 FROM unnest($1::uuid[], $2::text[], $3::text[]) \
             AS v(column1, column2, column3)"
        );
        let values: Vec<Value> = built.values.into_iter().flat_map(|values| values.0).collect();
        let ids = vec![id.into(), id.into()];
        assert_eq!(values[0], Value::Array(ArrayType::Uuid, Some(Box::new(ids))));
        assert_eq!(values[1], r#"{"a \"b\" \\ {c},",""}"#.into());
        assert_eq!(values[2], r#"{NULL,"5"}"#.into());
    }
}
