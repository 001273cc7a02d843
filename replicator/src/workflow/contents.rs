//! What stands for the events of each branch of a run, kept up to date with every batch, so that two clusters compare
//! histories without reading them.

use alloc::vec::Vec;

use crate::history::{HistoryBatch, content};

/// By index of the branch. Of a branch as it is stored: what a draft adds counts when the draft is closed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Contents(Vec<u64>);

impl Contents {
    /// Read from storage.
    #[must_use]
    pub fn new(contents: Vec<u64>) -> Self {
        Self(contents)
    }

    /// For all branches.
    #[must_use]
    pub fn all(&self) -> &[u64] {
        &self.0
    }

    /// A batch is added to a branch.
    pub fn add(&mut self, branch: usize, batch: &HistoryBatch) {
        let sum = self.of(branch).wrapping_add(content::content(batch.bytes()));
        self.set(branch, sum);
    }

    /// A branch consists of these batches.
    pub fn make(&mut self, branch: usize, batches: &[HistoryBatch]) {
        self.set(branch, content::sum(batches));
    }

    /// A branch forks from another one, which has `behind` behind the fork.
    pub fn fork(&mut self, from: usize, branch: usize, behind: &[HistoryBatch]) {
        let sum = self.of(from).wrapping_sub(content::sum(behind));
        self.set(branch, sum);
    }

    fn of(&self, branch: usize) -> u64 {
        self.0.get(branch).copied().unwrap_or_default()
    }

    fn set(&mut self, branch: usize, sum: u64) {
        if self.0.len() <= branch {
            self.0.resize(branch + 1, 0);
        }
        self.0[branch] = sum;
    }
}
