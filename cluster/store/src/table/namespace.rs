//! `namespace`: namespaces as the caller encoded them.
//!
//! Key: the namespace's id.

use replicator::ids::NamespaceId;

use super::{Columns, Malformed, Record, Values, bytes, column, sixteen};
use crate::NamespaceRecord;

impl Record for NamespaceRecord {
    const TABLE: &'static str = "namespace";
    const COLUMNS: usize = 3;

    fn bind(self, into: &mut Values) {
        into.id(self.id.as_bytes()).add(self.notification).add(self.record);
    }
}

/// Read `id, notification, record` from column `at` on.
pub(crate) fn read(row: &impl Columns, at: usize) -> Result<NamespaceRecord, Malformed> {
    let id = NamespaceId::from_bytes(sixteen(row, at)?);
    Ok(NamespaceRecord { id, notification: column(row, at + 1)?, record: bytes(row, at + 2)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use uuid::Uuid;

    #[test]
    fn a_row_is_read_as_written() {
        let id = NamespaceId(Uuid::from_u128(7));
        let row = NamespaceRecord { id, notification: 3, record: Bytes::from_static(b"record") };
        super::super::round_trip::check(row, |row| read(row, 0));
    }
}
