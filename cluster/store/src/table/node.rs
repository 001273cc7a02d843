//! `node` and `node_at`: batches of history, and where they lie in their tree.
//!
//! `node`, key: order of writing. Batches of all runs are appended to one end of the table, so that a group of
//! transactions fills pages instead of touching one page a run. `node_at`, key: row number of the tree, branch, first event,
//! transaction; entries of a tree are one stretch.

use bytes::Bytes;
use replicator::ids::BranchId;

use super::{Columns, Malformed, Record, Values, bytes, column};

/// A row of `node`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Row {
    pub(crate) seq: i64,
    pub(crate) next: i64,
    pub(crate) previous: i64,
    pub(crate) events: Bytes,
}

/// A row of `node_at`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    pub(crate) tree: i64,
    pub(crate) branch: BranchId,
    pub(crate) node: i64,
    pub(crate) transaction: i64,
    pub(crate) seq: i64,
}

/// A batch as it is read: `node, txn, next, previous, events`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Found {
    pub(crate) node: i64,
    pub(crate) transaction: i64,
    pub(crate) next: i64,
    pub(crate) previous: i64,
    pub(crate) events: Bytes,
}

impl Record for Row {
    const TABLE: &'static str = "node";
    const COLUMNS: usize = 4;

    fn bind(self, into: &mut Values) {
        into.add(self.seq).add(self.next).add(self.previous).add(self.events);
    }
}

impl Record for Place {
    const TABLE: &'static str = "node_at";
    const COLUMNS: usize = 5;

    fn bind(self, into: &mut Values) {
        into.add(self.tree).id(self.branch.as_bytes()).add(self.node).add(self.transaction).add(self.seq);
    }
}

impl Found {
    /// Read `node, txn, next, previous, events`.
    pub(crate) fn read(row: &impl Columns) -> Result<Self, Malformed> {
        Ok(Self {
            node: column(row, 0)?,
            transaction: column(row, 1)?,
            next: column(row, 2)?,
            previous: column(row, 3)?,
            events: bytes(row, 4)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::sixteen;
    use uuid::Uuid;

    #[test]
    fn a_row_is_read_as_written() {
        let row = Row { seq: 1, next: 4, previous: 0, events: Bytes::from_static(b"events") };
        super::super::round_trip::check(row, |row| {
            Ok(Row { seq: column(row, 0)?, next: column(row, 1)?, previous: column(row, 2)?, events: bytes(row, 3)? })
        });
        let place = Place { tree: 3, branch: BranchId(Uuid::from_u128(4)), node: 1, transaction: 1 << 50, seq: 1 };
        super::super::round_trip::check(place, |row| {
            Ok(Place {
                tree: column(row, 0)?,
                branch: BranchId::from_bytes(sixteen(row, 1)?),
                node: column(row, 2)?,
                transaction: column(row, 3)?,
                seq: column(row, 4)?,
            })
        });
    }
}
