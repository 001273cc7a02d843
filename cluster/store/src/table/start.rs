//! `start`: how a run was started ([`replicator::shard::io::ItemKind::Start`]).
//!
//! Key: the run's row number. Apart from the other items, because it is written once, is the largest, and stays: beside
//! them it would keep the few items that change often far apart.

use bytes::Bytes;

use super::{Record, Values};

/// The key of a row.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Key(pub(crate) i64);

impl super::Key for Key {
    const TABLE: &'static str = "start";
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
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
}

impl Record for Row {
    const TABLE: &'static str = "start";
    const COLUMNS: usize = 3;

    fn bind(self, into: &mut Values) {
        into.add(self.row).add(self.key).add(self.value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{bytes, column};

    #[test]
    fn a_row_is_read_as_written() {
        let row = Row { row: 3, key: Bytes::new(), value: Bytes::from_static(b"started") };
        super::super::round_trip::check(row, |row| {
            Ok(Row { row: column(row, 0)?, key: bytes(row, 1)?, value: bytes(row, 2)? })
        });
    }
}
