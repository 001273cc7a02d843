//! All branches of one run, and which of them is current.

use alloc::{vec, vec::Vec};

use super::{VersionHistory, VersionHistoryItem};
use crate::{
    defects::{Defect, planted},
    entropy::Entropy,
    history::branch::Branch,
};

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

    /// Accept branches from storage; `None` when `current` is not one of them, or when they are not branches of one run:
    /// those begin under one version (VH-2).
    #[must_use]
    pub fn from_parts(histories: Vec<BranchHistory>, current: usize) -> Option<Self> {
        let begun_under = |history: &BranchHistory| history.versions.items()[0].version;
        let is_one_run = histories.windows(2).all(|pair| begun_under(&pair[0]) == begun_under(&pair[1]));
        (current < histories.len() && is_one_run).then_some(Self { histories, current })
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
        self.append_to(self.current, item);
    }

    /// Record that a branch now ends at `item`.
    pub fn append_to(&mut self, index: usize, item: VersionHistoryItem) {
        self.histories[index].versions.append(item);
    }

    /// Add a branch that shares everything up to and including `item` with the branch at `from`, and begins to differ
    /// after it. Not made current. Answers its index.
    pub fn fork(&mut self, from: usize, item: VersionHistoryItem, entropy: &mut Entropy) -> usize {
        let parent = &self.histories[from];
        let fork = BranchHistory {
            branch: parent.branch.fork(item.event_id.next(), entropy),
            versions: parent.versions.truncated(item),
        };
        self.histories.push(fork);
        self.histories.len() - 1
    }

    /// From now on mutable state summarises the branch at `index`.
    pub fn switch(&mut self, index: usize) {
        assert!(index < self.histories.len(), "a branch of the run");
        self.current = index;
    }

    /// The branch that shares most with `incoming`, and the last event they share; of equals the one with fewer
    /// stretches (VH-5). `None` when no branch shares anything.
    #[must_use]
    pub fn lowest_common_ancestor(&self, incoming: &VersionHistory) -> Option<(usize, VersionHistoryItem)> {
        let shared = self.histories.iter().enumerate().filter_map(|(index, history)| {
            history.versions.lowest_common_ancestor(incoming).map(|item| (index, item, history.versions.items().len()))
        });
        let counts = shared.take(if planted(Defect::AncestorIsTheFirst) { 1 } else { usize::MAX });
        counts
            .max_by(|a, b| a.1.event_id.cmp(&b.1.event_id).then(b.2.cmp(&a.2)).then(b.0.cmp(&a.0)))
            .map(|(index, item, _)| (index, item))
    }

    /// The branch on which this event lies, current first.
    #[must_use]
    pub fn containing(&self, item: VersionHistoryItem) -> Option<&BranchHistory> {
        core::iter::once(self.current()).chain(&self.histories).find(|history| history.versions.contains(item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::history::notation::{branch, item};
    use std::{format, string::String, string::ToString};

    /// Branches as `3@1 5@2 | 3@1 6@3`.
    #[test]
    fn of_branches_that_share_as_much_the_simpler_one_counts() {
        check("3@1 5@2 | 3@1 6@3", "3@1 4@2", "0 at 4@2");
        check("3@1 5@2 | 3@1 6@3", "3@1 8@3", "1 at 6@3");
        check("3@1 5@2 7@12 | 3@1 6@3", "3@1 4@4", "1 at 3@1");
        check("3@1 5@2 | 3@1 6@3", "3@1 4@4", "0 at 3@1");
        check("3@1 | 2@1 6@3", "4@2", "none");
    }

    #[test]
    fn a_fork_shares_what_lies_before_it_and_is_not_current() {
        let mut entropy = Entropy::new(3);
        let root = Branch::root(entropy.run_id(), &mut entropy);
        let mut histories = VersionHistories::new(root, branch("3@1 6@2"));
        let fork = histories.fork(0, item("4@2"), &mut entropy);
        histories.append_to(fork, item("5@3"));
        assert_eq!((histories.current_index(), picture(&histories)), (0, "3@1 6@2 | 3@1 4@2 5@3".to_string()));
        histories.switch(fork);
        histories.append(item("7@3"));
        assert_eq!(picture(&histories), "3@1 6@2 | 3@1 4@2 7@3");
        assert_eq!(histories.all()[1].branch.begin().0, 5);
    }

    #[track_caller]
    fn check(known: &str, incoming: &str, expected: &str) {
        let mut entropy = Entropy::new(3);
        let root = Branch::root(entropy.run_id(), &mut entropy);
        let known = known.split('|').map(|items| BranchHistory { branch: root.clone(), versions: branch(items) });
        let histories = VersionHistories::from_parts(known.collect(), 0).unwrap();
        let found = histories.lowest_common_ancestor(&branch(incoming));
        let found = found.map_or("none".to_string(), |(index, item)| format!("{index} at {item}"));
        assert_eq!(found, expected);
    }

    fn picture(histories: &VersionHistories) -> String {
        histories.all().iter().map(|h| h.versions.to_string()).collect::<Vec<_>>().join(" | ")
    }
}
