//! How large a run may grow (api 11.6).
//!
//! Limits come from the host that decides and are no part of what clusters share. What one leads to is written as events, and
//! a peer that follows these events asks for no limit of its own.

use alloc::{collections::BTreeMap, string::String};

use super::draft::Run;
use crate::{ids::EventId, shard::io::Report};

/// Limits of the runs of one namespace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RunLimits {
    /// Bytes of history, as they are stored.
    pub history_size: HistoryLimit,
    /// Events of history.
    pub history_count: HistoryLimit,
    /// Activities that may be pending at once; 0: any number.
    pub pending_activities: usize,
}

/// What comes of a history as it grows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HistoryLimit {
    /// A run that has more is terminated instead of the next change.
    pub most: i64,
    /// Operators are told of a run that has more.
    pub warning: i64,
    /// Workers are told to continue a run as new that has as much.
    pub suggestion: i64,
}

/// One of the two measures of a history.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Measure {
    /// Bytes.
    Size,
    /// Events.
    Count,
}

/// Limits by the name of the namespace.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Limits {
    /// Where nothing else is said.
    pub usual: RunLimits,
    /// Namespaces of which something is said.
    pub by_namespace: BTreeMap<String, RunLimits>,
}

impl Limits {
    /// Those of a namespace.
    #[must_use]
    pub fn of(&self, namespace: &str) -> &RunLimits {
        self.by_namespace.get(namespace).unwrap_or(&self.usual)
    }
}

impl Default for RunLimits {
    /// Temporal's.
    fn default() -> Self {
        Self {
            history_size: HistoryLimit { most: 50 << 20, warning: 10 << 20, suggestion: 4 << 20 },
            history_count: HistoryLimit { most: 50 << 10, warning: 10 << 10, suggestion: 4 << 10 },
            pending_activities: 2000,
        }
    }
}

impl RunLimits {
    /// What operators are told of a run that grew past a warning, if it did.
    pub(super) fn warnings(&self, run: &Run, before: Grown) -> impl Iterator<Item = Report> {
        let now = Grown::stored(run);
        let measures = [
            (Measure::Size, self.history_size.warning, before.size, now.size),
            (Measure::Count, self.history_count.warning, before.count, now.count),
        ];
        let passed = measures.into_iter().filter(|(_, warning, before, now)| before <= warning && warning < now);
        passed.map(|(measure, _, _, now)| Report::Grown { run: run.state.run.clone(), measure, now })
    }
}

/// How large the history of a run is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Grown {
    size: i64,
    count: i64,
}

impl Grown {
    /// As it is stored, before the draft that is under way is.
    pub(super) fn stored(run: &Run) -> Self {
        let (state, changes) = (&run.state, &run.changes);
        let next = changes.batches.first().map(|batch| batch.first());
        let next = next.or_else(|| changes.events.first().map(|event| EventId(event.event_id)));
        let last = next.unwrap_or_else(|| state.next_event_id()).previous();
        Self { size: state.local.history_size, count: last.0 }
    }
}
