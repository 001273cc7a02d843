//! Order of a queue.

use crate::{ids::TaskId, time::Timestamp};

/// Which queue of the shard a task belongs to. The numbers are stored (RT-1).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Category {
    /// To be handed to matching at once.
    Transfer = 1,
    /// To be done at a time.
    Timer = 2,
    /// To be told to other clusters.
    Replication = 3,
    /// To be told to the visibility store.
    Visibility = 4,
    /// Told by a peer, and not applied.
    Quarantine = 16,
    /// About runs that diverged: nothing to do, but to be found.
    Divergence = 17,
    /// Runs that were deleted.
    Tombstone = 18,
}

/// Position of a task in its queue.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TaskKey {
    /// When the task is due; [`Timestamp::ZERO`] in queues that wait for no time.
    pub fire_time: Timestamp,
    /// Number from the shard's sequence.
    pub id: TaskId,
}
