//! `cluster`: clusters as the caller encoded them.
//!
//! Key: the cluster's name.

use super::{Columns, Malformed, Record, Values, bytes, column};
use crate::ClusterRecord;

impl Record for ClusterRecord {
    const TABLE: &'static str = "cluster";
    const COLUMNS: usize = 3;

    fn bind(self, into: &mut Values) {
        into.add(self.name).add(self.version).add(self.record);
    }
}

/// Read `name, version, record`.
pub(crate) fn read(row: &impl Columns) -> Result<ClusterRecord, Malformed> {
    Ok(ClusterRecord { name: column(row, 0)?, version: column(row, 1)?, record: bytes(row, 2)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn a_row_is_read_as_written() {
        let row = ClusterRecord { name: "cluster-a".into(), version: 2, record: Bytes::from_static(b"record") };
        super::super::round_trip::check(row, read);
    }
}
