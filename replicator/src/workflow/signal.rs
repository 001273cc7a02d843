//! Signals, as far as they must be recognised again.

use alloc::string::String;

use super::table::Table;

/// The run's signals.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Signals {
    /// How many the run has received.
    pub count: i64,
    /// Request ids of those that had one; the same id is the same signal (api 6.17). The signal event carries it, so
    /// that a peer knows it too.
    pub requests: Table<String, ()>,
}
