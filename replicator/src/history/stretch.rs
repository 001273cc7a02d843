//! Stretches of stored history that were read back.

use alloc::{collections::BTreeMap, vec::Vec};

use super::{Branch, HistoryBatch};
use crate::ids::EventId;

/// A stretch of a branch, from where a batch begins to where one ends.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Stretch {
    /// The branch.
    pub branch: Branch,
    /// First event.
    pub first: EventId,
    /// Exclusive.
    pub end: EventId,
}

/// What was read, by what was asked for. What is not here has to be read before it can be decided upon.
pub type Stretches = BTreeMap<Stretch, Vec<HistoryBatch>>;
