//! Values and rows as the driver of MySQL wants and gives them. Text rests as bytes.

use sqlx::{
    Arguments as _, Row as _,
    mysql::{MySqlArguments, MySqlRow},
};

use crate::table::{Columns, Malformed, Value, malformed};

/// Values to be bound.
pub(crate) fn arguments<'v>(values: impl IntoIterator<Item = &'v Value>) -> MySqlArguments {
    let mut arguments = MySqlArguments::default();
    for value in values {
        let added = match value {
            Value::Null => arguments.add(None::<i64>),
            Value::Integer(number) => arguments.add(*number),
            Value::Text(text) => arguments.add(text.as_bytes()),
            Value::Blob(bytes) => arguments.add(bytes.as_ref()),
        };
        added.expect("plain values encode");
    }
    arguments
}

/// About how many bytes a value takes on its way.
pub(crate) fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Integer(_) => 8,
        Value::Text(text) => text.len(),
        Value::Blob(bytes) => bytes.len(),
    }
}

impl Columns for MySqlRow {
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
