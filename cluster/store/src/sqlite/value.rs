//! Values and rows as the driver of SQLite wants and gives them.

use sqlx::{
    Arguments as _, Row as _,
    sqlite::{SqliteArguments, SqliteRow},
};

use crate::table::{Columns, Malformed, Value};

/// Values to be bound.
pub(crate) fn arguments(values: impl Iterator<Item = Value>) -> SqliteArguments {
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

impl Columns for SqliteRow {
    fn integer(&self, at: usize) -> Result<Option<i64>, Malformed> {
        self.try_get(at)
    }

    fn text(&self, at: usize) -> Result<Option<&str>, Malformed> {
        self.try_get(at)
    }

    fn blob(&self, at: usize) -> Result<Option<&[u8]>, Malformed> {
        self.try_get(at)
    }
}
