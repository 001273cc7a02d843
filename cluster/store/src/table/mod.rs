//! The tables, a file each: what a row holds, how it is bound and how it is read, in every database.
//!
//! A run gets a row number when it is first written, and the numbers grow, so that rows of runs that live at the same time
//! lie side by side and are written with the same pages. Only `name` is ordered by something that callers choose.

use std::sync::Arc;

use bytes::Bytes;

pub(crate) mod dropped;
pub(crate) mod item;
pub(crate) mod name;
pub(crate) mod node;
pub(crate) mod run;
pub(crate) mod shard;
pub(crate) mod start;
pub(crate) mod task;
pub(crate) mod visibility;

pub(crate) mod cluster;
pub(crate) mod counter;
pub(crate) mod member;
pub(crate) mod message;
pub(crate) mod namespace;

/// A row that is written whole.
pub(crate) trait Record {
    /// Name of the table, and so of its statements.
    const TABLE: &'static str;
    /// Columns of the table, in the order of the schema.
    const COLUMNS: usize;

    /// Bind all columns, in the order of the schema.
    fn bind(self, into: &mut Values);
}

/// The primary key of a row.
pub(crate) trait Key {
    /// Name of the table, and so of its statements.
    const TABLE: &'static str;
    /// The columns of the key, as a row value.
    const KEY: &'static str;
    /// How many they are.
    const COLUMNS: usize;

    /// Bind the columns of the key.
    fn bind(&self, into: &mut Values);
}

/// Values to be bound, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values(Vec<Value>);

/// A value to be bound.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Integer(i64),
    Text(Arc<str>),
    Blob(Bytes),
}

impl Values {
    /// Add a value.
    pub(crate) fn add(&mut self, value: impl Into<Value>) -> &mut Self {
        self.0.push(value.into());
        self
    }

    /// Add sixteen bytes.
    pub(crate) fn id(&mut self, id: &[u8; 16]) -> &mut Self {
        self.add(Bytes::copy_from_slice(id))
    }

    /// How many they are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl IntoIterator for Values {
    type Item = Value;
    type IntoIter = std::vec::IntoIter<Value>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self::Integer(number.into())
    }
}

impl From<Bytes> for Value {
    fn from(bytes: Bytes) -> Self {
        Self::Blob(bytes)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<Arc<str>> for Value {
    fn from(text: Arc<str>) -> Self {
        Self::Text(text)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A row that was read, whichever database it comes from.
pub(crate) trait Columns {
    /// The number in a column; `None`: there is none.
    fn integer(&self, at: usize) -> Result<Option<i64>, Malformed>;

    /// The text in a column.
    fn text(&self, at: usize) -> Result<Option<&str>, Malformed>;

    /// The bytes in a column.
    fn blob(&self, at: usize) -> Result<Option<&[u8]>, Malformed>;
}

/// What a column may hold.
pub(crate) trait Column: Sized {
    /// Take it out of a row; `None`: the column is empty.
    fn take(row: &impl Columns, at: usize) -> Result<Option<Self>, Malformed>;

    /// Take it out of a row where the column may be empty only if this can say so.
    fn required(row: &impl Columns, at: usize) -> Result<Self, Malformed> {
        Self::take(row, at)?.ok_or_else(|| malformed(at, "is empty"))
    }
}

impl Column for i64 {
    fn take(row: &impl Columns, at: usize) -> Result<Option<Self>, Malformed> {
        row.integer(at)
    }
}

impl Column for i32 {
    fn take(row: &impl Columns, at: usize) -> Result<Option<Self>, Malformed> {
        row.integer(at)?.map(|number| number.try_into().map_err(|_| malformed(at, "is too large"))).transpose()
    }
}

impl Column for u32 {
    fn take(row: &impl Columns, at: usize) -> Result<Option<Self>, Malformed> {
        row.integer(at)?.map(|number| number.try_into().map_err(|_| malformed(at, "is too large"))).transpose()
    }
}

impl Column for bool {
    fn take(row: &impl Columns, at: usize) -> Result<Option<Self>, Malformed> {
        Ok(row.integer(at)?.map(|number| number != 0))
    }
}

impl Column for String {
    fn take(row: &impl Columns, at: usize) -> Result<Option<Self>, Malformed> {
        Ok(row.text(at)?.map(Self::from))
    }
}

impl Column for Bytes {
    fn take(row: &impl Columns, at: usize) -> Result<Option<Self>, Malformed> {
        Ok(row.blob(at)?.map(Self::copy_from_slice))
    }
}

impl<T: Column> Column for Option<T> {
    fn take(row: &impl Columns, at: usize) -> Result<Option<Self>, Malformed> {
        T::take(row, at).map(Some)
    }
}

/// A column that does not hold what the schema says: the database was changed by another program.
pub(crate) type Malformed = sqlx::Error;

/// Take a column out of a row.
pub(crate) fn column<T: Column>(row: &impl Columns, at: usize) -> Result<T, Malformed> {
    T::required(row, at)
}

/// Take bytes out of a row.
pub(crate) fn bytes(row: &impl Columns, at: usize) -> Result<Bytes, Malformed> {
    column(row, at)
}

/// Take sixteen bytes out of a row.
pub(crate) fn sixteen(row: &impl Columns, at: usize) -> Result<[u8; 16], Malformed> {
    let bytes = row.blob(at)?.ok_or_else(|| malformed(at, "is empty"))?;
    bytes.try_into().map_err(|_| malformed(at, "an id has sixteen bytes"))
}

/// Say that a column does not hold what it should.
pub(crate) fn malformed(at: usize, why: &'static str) -> Malformed {
    sqlx::Error::ColumnDecode { index: at.to_string(), source: why.into() }
}

/// Writes a row into a table of a fresh database and reads it back.
#[cfg(test)]
pub(crate) mod round_trip {
    use super::*;
    use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _, sqlite::SqliteConnectOptions, sqlite::SqliteRow};

    pub(crate) fn check<R>(row: R, read: impl Fn(&SqliteRow) -> Result<R, Malformed>)
    where
        R: Record + Clone + PartialEq + std::fmt::Debug,
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut connection = SqliteConnectOptions::new().in_memory(true).connect().await.unwrap();
            for step in crate::sqlite::schema::STEPS {
                connection.execute(step).await.unwrap();
            }
            let mut values = Values::default();
            row.clone().bind(&mut values);
            assert_eq!(values.len(), R::COLUMNS);
            let marks = vec!["?"; R::COLUMNS].join(",");
            let put = format!("INSERT INTO {} VALUES ({marks})", R::TABLE);
            let values = crate::sqlite::value::arguments(values.into_iter());
            sqlx::query_with(AssertSqlSafe(put), values).execute(&mut connection).await.unwrap();
            let get = format!("SELECT * FROM {}", R::TABLE);
            let found = connection.fetch_one(AssertSqlSafe(get)).await.unwrap();
            assert_eq!(read(&found).unwrap(), row);
        });
    }
}
