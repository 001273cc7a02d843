//! About how many bytes of memory a loaded run takes.
//!
//! It is reckoned from what is known anyhow: the lengths of what is stored of the run, the sums that its tables keep up, and
//! the sizes of what holds them. Nothing is encoded for it, and nothing walked through that did not change.

use alloc::vec::Vec;

use proto::temporal::api::{
    common::v1::{Header, Payloads},
    history::v1::HistoryEvent,
};

use super::{
    draft::Run,
    execution::{Execution, Start},
};
use crate::shard::io::{ItemKey, ItemKind, RunChange};

/// Lengths of a run's rows, as they were last read or written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stored {
    /// Of its record.
    pub record: usize,
    /// Of what tells how it was started.
    pub start: usize,
}

impl Stored {
    /// The rows of a run that was read.
    #[must_use]
    pub fn of(record: &[u8], items: &[(ItemKey, bytes::Bytes)]) -> Self {
        let start = items.iter().find(|(key, _)| key.kind == ItemKind::Start);
        Self { record: record.len(), start: start.map_or(0, |(_, value)| value.len()) }
    }

    /// The run was written.
    pub(super) fn note(&mut self, change: &RunChange) {
        if let RunChange::Put { state, upserts, .. } = change {
            let start = upserts.iter().find(|(key, _)| key.kind == ItemKind::Start);
            self.record = state.len();
            self.start = start.map_or(self.start, |(_, value)| value.len());
        }
    }
}

impl Run {
    /// About how many bytes of memory it takes.
    #[must_use]
    pub fn weight(&self) -> usize {
        let state = &self.state;
        let tables = [
            state.activities.table.weight(),
            state.timers.table.weight(),
            state.signals.requests.weight(),
            state.reapplied.table.weight(),
            state.local.fates.weight(),
        ];
        let buffered = state.local.buffered.len() * (size_of::<HistoryEvent>() + PAYLOAD);
        let questions = self.queries.len() * QUESTION;
        let fixed = size_of::<Self>() + size_of::<Start>();
        let stored = self.stored.record + self.stored.start;
        fixed + stored + fields_of(&state.execution) * PAYLOAD + tables.iter().sum::<usize>() + buffered + questions
    }
}

/// Payloads that a run holds because of how it was started.
fn fields_of(execution: &Execution) -> usize {
    let attributes = &execution.start.attributes;
    let memo = attributes.memo.as_ref().map_or(0, |memo| memo.fields.len());
    let search = attributes.search_attributes.as_ref().map_or(0, |fields| fields.indexed_fields.len());
    let given = count(attributes.input.as_ref()) + count(attributes.last_completion_result.as_ref());
    let headers = count_headers(attributes.header.as_ref());
    memo + search + given + headers + execution.memo.len() + execution.search_attributes.len()
}

/// How many payloads these are.
pub(super) fn count(payloads: Option<&Payloads>) -> usize {
    payloads.map_or(0, |payloads| Vec::len(&payloads.payloads))
}

/// The same of headers.
pub(super) fn count_headers(header: Option<&Header>) -> usize {
    header.map_or(0, |header| header.fields.len())
}

/// What a payload takes beside its bytes: its metadata is a map, of which even one with a single entry has room for eleven.
pub(super) const PAYLOAD: usize = 750;

/// What a question takes that waits for a workflow task.
const QUESTION: usize = 1 << 10;
