//! Statements over many rows, of which there are few texts.
//!
//! What a group does to one table is one statement for any number of rows. A statement is prepared for a number of rows, so
//! numbers are rounded up to one of few, and what is missing is filled with a row that is there: to put or to delete a row
//! twice is to do it once.

use sqlx::{AssertSqlSafe, MySqlConnection};

use super::value::{arguments, size};
use crate::table::{Value, Values};

/// What a group does to one table.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    /// Puts rows; one that is there already is replaced.
    Put {
        /// The table with its columns.
        table: &'static str,
        /// How many they are.
        columns: usize,
        /// What is replaced.
        replace: &'static str,
    },
    /// Deletes rows.
    Delete {
        /// The table.
        table: &'static str,
        /// Which rows; any of these conditions.
        which: &'static str,
        /// How many values a condition has.
        columns: usize,
    },
    /// Is done for each row by itself, because it is rare.
    Each {
        /// The statement.
        text: &'static str,
        /// How many values it has.
        columns: usize,
    },
}

impl Part {
    fn columns(self) -> usize {
        match self {
            Self::Put { columns, .. } | Self::Delete { columns, .. } | Self::Each { columns, .. } => columns,
        }
    }

    /// The statement for so many rows.
    fn text(self, rows: usize) -> String {
        match self {
            Self::Put { table, columns, replace } => {
                let row = format!("({})", marks(columns));
                format!("INSERT INTO {table} VALUES {} ON DUPLICATE KEY UPDATE {replace}", vec![row; rows].join(", "))
            }
            Self::Delete { table, which, .. } => format!("DELETE FROM {table} WHERE {}", any(which, rows)),
            Self::Each { text, .. } => text.to_owned(),
        }
    }
}

/// Any of these conditions.
pub(crate) fn any(which: &str, rows: usize) -> String {
    vec![format!("({which})"); rows].join(" OR ")
}

/// `?, ?, ?`.
pub(crate) fn marks(count: usize) -> String {
    vec!["?"; count].join(", ")
}

/// Parts with their rows, in the order in which they are done.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    steps: Vec<(&'static Part, Vec<Value>)>,
}

impl Batch {
    /// Do something for these rows.
    pub(crate) fn add<R>(
        &mut self,
        part: &'static Part,
        rows: impl IntoIterator<Item = R>,
        bind: impl Fn(R, &mut Values),
    ) {
        let mut values = Values::default();
        for row in rows {
            bind(row, &mut values);
        }
        if values.len() > 0 {
            assert_eq!(values.len() % part.columns(), 0, "whole rows");
            self.steps.push((part, values.into_iter().collect()));
        }
    }

    /// Whether there is nothing to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Do it.
    pub(crate) async fn carry_out(&self, connection: &mut MySqlConnection) -> Result<(), sqlx::Error> {
        for (part, values) in &self.steps {
            for chunk in chunks(**part, values) {
                let rows = chunk.len() / part.columns();
                let filled = if is_small(&chunk) { filled(rows) } else { rows };
                let last = &chunk[chunk.len() - part.columns()..];
                let fill = (rows..filled).flat_map(|_| last);
                let arguments = arguments(chunk.iter().chain(fill).copied());
                // One that is large is not worth a text that is kept.
                let query = sqlx::query_with(AssertSqlSafe(part.text(filled)), arguments).persistent(is_small(&chunk));
                query.execute(&mut *connection).await?;
            }
        }
        Ok(())
    }
}

/// Rows that go together, flat.
fn chunks(part: Part, values: &[Value]) -> Vec<Vec<&Value>> {
    let most = if matches!(part, Part::Each { .. }) { 1 } else { ROWS };
    let mut chunks: Vec<Vec<&Value>> = Vec::new();
    let (mut rows, mut bytes) = (most, 0);
    for row in values.chunks(part.columns()) {
        let length: usize = row.iter().map(size).sum();
        if rows == most || bytes + length > BYTES {
            chunks.push(Vec::new());
            (rows, bytes) = (0, 0);
        }
        (rows, bytes) = (rows + 1, bytes + length);
        chunks.last_mut().expect("one was begun").extend(row);
    }
    chunks
}

fn is_small(chunk: &[&Value]) -> bool {
    chunk.iter().map(|value| size(value)).sum::<usize>() <= SMALL
}

/// A number of rows for which there is a text.
pub(crate) fn filled(rows: usize) -> usize {
    let power = rows.next_power_of_two();
    let between = power / 4 * 3;
    if rows <= between { between } else { power }
}

/// Rows of a statement at most.
const ROWS: usize = 128;

/// Bytes of a statement at most, unless one row has more: what a server takes is 16 MiB, if nobody says otherwise.
const BYTES: usize = 4 << 20;

/// Bytes up to which filling up is cheaper than a text of its own.
const SMALL: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_rows_are_few() {
        let numbers: std::collections::BTreeSet<usize> = (1..=ROWS).map(filled).collect();
        assert_eq!(numbers.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128]);
        assert!((1..=ROWS).all(|rows| rows <= filled(rows)));
    }

    #[test]
    fn texts() {
        let put = Part::Put { table: "t (a, b)", columns: 2, replace: "b = VALUES(b)" };
        let expected = "INSERT INTO t (a, b) VALUES (?, ?), (?, ?) ON DUPLICATE KEY UPDATE b = VALUES(b)";
        assert_eq!(put.text(2), expected);
        let delete = Part::Delete { table: "t", which: "a = ? AND b >= ?", columns: 2 };
        assert_eq!(delete.text(2), "DELETE FROM t WHERE (a = ? AND b >= ?) OR (a = ? AND b >= ?)");
    }

    #[test]
    fn rows_go_together_up_to_a_size() {
        let part = Part::Put { table: "t", columns: 1, replace: "" };
        let blob = |bytes: usize| Value::Blob(vec![0; bytes].into());
        let check = |values: &[Value], expected: &[usize]| {
            let chunks = chunks(part, values);
            assert_eq!(chunks.iter().map(Vec::len).collect::<Vec<_>>(), expected);
        };
        check(&vec![blob(1); 300], &[128, 128, 44]);
        check(&[blob(3 << 20), blob(3 << 20), blob(9 << 20), blob(1)], &[1, 1, 1, 1]);
        check(&[], &[]);
    }
}
