//! Tasks of a run that rest in the shard's queues.
//!
//! Which tasks a run needs follows from its state (`task_generation.rs`). What it needs and does not have is added, what
//! it has and does not need is deleted, in the transaction that changed the state. So no task outlives its reason, and
//! a promoted run is never without one.

use crate::{ids::EventId, task::TaskKey};

/// Tasks of a run, but for those of single activities, which their entries hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outstanding {
    /// Hands the workflow task to matching.
    pub workflow_task: Option<WorkflowTaskRef>,
    /// Ends the started workflow task.
    pub workflow_task_start_to_close: Option<WorkflowTaskRef>,
    /// Takes the workflow task from the sticky queue.
    pub workflow_task_schedule_to_start: Option<WorkflowTaskRef>,
    /// Looks at the activities' timeouts; never later than the earliest.
    pub activity_timeout: Option<TaskKey>,
    /// Looks at the timers; never later than the earliest.
    pub user_timer: Option<TaskKey>,
    /// Schedules the first workflow task of a delayed run.
    pub backoff: Option<TaskKey>,
    /// Ends the run.
    pub run_timeout: Option<TaskKey>,
    /// Ends the chain.
    pub execution_timeout: Option<TaskKey>,
    /// Deletes the closed run.
    pub retention: Option<TaskKey>,
}

/// A task that speaks of one attempt of the workflow task.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WorkflowTaskRef {
    /// Scheduled event.
    pub scheduled: EventId,
    /// Attempt.
    pub attempt: i32,
    /// Its place.
    pub key: TaskKey,
}
