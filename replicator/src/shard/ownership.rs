//! Whether the shard is ours, and the sequence of ids that ownership brings.

use super::io::LoadId;
use crate::{ids::RangeId, workflow::draft::TaskIds};

/// Whether the shard is ours.
#[derive(Debug)]
pub(super) enum Ownership {
    /// Not yet asked for.
    None,
    /// Asked for; the answer brings the range.
    Acquiring {
        /// The question.
        load: LoadId,
        /// Whether the range is to be far above all others.
        leaps: bool,
    },
    /// Ours, under this range: every write names it.
    Owned {
        /// The range.
        range: RangeId,
        /// Ids for events and tasks.
        ids: TaskIds,
        /// Whether it is about to be another host's: nothing is decided any more.
        is_leaving: bool,
    },
}

impl Ownership {
    /// The shard was taken over under `range`.
    pub(super) fn become_owned(&mut self, range: RangeId) {
        assert!(matches!(self, Self::Acquiring { .. }), "a shard is acquired before it is owned");
        *self = Self::Owned { range, ids: TaskIds::of_range(range), is_leaving: false };
    }

    /// The shard is to be another host's.
    pub(super) fn leave(&mut self) {
        match self {
            Self::Owned { is_leaving, .. } => *is_leaving = true,
            Self::None | Self::Acquiring { .. } => *self = Self::None,
        }
    }

    /// Whether decisions may be made: the shard is and stays ours, and its ids will last for the largest decision.
    pub(super) fn is_owned(&self) -> bool {
        matches!(self, Self::Owned { ids, is_leaving: false, .. } if ids.left() > RESERVE)
    }

    /// Whether the range is nearly used up, and another one is wanted.
    pub(super) fn is_exhausted(&self) -> bool {
        matches!(self, Self::Owned { ids, is_leaving: false, .. } if ids.left() <= RESERVE)
    }
}

/// More ids than one transaction draws: a completed workflow task may record 2,000 events and schedule as many tasks.
const RESERVE: i64 = 1 << 16;
