//! `counter`: the few numbers and names of which there is one.
//!
//! Key: the number of the counter.

use super::{Record, Values};

/// Which counter. The numbers are on disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Counter {
    /// Writes of namespaces.
    Notification = 1,
    /// Id of the last message of the namespace replication queue.
    LastMessage = 2,
    /// Starts of this cluster.
    Incarnation = 3,
    /// Id of this cluster: sixteen bytes.
    #[cfg_attr(not(test), expect(dead_code, reason = "the number stands in a statement"))]
    Cluster = 4,
    /// The life of the store, counted from 1.
    Life = 5,
    /// Where the store lay when that was counted, as a number that is another one elsewhere; 0: nobody looked.
    Place = 6,
}

impl Counter {
    /// The stored number.
    pub(crate) fn number(self) -> i64 {
        self as i64
    }
}

/// A row that holds a number.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Row {
    pub(crate) counter: i64,
    pub(crate) value: i64,
}

impl Record for Row {
    const TABLE: &'static str = "counter";
    const COLUMNS: usize = 2;

    fn bind(self, into: &mut Values) {
        into.add(self.counter).add(self.value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::column;

    #[test]
    fn a_row_is_read_as_written() {
        let counters = [Counter::Notification, Counter::LastMessage, Counter::Incarnation, Counter::Cluster];
        assert_eq!(counters.map(Counter::number), [1, 2, 3, 4]);
        super::super::round_trip::check(Row { counter: Counter::LastMessage.number(), value: -1 }, |row| {
            Ok(Row { counter: column(row, 0)?, value: column(row, 1)? })
        });
    }
}
