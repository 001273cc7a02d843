//! Tasks of a run that rest in the shard's queues.
//!
//! Which tasks a run needs follows from its state (`task_generation.rs`). What it needs and does not have is added, what
//! it has and does not need is deleted, in the transaction that changed the state. So no task outlives its reason, and
//! a promoted run is never without one.

use super::MutableState;
use crate::{
    ids::EventId,
    task::{Category, HistoryTask, TaskKey, TaskKind, TimerTask, TransferTask},
    version::FailoverVersion,
};

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
    /// Puts what a losing branch holds into the current run.
    pub reapply: Option<TaskKey>,
    /// Lets operators find a run that diverged.
    pub diverged: Option<TaskKey>,
    /// Removes the run.
    pub deletion: Option<TaskKey>,
}

/// A task that speaks of one attempt of the workflow task.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WorkflowTaskRef {
    /// Scheduled event.
    pub scheduled: EventId,
    /// Attempt.
    pub attempt: i32,
    /// Whether it goes to the sticky queue.
    pub sticky: bool,
    /// Version of the task that it speaks of; under another one it is stale (TK-2).
    pub version: FailoverVersion,
    /// Its place.
    pub key: TaskKey,
}

impl Outstanding {
    /// All of them; [`MutableState::outstanding`] has those of activities as well.
    pub fn all(&self) -> impl Iterator<Item = (Category, TaskKey)> {
        let attempt = |task: Option<WorkflowTaskRef>| task.map(|task| task.key);
        let timers = [
            attempt(self.workflow_task_start_to_close),
            attempt(self.workflow_task_schedule_to_start),
            self.activity_timeout,
            self.user_timer,
            self.backoff,
            self.run_timeout,
            self.execution_timeout,
            self.retention,
        ];
        let transfer = attempt(self.workflow_task).into_iter().chain(self.reapply).chain(self.deletion);
        let transfer = transfer.map(|key| (Category::Transfer, key));
        let diverged = self.diverged.map(|key| (Category::Divergence, key));
        transfer.chain(timers.into_iter().flatten().map(|key| (Category::Timer, key))).chain(diverged)
    }
}

impl MutableState {
    /// All tasks of the run that rest in the shard's queues.
    pub fn outstanding(&self) -> impl Iterator<Item = (Category, TaskKey)> {
        let category = |is_retry| if is_retry { Category::Timer } else { Category::Transfer };
        let activities = self.activities.table.iter().filter_map(|(_, activity)| activity.task);
        self.local.outstanding.all().chain(activities.map(move |task| (category(task.is_retry), task.key)))
    }

    /// A queued task is done with: it fired, or it was found to be about something that is over. What still needs it gets
    /// another one when the draft is closed. Whether the run knew the task.
    pub fn forget_task(&mut self, task: &HistoryTask) -> bool {
        let outstanding = &mut self.local.outstanding;
        match &task.kind {
            TaskKind::Transfer(TransferTask::Workflow { .. }) => forget_ref(&mut outstanding.workflow_task, task.key),
            TaskKind::Transfer(TransferTask::Reapply) => forget(&mut outstanding.reapply, task.key),
            TaskKind::Transfer(TransferTask::Delete) => forget(&mut outstanding.deletion, task.key),
            TaskKind::Transfer(TransferTask::Activity { scheduled, .. })
            | TaskKind::Timer(TimerTask::ActivityRetry { scheduled, .. }) => {
                self.activities.forget_task(*scheduled, task.key)
            }
            TaskKind::Timer(timer) => match timer {
                TimerTask::WorkflowTaskStartToClose { .. } => {
                    forget_ref(&mut outstanding.workflow_task_start_to_close, task.key)
                }
                TimerTask::WorkflowTaskScheduleToStart { .. } => {
                    forget_ref(&mut outstanding.workflow_task_schedule_to_start, task.key)
                }
                TimerTask::ActivityTimeout => forget(&mut outstanding.activity_timeout, task.key),
                TimerTask::UserTimer => forget(&mut outstanding.user_timer, task.key),
                TimerTask::WorkflowBackoff => forget(&mut outstanding.backoff, task.key),
                TimerTask::RunTimeout => forget(&mut outstanding.run_timeout, task.key),
                TimerTask::ExecutionTimeout => forget(&mut outstanding.execution_timeout, task.key),
                TimerTask::Retention => forget(&mut outstanding.retention, task.key),
                TimerTask::ActivityRetry { .. } => unreachable!("matched above"),
            },
            TaskKind::Replication(_) | TaskKind::Quarantined(_) | TaskKind::Diverged | TaskKind::Tombstone(_) => false,
        }
    }
}

fn forget(slot: &mut Option<TaskKey>, key: TaskKey) -> bool {
    slot.take_if(|known| *known == key).is_some()
}

fn forget_ref(slot: &mut Option<WorkflowTaskRef>, key: TaskKey) -> bool {
    slot.take_if(|known| known.key == key).is_some()
}
