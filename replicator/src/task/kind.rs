//! The kinds of task, each naming the event and version it was generated from, so that it can be recognised as stale.

use alloc::{boxed::Box, string::String};

use bytes::Bytes;

use crate::{
    history::Branch,
    ids::{ClusterId, EventId, RunId, RunKey},
    task::{Category, Quarantined, TaskKey},
    time::Timestamp,
    version::{FailoverVersion, VersionHistory, VersionHistoryItem},
    workflow::reset::Base,
};

/// A task as it rests in a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryTask {
    /// Its place in the queue.
    pub key: TaskKey,
    /// The run it is about.
    pub run: RunKey,
    /// Version of the event or item that caused it (TK-1).
    pub version: FailoverVersion,
    /// What to do.
    pub kind: TaskKind,
}

impl HistoryTask {
    /// Whether it is told to a cluster that has the namespace.
    #[must_use]
    pub fn is_for(&self, cluster: ClusterId) -> bool {
        let TaskKind::Replication(told) = &self.kind else { return false };
        told.to().is_none_or(|to| to == cluster)
    }
}

/// What a task wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskKind {
    /// Hand something to matching.
    Transfer(TransferTask),
    /// Do something when its time has come.
    Timer(TimerTask),
    /// Tell other clusters.
    Replication(ReplicationTask),
    /// Apply what a peer told, which could not be applied so far.
    Quarantined(Box<Quarantined>),
    /// The run has branches that lost, or lost itself. Nothing is to be done: operators find it here.
    Diverged,
    /// Nothing: it stands for a run that was deleted when this was its last event.
    Tombstone(VersionHistoryItem),
}

impl TaskKind {
    /// The queue that holds tasks of this kind.
    #[must_use]
    pub fn category(&self) -> Category {
        match self {
            Self::Transfer(_) => Category::Transfer,
            Self::Timer(_) => Category::Timer,
            Self::Replication(_) => Category::Replication,
            Self::Quarantined(_) => Category::Quarantine,
            Self::Diverged => Category::Divergence,
            Self::Tombstone(_) => Category::Tombstone,
        }
    }
}

/// A task for matching. It stays in its queue until the worker's start is durable, so that matching keeps no store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TransferTask {
    /// A workflow task waits for a worker.
    Workflow {
        /// Its scheduled event.
        scheduled: EventId,
        /// Its attempt.
        attempt: i32,
    },
    /// An activity waits for a worker.
    Activity {
        /// Its scheduled event.
        scheduled: EventId,
        /// Its attempt.
        attempt: i32,
    },
    /// Inputs of a losing branch are to be put into the current run, by the cluster that is active. Not for matching: it
    /// rests in this queue because it is to be done at once, wherever the namespace is active.
    Reapply,
    /// The run is to be removed, as its caller was told. Not for matching either, and to be done wherever it was asked.
    Delete,
}

/// A task with a time. What is due is read from state when it fires; the task only says where to look.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TimerTask {
    /// A started workflow task was not completed.
    WorkflowTaskStartToClose {
        /// Its scheduled event.
        scheduled: EventId,
        /// Its attempt.
        attempt: i32,
    },
    /// No worker took a sticky workflow task.
    WorkflowTaskScheduleToStart {
        /// Its scheduled event.
        scheduled: EventId,
        /// Its attempt.
        attempt: i32,
    },
    /// The earliest of all timeouts of the run's activities.
    ActivityTimeout,
    /// An activity's next attempt is due.
    ActivityRetry {
        /// Its scheduled event.
        scheduled: EventId,
        /// The attempt that is due.
        attempt: i32,
    },
    /// The earliest of the run's timers.
    UserTimer,
    /// The first workflow task of a delayed run is due.
    WorkflowBackoff,
    /// The run has used its time.
    RunTimeout,
    /// The chain of runs has used its time.
    ExecutionTimeout,
    /// The closed run was kept long enough.
    Retention,
}

/// A task for other clusters. It holds all that is told but the events, so that telling needs no look at the run.
#[derive(Clone, Debug, PartialEq)]
pub enum ReplicationTask {
    /// Events were written.
    History(Box<HistoryStretch>),
    /// An activity changed without an event.
    SyncActivity {
        /// When the transaction was decided.
        written: Timestamp,
        /// Its scheduled event.
        scheduled: EventId,
        /// What the peer is told: an encoded `temporal.server.api.replication.v1.SyncActivityTaskAttributes`.
        attributes: Bytes,
        /// The one cluster that it is for; `None`: every peer.
        to: Option<ClusterId>,
    },
    /// The run was deleted.
    Deletion {
        /// When the transaction was decided.
        written: Timestamp,
        /// Its last event then: a peer that has more of it keeps it.
        last: VersionHistoryItem,
    },
}

impl ReplicationTask {
    /// The one cluster that it is for; `None`: every peer.
    #[must_use]
    pub fn to(&self) -> Option<ClusterId> {
        match self {
            Self::History(stretch) => stretch.to,
            Self::SyncActivity { to, .. } => *to,
            Self::Deletion { .. } => None,
        }
    }
}

/// A batch of events that a transaction wrote, and the run that it started, if it did.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryStretch {
    /// When the transaction was decided.
    pub written: Timestamp,
    /// The batch.
    pub batch: WrittenBatch,
    /// The run that was started in the same transaction, with its first batch.
    pub new_run: Option<(RunId, WrittenBatch)>,
    /// With the first batch of a run that a reset made: the run whose history it shares up to there.
    pub base: Option<Base>,
    /// The one cluster that it is for; `None`: every peer.
    pub to: Option<ClusterId>,
}

/// Where a batch lies and what its run was afterwards.
#[derive(Clone, Debug, PartialEq)]
pub struct WrittenBatch {
    /// Branch that holds it.
    pub branch: Branch,
    /// Version history of the branch, up to the end of the transaction.
    pub versions: VersionHistory,
    /// First event, inclusive.
    pub first: EventId,
    /// After the last event.
    pub next: EventId,
    /// Request that started the run, told with its first batch (api 6.8); else empty.
    pub start_request_id: String,
    /// Digest of the run's state after the transaction ([`MutableState::digest`](crate::workflow::MutableState::digest)),
    /// for the peer to compare. Only with the last task of a transaction, for the others stop halfway.
    pub digest: Option<u64>,
}
