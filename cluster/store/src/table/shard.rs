//! `shard`: who owns a shard, and its own record.
//!
//! Key: the shard's number.

use bytes::Bytes;
use replicator::ids::{RangeId, ShardId};

use super::{Columns, Malformed, Record, Values, bytes, column};

/// A row.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Row {
    pub(crate) id: ShardId,
    pub(crate) range: RangeId,
    pub(crate) state: Bytes,
}

impl Record for Row {
    const TABLE: &'static str = "shard";
    const COLUMNS: usize = 3;

    fn bind(self, into: &mut Values) {
        into.add(i64::from(self.id.0)).add(self.range.0).add(self.state);
    }
}

impl Row {
    /// Read `id, range, state`.
    pub(crate) fn read(row: &impl Columns) -> Result<Self, Malformed> {
        Ok(Self { id: ShardId(column(row, 0)?), range: RangeId(column(row, 1)?), state: bytes(row, 2)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_as_written() {
        let row = Row { id: ShardId(u32::MAX), range: RangeId(7), state: Bytes::from_static(b"state") };
        super::super::round_trip::check(row, Row::read);
    }
}
