//! The kinds of task, each naming the event and version it was generated from, so that it can be recognised as stale.

use crate::{
    history::Branch,
    ids::{EventId, RunId, RunKey},
    task::{Category, TaskKey},
    version::FailoverVersion,
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

/// What a task wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskKind {
    /// Hand something to matching.
    Transfer(TransferTask),
    /// Do something when its time has come.
    Timer(TimerTask),
    /// Tell other clusters.
    Replication(ReplicationTask),
}

impl TaskKind {
    /// The queue that holds tasks of this kind.
    #[must_use]
    pub fn category(&self) -> Category {
        match self {
            Self::Transfer(_) => Category::Transfer,
            Self::Timer(_) => Category::Timer,
            Self::Replication(_) => Category::Replication,
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

/// A task for other clusters.
#[derive(Clone, Debug, PartialEq)]
pub enum ReplicationTask {
    /// Events were written.
    History {
        /// Branch that holds them.
        branch: Branch,
        /// First event, inclusive.
        first: EventId,
        /// After the last event.
        next: EventId,
        /// The run that was started in the same transaction, with its first events.
        new_run: Option<NewRun>,
    },
    /// An activity changed without an event.
    SyncActivity {
        /// Its scheduled event.
        scheduled: EventId,
    },
}

/// A run that a transaction started beside its own (continue-as-new and the like).
#[derive(Clone, Debug, PartialEq)]
pub struct NewRun {
    /// The run.
    pub run: RunId,
    /// Branch that holds its first batch.
    pub branch: Branch,
    /// After the last event of that batch.
    pub next: EventId,
}
