//! `message` and `message_ack`: the namespace replication queue, and how far each cluster has taken it.
//!
//! Keys: the message's id; the cluster's name.

use bytes::Bytes;

use super::{Columns, Malformed, Record, Values, bytes, column};

/// A row of `message`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Row {
    pub(crate) id: i64,
    pub(crate) message: Bytes,
}

/// A row of `message_ack`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Ack {
    pub(crate) cluster: String,
    pub(crate) id: i64,
}

impl Record for Row {
    const TABLE: &'static str = "message";
    const COLUMNS: usize = 2;

    fn bind(self, into: &mut Values) {
        into.add(self.id).add(self.message);
    }
}

impl Record for Ack {
    const TABLE: &'static str = "message_ack";
    const COLUMNS: usize = 2;

    fn bind(self, into: &mut Values) {
        into.add(self.cluster).add(self.id);
    }
}

impl Row {
    /// Read `id, message`.
    pub(crate) fn read(row: &impl Columns) -> Result<Self, Malformed> {
        Ok(Self { id: column(row, 0)?, message: bytes(row, 1)? })
    }
}

impl Ack {
    /// Read `cluster, id`.
    pub(crate) fn read(row: &impl Columns) -> Result<Self, Malformed> {
        Ok(Self { cluster: column(row, 0)?, id: column(row, 1)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_as_written() {
        super::super::round_trip::check(Row { id: 0, message: Bytes::from_static(b"message") }, Row::read);
        super::super::round_trip::check(Ack { cluster: "b".into(), id: -1 }, Ack::read);
    }
}
