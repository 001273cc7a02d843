//! Names for the public API's event messages, which are the core's cargo.

pub use proto::temporal::api::{
    enums::v1::EventType,
    history::v1::{HistoryEvent, history_event::Attributes},
};

use crate::ids::EventId;

/// Id of an event.
#[must_use]
pub fn id(event: &HistoryEvent) -> EventId {
    EventId(event.event_id)
}
