//! All branches of one run, and which of them is current.

use alloc::{vec, vec::Vec};

use super::{VersionHistory, VersionHistoryItem};
use crate::history::branch::Branch;

/// One branch: where its events lie, and who wrote them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BranchHistory {
    /// Where the events lie.
    pub branch: Branch,
    /// Who wrote them.
    pub versions: VersionHistory,
}

/// The branches of one run (VH-1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VersionHistories {
    /// Never empty.
    histories: Vec<BranchHistory>,
    /// Index into `histories` of the branch that mutable state summarises.
    current: usize,
}

impl VersionHistories {
    /// A run with one branch.
    #[must_use]
    pub fn new(branch: Branch, versions: VersionHistory) -> Self {
        Self { histories: vec![BranchHistory { branch, versions }], current: 0 }
    }

    /// Accept branches from storage; `None` when there are none or `current` is not one of them.
    #[must_use]
    pub fn from_parts(histories: Vec<BranchHistory>, current: usize) -> Option<Self> {
        (current < histories.len()).then_some(Self { histories, current })
    }

    /// The branch that mutable state summarises.
    #[must_use]
    pub fn current(&self) -> &BranchHistory {
        &self.histories[self.current]
    }

    /// Index of the current branch.
    #[must_use]
    pub fn current_index(&self) -> usize {
        self.current
    }

    /// All branches, oldest first.
    #[must_use]
    pub fn all(&self) -> &[BranchHistory] {
        &self.histories
    }

    /// Record that the current branch now ends at `item`.
    pub fn append(&mut self, item: VersionHistoryItem) {
        self.histories[self.current].versions.append(item);
    }

    /// The branch that shares most with `incoming`, and the last event they share; of equals the one with fewer
    /// stretches (VH-5). `None` when no branch shares anything.
    #[must_use]
    pub fn lowest_common_ancestor(&self, incoming: &VersionHistory) -> Option<(usize, VersionHistoryItem)> {
        let shared = self.histories.iter().enumerate().filter_map(|(index, history)| {
            history.versions.lowest_common_ancestor(incoming).map(|item| (index, item, history.versions.items().len()))
        });
        shared
            .max_by(|a, b| a.1.event_id.cmp(&b.1.event_id).then(b.2.cmp(&a.2)).then(b.0.cmp(&a.0)))
            .map(|(index, item, _)| (index, item))
    }

    /// The branch on which this event lies, current first.
    #[must_use]
    pub fn containing(&self, item: VersionHistoryItem) -> Option<&BranchHistory> {
        core::iter::once(self.current()).chain(&self.histories).find(|history| history.versions.contains(item))
    }
}
