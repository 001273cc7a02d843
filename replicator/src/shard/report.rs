//! What a shard reports of itself.

use alloc::string::String;

use super::io::CommitOutcome;
use crate::{
    ids::{ClusterId, NamespaceId, RangeId, RunId, RunKey, TaskId, WorkflowKey},
    time::Timestamp,
    version::{FailoverVersion, VersionHistory},
    workflow::limits::Measure,
};

/// Happenings that operators count or read. None of them needs an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// The shard decides from now on.
    Ready {
        /// Its range.
        range: RangeId,
        /// Tasks that its queues hold.
        tasks: usize,
    },
    /// The shard was taken by someone else, or a write is in doubt; it is being acquired again.
    OwnershipLost {
        /// What showed it.
        outcome: CommitOutcome,
    },
    /// A run was not stored as this shard thought. It is read again.
    ConditionFailed {
        /// The workflow.
        workflow: Option<WorkflowKey>,
    },
    /// A namespace is active here from now on.
    Promoted {
        /// The namespace.
        namespace: NamespaceId,
        /// Its version.
        version: FailoverVersion,
        /// Streams on which the cluster that was active has not said that it settled.
        unheard: usize,
    },
    /// A peer's task is durable here.
    Applied {
        /// The peer.
        from: ClusterId,
        /// When it wrote the task.
        written: Timestamp,
    },
    /// A peer made something else of the same events.
    DigestDiffers {
        /// The run.
        run: RunKey,
        /// The peer.
        from: ClusterId,
    },
    /// A peer's task cannot be applied. It is kept, with all that is told of its run from here on.
    Refused {
        /// The peer.
        from: ClusterId,
        /// The task.
        task: TaskId,
        /// The run, if the task names one.
        run: Option<RunKey>,
        /// Why.
        reason: String,
    },
    /// A task that was kept is gone: it was applied after all, or an operator let it go.
    Released {
        /// The peer.
        from: ClusterId,
        /// The task.
        task: TaskId,
        /// Its run.
        run: RunKey,
    },
    /// A peer no longer has all the tasks that it did not tell. It is asked for everything.
    Gap {
        /// The peer.
        from: ClusterId,
    },
    /// A peer was away for longer than tasks are kept for it. It is told so, and will ask for everything.
    GapTold {
        /// The peer.
        to: ClusterId,
    },
    /// A peer tells of a namespace that is not known here, and its record does not come: its tasks are let go. All of it will
    /// be asked for when it is known.
    Forsaken {
        /// The namespace.
        namespace: NamespaceId,
        /// The peer.
        from: ClusterId,
    },
    /// The store was brought back from a backup. Every cluster is asked for what it has.
    Restored {
        /// So many namespaces wait for that.
        namespaces: usize,
    },
    /// All that other clusters have of a namespace was told again after the store was brought back.
    Recovered {
        /// The namespace.
        namespace: NamespaceId,
    },
    /// A run cannot be told to a peer that asked for everything, because it cannot be read.
    Untold {
        /// The run.
        run: RunKey,
        /// The peer.
        to: ClusterId,
        /// Why.
        reason: String,
    },
    /// Two branches of a run were written in two clusters, and the current one gave way to that of the higher version.
    Conflict {
        /// The run.
        run: RunKey,
        /// The branch that is current.
        won: VersionHistory,
        /// The branch that was.
        lost: VersionHistory,
    },
    /// Events of a run were found to be on a branch that is not current.
    Lost {
        /// The run.
        run: RunKey,
        /// How many.
        events: i64,
        /// Their bytes.
        bytes: i64,
    },
    /// The history of a run has become larger than operators want to know of.
    Grown {
        /// The run.
        run: RunKey,
        /// By which measure.
        measure: Measure,
        /// What there is of it.
        now: i64,
    },
    /// A run was terminated, because its history was or would have become larger than it may.
    Outgrown {
        /// The run.
        run: RunKey,
        /// By which measure.
        measure: Measure,
        /// What there was of it, or would have been.
        now: i64,
    },
    /// Inputs of losing branches were looked through.
    Reapplied {
        /// The run whose branches they are on.
        from: RunKey,
        /// The workflow's current run.
        into: Option<RunId>,
        /// Inputs that it was given.
        given: usize,
        /// Inputs that it had.
        known: usize,
        /// Inputs that nobody can be given any more, because the workflow is over.
        lost: usize,
    },
}
