//! Timers that the workflow started and that have not fired (api 6.1).

use alloc::{collections::BTreeMap, string::String};

use super::table::Table;
use crate::{ids::EventId, time::Timestamp, version::FailoverVersion};

/// The run's timers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timers {
    /// By started event.
    pub table: Table<EventId, Timer>,
    /// Started events by the workflow's own name for the timer.
    pub by_id: BTreeMap<String, EventId>,
}

/// A pending timer.
#[derive(Clone, Debug, PartialEq)]
pub struct Timer {
    /// The workflow's own name for it.
    pub id: String,
    /// Version of its started event.
    pub version: FailoverVersion,
    /// Its started event.
    pub started: EventId,
    /// When it fires: the event's time plus its duration.
    pub expiry: Timestamp,
}
