//! Event batches: events that were written together, and the bytes they were first written as.
//!
//! Histories rest and travel as those bytes, so that a cluster one release behind never rewrites what it does not
//! understand.

use alloc::vec::Vec;

use bytes::Bytes;
use prost::Message;
use proto::temporal::api::history::v1::{History, HistoryEvent};

use crate::{ids::EventId, version::FailoverVersion};

/// Events with consecutive ids and one version. Never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryBatch {
    events: Vec<HistoryEvent>,
    bytes: Bytes,
}

impl HistoryBatch {
    /// A batch of events that were born here. Their ids and version are ours to get right.
    #[must_use]
    pub fn born(events: Vec<HistoryEvent>) -> Self {
        assert!(is_batch(&events), "events of a batch have consecutive ids and one version");
        let history = History { events };
        let bytes = history.encode_to_vec().into();
        Self { events: history.events, bytes }
    }

    /// A batch that was written elsewhere or earlier.
    ///
    /// # Errors
    ///
    /// [`MalformedBatch`] when the bytes are no history, or its events no batch (ND-3).
    pub fn received(bytes: Bytes) -> Result<Self, MalformedBatch> {
        let History { events } = History::decode(bytes.clone()).map_err(|_| MalformedBatch)?;
        if is_batch(&events) { Ok(Self { events, bytes }) } else { Err(MalformedBatch) }
    }

    /// The events, oldest first.
    #[must_use]
    pub fn events(&self) -> &[HistoryEvent] {
        &self.events
    }

    /// The bytes they were first written as: a `temporal.api.history.v1.History` (BR-10).
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// How many bytes they are.
    #[must_use]
    pub fn size(&self) -> i64 {
        i64::try_from(self.bytes.len()).expect("a length in memory fits")
    }

    /// Id of the first event; the batch's node in its branch (BR-3).
    #[must_use]
    pub fn first(&self) -> EventId {
        EventId(self.events[0].event_id)
    }

    /// Id of the last event.
    #[must_use]
    pub fn last(&self) -> EventId {
        EventId(self.events[self.events.len() - 1].event_id)
    }

    /// Version of every event.
    #[must_use]
    pub fn version(&self) -> FailoverVersion {
        FailoverVersion(self.events[0].version)
    }
}

/// Bytes that hold no batch of events.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MalformedBatch;

fn is_batch(events: &[HistoryEvent]) -> bool {
    events.first().is_some_and(|first| first.event_id >= 1 && first.version >= 0)
        // An event follows the last one, too.
        && events.last().is_some_and(|last| last.event_id < i64::MAX)
        && events
            .windows(2)
            .all(|pair| pair[0].event_id.checked_add(1) == Some(pair[1].event_id) && pair[0].version == pair[1].version)
}
