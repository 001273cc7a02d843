//! The workflow task: at most one is pending, and failed attempts in a row leave one event, not many (api 3.1 to 3.6).

use alloc::string::String;
use core::time::Duration;

use proto::temporal::api::{
    enums::v1::{TaskQueueKind, TimeoutType, WorkflowTaskFailedCause},
    history::v1::{
        WorkflowTaskCompletedEventAttributes, WorkflowTaskFailedEventAttributes, WorkflowTaskScheduledEventAttributes,
        WorkflowTaskStartedEventAttributes, WorkflowTaskTimedOutEventAttributes,
    },
};

use super::apply::{At, Reason};
use crate::{
    ids::EventId,
    time::{Timestamp, duration},
    version::FailoverVersion,
};

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
    /// When the chain of heartbeats began that the last completed task belongs to. A task that is scheduled by the event
    /// right after a completion continues its chain, for then the completion brought nothing (api 3.7).
    pub last_completed_original: Timestamp,
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
    /// Number in its streak of attempts; the first is 1.
    pub attempt: i32,
    /// Whether the history shows that it was scheduled. It does not of a transient task, until that completes.
    pub is_recorded: bool,
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

impl WorkflowTasks {
    /// Takes the place of a transient task: that one is now recorded, or given up for a fresh one.
    pub(super) fn apply_scheduled(
        &mut self,
        at: At,
        attributes: &WorkflowTaskScheduledEventAttributes,
    ) -> Result<(), Reason> {
        if self.pending.as_ref().is_some_and(|task| task.is_recorded) {
            return Err("a workflow task is pending");
        }
        let continues = self.last_completed > EventId::NONE && at.event == self.last_completed.next();
        let attempt = attributes.attempt.max(1);
        self.next_attempt = attempt;
        self.pending = Some(WorkflowTask {
            version: at.version,
            scheduled: at.event,
            scheduled_time: at.time,
            original_scheduled_time: if continues { self.last_completed_original } else { at.time },
            attempt,
            is_recorded: true,
            timeout: non_zero(duration(attributes.start_to_close_timeout.as_ref())),
            sticky: attributes.task_queue.as_ref().is_some_and(|queue| queue.kind == i32::from(TaskQueueKind::Sticky)),
            started: None,
        });
        Ok(())
    }

    pub(super) fn apply_started(
        &mut self,
        at: At,
        attributes: &WorkflowTaskStartedEventAttributes,
    ) -> Result<(), Reason> {
        let task = self.recorded(attributes.scheduled_event_id)?;
        if task.started.is_some() {
            return Err("the workflow task is started");
        }
        // Whoever started it answers for it from here on (MU-6).
        task.version = at.version;
        task.started = Some(WorkflowTaskStart {
            event: at.event,
            time: at.time,
            request_id: attributes.request_id.clone(),
            identity: attributes.identity.clone(),
            history_size: attributes.history_size_bytes,
            suggest_continue_as_new: attributes.suggest_continue_as_new,
        });
        Ok(())
    }

    pub(super) fn apply_completed(
        &mut self,
        at: At,
        attributes: &WorkflowTaskCompletedEventAttributes,
    ) -> Result<(), Reason> {
        let task = self.recorded(attributes.scheduled_event_id)?;
        let start = task.started.as_ref().ok_or("the workflow task is not started")?;
        let (started, original) = (start.event, task.original_scheduled_time);
        if started.0 != attributes.started_event_id {
            return Err("the workflow task was started by another event");
        }
        *self = Self {
            pending: None,
            next_attempt: 1,
            last_completed_started: started,
            last_completed: at.event,
            last_completed_original: original,
        };
        Ok(())
    }

