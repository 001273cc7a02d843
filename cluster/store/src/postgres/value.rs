//! Values and rows as the driver of PostgreSQL wants and gives them.
//!
//! Text rests as bytes: PostgreSQL's own text refuses what a workflow id may hold, and sorts by the rules of a language.

use sqlx::{
    Arguments as _, Row as _,
    postgres::{PgArguments, PgRow},
};

use crate::table::{Columns, Malformed, Value, malformed};

/// What a column holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Integer,
    Bytes,
}

/// Values to be bound, one by one.
pub(crate) fn arguments(values: impl IntoIterator<Item = Value>) -> PgArguments {
    let mut arguments = PgArguments::default();
    for value in values {
        let added = match value {
            Value::Null => arguments.add(None::<i64>),
            Value::Integer(number) => arguments.add(number),
            Value::Text(text) => arguments.add(text.as_bytes()),
            Value::Blob(bytes) => arguments.add(bytes.as_ref()),
        };
        added.expect("plain values encode");
    }
    arguments
}

/// Bind one column of many rows, as an array.
pub(crate) fn bind_column<'v>(into: &mut PgArguments, kind: Kind, values: impl Iterator<Item = &'v Value>) {
    let added = match kind {
        Kind::Integer => into.add(
            values
                .map(|value| match value {
                    Value::Integer(number) => Some(*number),
                    Value::Null => None,
                    Value::Text(_) | Value::Blob(_) => unreachable!("the column is one of numbers"),
                })
                .collect::<Vec<Option<i64>>>(),
        ),
        Kind::Bytes => into.add(
            values
                .map(|value| match value {
                    Value::Text(text) => Some(text.as_bytes()),
                    Value::Blob(bytes) => Some(bytes.as_ref()),
                    Value::Null => None,
                    Value::Integer(_) => unreachable!("the column is one of bytes"),
                })
                .collect::<Vec<Option<&[u8]>>>(),
        ),
    };
    added.expect("arrays of plain values encode");
}

impl Columns for PgRow {
    fn integer(&self, at: usize) -> Result<Option<i64>, Malformed> {
        self.try_get(at)
    }

    fn text(&self, at: usize) -> Result<Option<&str>, Malformed> {
        let bytes = self.blob(at)?;
        bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| malformed(at, "is no text"))).transpose()
    }

    fn blob(&self, at: usize) -> Result<Option<&[u8]>, Malformed> {
        self.try_get(at)
    }
}
