//! `member`: the processes of this cluster as they wrote themselves down.
//!
//! Key: the id of the process.

use replicator::time::Timestamp;
use uuid::Uuid;

use super::{Columns, Malformed, Record, Values, bytes, column, sixteen};
use crate::MemberRecord;

impl Record for MemberRecord {
    const TABLE: &'static str = "member";
    const COLUMNS: usize = 3;

    fn bind(self, into: &mut Values) {
        into.id(self.id.as_bytes()).add(self.heartbeat.0).add(self.record);
    }
}

/// Read `id, heartbeat, record`.
pub(crate) fn read(row: &impl Columns) -> Result<MemberRecord, Malformed> {
    let (id, heartbeat) = (Uuid::from_bytes(sixteen(row, 0)?), Timestamp(column(row, 1)?));
    Ok(MemberRecord { id, heartbeat, record: bytes(row, 2)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn a_row_is_read_as_written() {
        let (id, heartbeat) = (Uuid::from_u128(7), Timestamp::from_millis(-3));
        let row = MemberRecord { id, heartbeat, record: Bytes::from_static(b"record") };
        super::super::round_trip::check(row, read);
    }
}
