//! A point in time as the database keeps it: `timestamptz` on Postgres, integer milliseconds
//! since 1970 on SQLite. All arithmetic on job time happens in the database (`farm_now()`).

use chrono::{DateTime, SecondsFormat, Utc};
use sea_orm::sea_query::{ArrayType, ColumnType, Nullable, Value, ValueType, ValueTypeErr};
use sea_orm::{ColIdx, DbBackend, QueryResult, TryGetError, TryGetable};
use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(pub i64);

impl Time {
    /// Milliseconds from `earlier` to `self`; negative when `self` is before it.
    pub fn millis_since(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }

    /// The same instant as a calendar time.
    pub fn utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0).unwrap_or_default()
    }

    /// RFC 3339 with milliseconds and `Z`, as the API prints it.
    pub fn rfc3339(self) -> String {
        self.utc().to_rfc3339_opts(SecondsFormat::Millis, true)
    }

    /// The value to bind for a column of this type on the given database.
    pub fn value(self, backend: DbBackend) -> Value {
        match backend {
            DbBackend::Postgres => Value::from(self.utc()),
            _ => Value::from(self.0),
        }
    }
}

/// The host's clock. For tokens, request timings and file names only; what concerns jobs is
/// measured by the database's clock.
#[allow(clippy::disallowed_methods)]
pub fn wall_now() -> Time {
    Time(Utc::now().timestamp_millis())
}

/// Reads an RFC 3339 time.
pub fn parse_rfc3339(text: &str) -> Option<Time> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| Time(time.timestamp_millis()))
}

impl From<DateTime<Utc>> for Time {
    fn from(value: DateTime<Utc>) -> Self {
        Self(value.timestamp_millis())
    }
}

impl TryGetable for Time {
    fn try_get_by<I: ColIdx>(res: &QueryResult, index: I) -> Result<Self, TryGetError> {
        // Integer first: the SQLite driver would read an integer as epoch seconds when asked for
        // a calendar time.
        match i64::try_get_by(res, index) {
            Ok(ms) => Ok(Self(ms)),
            Err(TryGetError::Null(column)) => Err(TryGetError::Null(column)),
            Err(TryGetError::DbErr(_)) => DateTime::<Utc>::try_get_by(res, index).map(Self::from),
        }
    }
}

/// The SQLite form; statements that run on both databases bind [`Time::value`].
impl From<Time> for Value {
    fn from(value: Time) -> Self {
        Value::from(value.0)
    }
}

impl ValueType for Time {
    fn try_from(v: Value) -> Result<Self, ValueTypeErr> {
        <i64 as ValueType>::try_from(v).map(Self)
    }

    fn type_name() -> String {
        "Time".to_owned()
    }

    fn array_type() -> ArrayType {
        ArrayType::BigInt
    }

    fn column_type() -> ColumnType {
        ColumnType::BigInteger
    }
}

impl Nullable for Time {
    fn null() -> Value {
        <i64 as Nullable>::null()
    }
}
