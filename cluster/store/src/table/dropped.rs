//! `dropped`: branches that belong to no run any more, while another branch of the tree still reads from them (BR-8).
//!
//! Key: row number of the tree, branch.

use replicator::ids::BranchId;

use super::{Record, Values};

/// A row.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Row {
    pub(crate) tree: i64,
    pub(crate) branch: BranchId,
}

impl Record for Row {
    const TABLE: &'static str = "dropped";
    const COLUMNS: usize = 2;

    fn bind(self, into: &mut Values) {
        into.add(self.tree).id(self.branch.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{column, sixteen};
    use uuid::Uuid;

    #[test]
    fn a_row_is_read_as_written() {
        let row = Row { tree: 3, branch: BranchId(Uuid::from_u128(4)) };
        super::super::round_trip::check(row, |row| {
            Ok(Row { tree: column(row, 0)?, branch: BranchId::from_bytes(sixteen(row, 1)?) })
        });
    }
}
