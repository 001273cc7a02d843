//! The workflow task: at most one is pending, and failed attempts in a row leave one event, not many (api 3.1 to 3.6).

use alloc::string::String;
use core::time::Duration;

use crate::{ids::EventId, time::Timestamp, version::FailoverVersion};

/// The workflow task and the streak of attempts it belongs to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkflowTasks {
    /// The one that is scheduled or started.
    pub pending: Option<WorkflowTask>,
    /// Attempt that the next task will have: 1 unless a streak of failures goes on.
    pub next_attempt: i32,
    /// Started event of the last completed task, or none.
    pub last_completed_started: EventId,
    /// Completed event of the last completed task, or none.
    pub last_completed: EventId,
}

/// A workflow task.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkflowTask {
    /// Version of the task.
    pub version: FailoverVersion,
    /// Its scheduled event. For a transient task (attempt above 1) the id such an event would have had.
    pub scheduled: EventId,
    /// When it was scheduled.
    pub scheduled_time: Timestamp,
    /// When the chain of heartbeats that it belongs to began (api 3.7).
    pub original_scheduled_time: Timestamp,
    /// 1 for a task whose events are in the history; more for a transient one.
    pub attempt: i32,
    /// How long it may take once started.
    pub timeout: Duration,
    /// Whether it was scheduled on the sticky queue.
    pub sticky: bool,
    /// Its start, if a worker has it. Of a transient task nothing is replicated but that it is scheduled.
    pub started: Option<WorkflowTaskStart>,
}

/// A workflow task in a worker's hands.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkflowTaskStart {
    /// The started event; of a transient task the id such an event would have had.
    pub event: EventId,
    /// When.
    pub time: Timestamp,
    /// Names the attempt to take it.
    pub request_id: String,
    /// Who has it.
    pub identity: String,
    /// Bytes of history at that time; part of the event.
    pub history_size: i64,
    /// Whether the worker was told to continue as new.
    pub suggest_continue_as_new: bool,
}

impl WorkflowTask {
    /// Whether the history does not show it until it completes.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.attempt > 1
    }
}
