//! `run`: the record of a run.
//!
//! Key: the run's row number. `closed` and `started` are the key of its visibility record, which moves when it closes.

use bytes::Bytes;
use replicator::ids::{RecordVersion, RunId};

use super::{Columns, Malformed, Record, Values, bytes, column, sixteen};

/// Where a run stands in the list of its namespace.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Listed {
    /// Close time; open runs are at the end of time.
    pub(crate) closed: i64,
    /// Start time.
    pub(crate) started: i64,
}

/// The key of a row.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Key(pub(crate) i64);

impl super::Key for Key {
    const TABLE: &'static str = "run";
    const KEY: &'static str = "(row)";
    const COLUMNS: usize = 1;

    fn bind(&self, into: &mut Values) {
        into.add(self.0);
    }
}

/// A row.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Row {
    pub(crate) row: i64,
    pub(crate) id: RunId,
    pub(crate) record: RecordVersion,
    pub(crate) state: Bytes,
    pub(crate) listed: Option<Listed>,
}

impl Record for Row {
    const TABLE: &'static str = "run";
    const COLUMNS: usize = 6;

    fn bind(self, into: &mut Values) {
        into.add(self.row).id(self.id.as_bytes()).add(self.record.0);
        into.add(self.listed.map(|listed| listed.closed)).add(self.listed.map(|listed| listed.started));
        into.add(self.state);
    }
}

impl Row {
    /// Read `row, id, record, closed, started, state` from column `at` on.
    pub(crate) fn read(row: &impl Columns, at: usize) -> Result<Self, Malformed> {
        Ok(Self {
            row: column(row, at)?,
            id: RunId::from_bytes(sixteen(row, at + 1)?),
            record: RecordVersion(column(row, at + 2)?),
            listed: listed(row, at + 3)?,
            state: bytes(row, at + 5)?,
        })
    }
}

/// Read `closed, started`.
pub(crate) fn listed(row: &impl Columns, at: usize) -> Result<Option<Listed>, Malformed> {
    let (closed, started) = (column::<Option<i64>>(row, at)?, column::<Option<i64>>(row, at + 1)?);
    Ok(closed.zip(started).map(|(closed, started)| Listed { closed, started }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_row_is_read_as_written() {
        for listed in [None, Some(Listed { closed: i64::MAX, started: -1 })] {
            let (id, state) = (RunId(Uuid::from_u128(5)), Bytes::from_static(&[0, 255]));
            let row = Row { row: 3, id, record: RecordVersion(9), state, listed };
            super::super::round_trip::check(row, |row| Row::read(row, 0));
        }
    }
}
