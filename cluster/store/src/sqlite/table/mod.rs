//! The tables, a file each: what a row holds, how it is bound and how it is read.
//!
//! A run gets a row number when it is first written, and the numbers grow, so that rows of runs that live at the same time
//! lie side by side and are written with the same pages. Only `name` is ordered by something that callers choose.

use std::sync::Arc;

use bytes::Bytes;
use sqlx::{
    Arguments as _, Decode, Row as _, Sqlite, Type,
    sqlite::{SqliteArguments, SqliteRow},
};

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

    /// Everything, as the driver wants it.
    pub(crate) fn arguments(self) -> SqliteArguments {
        arguments(self.0.into_iter())
    }

    /// In pieces, as the driver wants it.
    pub(crate) fn pieces(self) -> Pieces {
        Pieces(self.0.into_iter())
    }
}

/// Values that are taken piece by piece.
pub(crate) struct Pieces(std::vec::IntoIter<Value>);

impl Pieces {
    /// The next so many.
    pub(crate) fn take(&mut self, count: usize) -> SqliteArguments {
        arguments(self.0.by_ref().take(count))
    }
}

fn arguments(values: impl Iterator<Item = Value>) -> SqliteArguments {
    let mut arguments = SqliteArguments::default();
    arguments.reserve(values.size_hint().0, 0);
    for value in values {
        let added = match value {
            Value::Null => arguments.add(None::<i64>),
            Value::Integer(number) => arguments.add(number),
            Value::Text(text) => arguments.add(text),
            Value::Blob(bytes) => arguments.add(Vec::from(bytes)),
        };
        added.expect("plain values encode");
    }
    arguments
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

/// A column that does not hold what the schema says: the file was changed by another program.
pub(crate) type Malformed = sqlx::Error;

/// Take a column out of a row.
pub(crate) fn column<'r, T: Decode<'r, Sqlite> + Type<Sqlite>>(row: &'r SqliteRow, at: usize) -> Result<T, Malformed> {
    row.try_get(at)
}

/// Take bytes out of a row.
pub(crate) fn bytes(row: &SqliteRow, at: usize) -> Result<Bytes, Malformed> {
    column::<Vec<u8>>(row, at).map(Bytes::from)
}

/// Take sixteen bytes out of a row.
pub(crate) fn sixteen(row: &SqliteRow, at: usize) -> Result<[u8; 16], Malformed> {
    column::<&[u8]>(row, at)?.try_into().map_err(|_| malformed(at, "an id has sixteen bytes"))
}

/// Say that a column does not hold what it should.
pub(crate) fn malformed(at: usize, why: &'static str) -> Malformed {
    sqlx::Error::ColumnDecode { index: at.to_string(), source: why.into() }
}

/// Writes a row into a table of a fresh database and reads it back.
#[cfg(test)]
pub(crate) mod round_trip {
    use super::*;
    use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _, sqlite::SqliteConnectOptions};

    pub(crate) fn check<R>(row: R, read: impl Fn(&SqliteRow) -> Result<R, Malformed>)
    where
        R: Record + Clone + PartialEq + std::fmt::Debug,
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut connection = SqliteConnectOptions::new().in_memory(true).connect().await.unwrap();
            connection.execute(crate::sqlite::schema::TABLES).await.unwrap();
            let mut values = Values::default();
            row.clone().bind(&mut values);
            assert_eq!(values.len(), R::COLUMNS);
            let marks = vec!["?"; R::COLUMNS].join(",");
            let put = format!("INSERT INTO {} VALUES ({marks})", R::TABLE);
            sqlx::query_with(AssertSqlSafe(put), values.arguments()).execute(&mut connection).await.unwrap();
            let get = format!("SELECT * FROM {}", R::TABLE);
            let found = connection.fetch_one(AssertSqlSafe(get)).await.unwrap();
            assert_eq!(read(&found).unwrap(), row);
        });
    }
}
