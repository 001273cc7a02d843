//! Runs that were deleted, so that what is told of them late does not bring them back.
//!
//! A tombstone says how far the run had come. What a peer tells that goes no further is late, and is dropped. What goes
//! further was written by a cluster that did not know of the deletion: then the run is there again, whole, fetched from its
//! first event. A tombstone rests in a queue of its own for as long as the run would have been kept.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use super::{
    Shard,
    flight::InFlight,
    io::{Output, Transaction},
    ownership::Ownership,
};
use crate::{
    ids::{RunId, RunKey, TaskId, WorkflowKey},
    task::{Category, HistoryTask, TaskKey, TaskKind},
    time::Timestamp,
    version::{FailoverVersion, VersionHistoryItem},
};

/// The tombstones of a shard.
#[derive(Debug, Default)]
pub(super) struct Tombstones {
    by_run: BTreeMap<WorkflowKey, BTreeMap<RunId, (TaskKey, VersionHistoryItem)>>,
    due: BTreeMap<TaskKey, RunKey>,
    /// Those that are being removed.
    leaving: BTreeSet<TaskKey>,
}

impl Tombstones {
    /// A tombstone rests in the store. Of several for one run the last counts.
    pub(super) fn add(&mut self, task: &HistoryTask) {
        let TaskKind::Tombstone(last) = task.kind else { return };
        let runs = self.by_run.entry(task.run.workflow.clone()).or_default();
        let entry = runs.entry(task.run.run).or_insert((task.key, last));
        if order(entry.1) <= order(last) {
            *entry = (task.key, last);
        }
        self.due.insert(task.key, task.run.clone());
    }

    /// A tombstone is gone from the store.
    pub(super) fn remove(&mut self, key: TaskKey) {
        self.leaving.remove(&key);
        let Some(run) = self.due.remove(&key) else { return };
        let Some(runs) = self.by_run.get_mut(&run.workflow) else { return };
        if runs.get(&run.run).is_some_and(|(known, _)| *known == key) {
            runs.remove(&run.run);
        }
        if runs.is_empty() {
            self.by_run.remove(&run.workflow);
        }
    }

    /// The highest version that deleted runs of a workflow had.
    pub(super) fn highest(&self, key: &WorkflowKey) -> Option<FailoverVersion> {
        self.by_run.get(key)?.values().map(|(_, last)| last.version).max()
    }

    /// Whether the run was deleted when it had come so far, or further.
    pub(super) fn covers(&self, workflow: &WorkflowKey, run: RunId, last: VersionHistoryItem) -> bool {
        let known = self.by_run.get(workflow).and_then(|runs| runs.get(&run));
        known.is_some_and(|(_, deleted)| order(last) <= order(*deleted))
    }

    /// When the next one has stood long enough.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.due.keys().find(|key| !self.leaving.contains(key)).map(|key| key.fire_time)
    }

    fn take_due(&mut self, now: Timestamp) -> Vec<TaskKey> {
        let due = self.due.keys().take_while(|key| key.fire_time <= now).filter(|key| !self.leaving.contains(key));
        let due: Vec<TaskKey> = due.take(AT_ONCE).copied().collect();
        self.leaving.extend(&due);
        due
    }

    /// Forget everything, because the store is about to be read again.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Shard {
    /// Remove tombstones that have stood long enough.
    pub(super) fn remove_tombstones(&mut self, now: Timestamp) {
        let Ownership::Owned { range, .. } = &self.ownership else { return };
        let range = *range;
        let due = self.tombstones.take_due(now);
        if due.is_empty() {
            return;
        }
        let completed: Vec<_> = due.into_iter().map(|key| (Category::Tombstone, key)).collect();
        let transaction =
            Transaction { completed: completed.clone(), ..Transaction::of(self.next_transaction(), self.id, range) };
        let flight = InFlight { lowest: TaskId(i64::MAX), completed, ..InFlight::default() };
        self.in_flight.insert(transaction.id, flight);
        self.outbox.begin(transaction.id, Output::Commit(Box::new(transaction)));
    }

    /// Tombstones could not be removed; they are tried again.
    pub(super) fn keep_tombstones(&mut self, completed: &[(Category, TaskKey)]) {
        for (category, key) in completed {
            if *category == Category::Tombstone {
                self.tombstones.leaving.remove(key);
            }
        }
    }
}

/// Under one version one cluster writes, so this is the order of writing.
fn order(item: VersionHistoryItem) -> (crate::version::FailoverVersion, crate::ids::EventId) {
    (item.version, item.event_id)
}

/// So many are removed with one write.
const AT_ONCE: usize = 256;