    /// `base` is the run's own workflow task timeout.
    pub(super) fn apply_failed(
        &mut self,
        at: At,
        attributes: &WorkflowTaskFailedEventAttributes,
        base: Duration,
    ) -> Result<(), Reason> {
        let sticky = self.recorded(attributes.scheduled_event_id)?.sticky;
        let fresh = matches!(
            attributes.cause(),
            WorkflowTaskFailedCause::ResetWorkflow | WorkflowTaskFailedCause::FailoverCloseCommand
        );
        self.end_attempt(at, base, sticky || fresh);
        Ok(())
    }

    /// `base` is the run's own workflow task timeout.
    pub(super) fn apply_timed_out(
        &mut self,
        at: At,
        attributes: &WorkflowTaskTimedOutEventAttributes,
        base: Duration,
    ) -> Result<(), Reason> {
        let sticky = self.recorded(attributes.scheduled_event_id)?.sticky;
        self.end_attempt(at, base, sticky || attributes.timeout_type() == TimeoutType::ScheduleToStart);
        Ok(())
    }

    /// The next attempt of the streak, of which no event tells: scheduled at once, under the id that its event would
    /// have (api 3.5). `at` is the event that ended the last attempt, or for an attempt without events the moment and
    /// the last event of the history; `base` is the run's own workflow task timeout.
    pub fn schedule_transient(
        &mut self,
        last_event: EventId,
        time: Timestamp,
        version: FailoverVersion,
        base: Duration,
    ) {
        self.next_attempt = self.next_attempt.max(1).saturating_add(1);
        self.pending = Some(WorkflowTask {
            version,
            scheduled: last_event.next(),
            scheduled_time: time,
            original_scheduled_time: time,
            attempt: self.next_attempt,
            is_recorded: false,
            timeout: attempt_timeout(self.next_attempt, base),
            sticky: false,
            started: None,
        });
    }

    /// The streak of failures is over without a completion: the next task is a first attempt.
    pub(super) fn forget_streak(&mut self) {
        self.pending = None;
        self.next_attempt = 1;
    }

    fn end_attempt(&mut self, at: At, base: Duration, fresh: bool) {
        if fresh {
            self.forget_streak();
        } else {
            self.schedule_transient(at.event, at.time, at.version, base);
        }
    }

    fn recorded(&mut self, scheduled: i64) -> Result<&mut WorkflowTask, Reason> {
        let task = self.pending.as_mut().filter(|task| task.is_recorded && task.scheduled.0 == scheduled);
        task.ok_or("no such workflow task is pending")
    }
}

/// How long an attempt may take: from the fourth on longer and longer, so that a worker which never answers is not asked
/// in a hot loop (api 3.5). Without jitter, so that every cluster says the same.
#[must_use]
pub fn attempt_timeout(attempt: i32, base: Duration) -> Duration {
    let base = non_zero(base);
    let Some(doublings) = u32::try_from(attempt).ok().and_then(|attempt| attempt.checked_sub(4)) else { return base };
    let backoff = FIRST_BACKOFF.saturating_mul(1 << doublings.min(16));
    base + backoff.min(LONGEST_BACKOFF)
}

/// A peer's task without a timeout must end all the same.
fn non_zero(timeout: Duration) -> Duration {
    if timeout.is_zero() { DEFAULT_TIMEOUT } else { timeout }
}

/// What the API grants a workflow task that asks for nothing (api 3.2).
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// Added to the timeout of the fourth attempt, and doubled from there.
const FIRST_BACKOFF: Duration = Duration::from_secs(5);
/// Never more than this is added.
const LONGEST_BACKOFF: Duration = Duration::from_secs(600);

impl WorkflowTask {
    /// Whether the history does not show it until it completes.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        !self.is_recorded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_attempts_may_take_longer() {
        for (attempt, seconds) in
            [(1, 10), (3, 10), (4, 15), (5, 20), (6, 30), (10, 330), (11, 610), (12, 610), (99, 610)]
        {
            let timeout = attempt_timeout(attempt, Duration::from_secs(10));
            assert_eq!(timeout.as_secs(), seconds, "attempt {attempt}");
        }
    }
}
