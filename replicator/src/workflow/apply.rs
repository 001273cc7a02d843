//! What an event does to a run, whether it was born here or came from another cluster.

use core::fmt;

use proto::temporal::api::enums::v1::WorkflowExecutionStatus as Status;

use super::{MutableState, execution::Phase, lineage::Reset, reapplied, request::SERVER};
use crate::{
    history::event::{Attributes, HistoryEvent, event_type},
    ids::{EventId, TaskId},
    time::Timestamp,
    version::{FailoverVersion, VersionHistoryItem},
};

/// An event that could not have happened to the run, or that this release does not know. State may be half changed: the
/// caller works on a copy, or gives the run up.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ApplyError {
    /// This release has no such event. A later one may.
    Unsupported {
        /// The event.
        event: EventId,
        /// `temporal.api.enums.v1.EventType`.
        kind: i32,
    },
    /// The event contradicts what came before it.
    Inconsistent {
        /// The event.
        event: EventId,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported { event, kind } => write!(f, "event {event} is of a type that is not supported: {kind}"),
            Self::Inconsistent { event, reason } => write!(f, "event {event} cannot have happened: {reason}"),
        }
    }
}

/// What is wrong with an event; the sub-state that notices does not know its id.
pub(super) type Reason = &'static str;

/// Where and when an event happened.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    /// The event.
    pub(super) event: EventId,
    /// First event of its batch.
    pub(super) batch: EventId,
    /// When.
    pub(super) time: Timestamp,
    /// Under which version.
    pub(super) version: FailoverVersion,
}

impl At {
    pub(super) fn of(event: &HistoryEvent, batch: EventId) -> Result<Self, Reason> {
        let time = event.event_time.as_ref().ok_or("it has no time")?;
        let version = FailoverVersion(event.version);
        if event.event_id < 1 || version < FailoverVersion::EMPTY {
            return Err("its id or version is negative");
        }
        Ok(Self { event: EventId(event.event_id), batch, time: time.into(), version })
    }
}

impl MutableState {
    /// The next event happened. `batch_first` is the first event of the batch that holds it.
    ///
    /// # Errors
    ///
    /// [`ApplyError`] when it cannot have happened.
    pub fn apply(&mut self, event: &HistoryEvent, batch_first: EventId) -> Result<(), ApplyError> {
        let inconsistent = |reason| ApplyError::Inconsistent { event: EventId(event.event_id), reason };
        let unsupported = || ApplyError::Unsupported { event: EventId(event.event_id), kind: event.event_type };
        let at = At::of(event, batch_first).map_err(inconsistent)?;
        self.require_next(at).map_err(inconsistent)?;
        let attributes = event.attributes.as_ref().ok_or_else(unsupported)?;
        if i32::from(event_type(attributes).ok_or_else(unsupported)?) != event.event_type {
            return Err(inconsistent("its attributes are those of another type"));
        }
        self.route(at, attributes).map_err(|refused| refused.map_or_else(unsupported, inconsistent))?;
        self.histories.append(VersionHistoryItem { event_id: at.event, version: at.version });
        self.clock = TaskId(event.task_id);
        self.reapplied.apply(event);
        self.lineage.apply(event);
        Ok(())
    }

    fn require_next(&self, at: At) -> Result<(), Reason> {
        if at.event != self.next_event_id() {
            Err("another event is next")
        } else if at.version < self.last_write_version() {
            Err("its version is lower than that of the event before")
        } else if !(EventId::FIRST..=at.event).contains(&at.batch) {
            Err("it is not in the batch that it is said to be in")
        } else if !self.is_open() {
            Err("the run is closed")
        } else {
            Ok(())
        }
    }

    /// Hand the event to whom it concerns. Fails with the reason, or with `None` when the type is not supported.
    fn route(&mut self, at: At, attributes: &Attributes) -> Result<(), Option<Reason>> {
        use Attributes as A;
        match attributes {
            A::WorkflowExecutionStartedEventAttributes(_) => Err("the run was started before"),

            A::WorkflowExecutionCompletedEventAttributes(a) => self.end(at, Status::Completed, &a.new_execution_run_id),
            A::WorkflowExecutionFailedEventAttributes(a) => self.end(at, Status::Failed, &a.new_execution_run_id),
            A::WorkflowExecutionTimedOutEventAttributes(a) => self.end(at, Status::TimedOut, &a.new_execution_run_id),
            A::WorkflowExecutionCanceledEventAttributes(_) => self.end(at, Status::Canceled, ""),
            A::WorkflowExecutionTerminatedEventAttributes(a) => {
                let ended = self.end(at, Status::Terminated, "");
                if let Phase::Closed(close) = &mut self.execution.phase {
                    close.lost = a.identity == SERVER && a.reason == reapplied::LOST;
                }
                ended
            }
            A::WorkflowExecutionContinuedAsNewEventAttributes(a) => {
                self.end(at, Status::ContinuedAsNew, &a.new_execution_run_id)
            }

            A::WorkflowTaskScheduledEventAttributes(a) => {
                self.execution.backoff_pending = false;
                self.workflow_task.apply_scheduled(at, a)
            }
            A::WorkflowTaskStartedEventAttributes(a) => self.workflow_task.apply_started(at, a),
            A::WorkflowTaskCompletedEventAttributes(a) => self.workflow_task.apply_completed(at, a),
            A::WorkflowTaskFailedEventAttributes(a) => {
                self.local.sticky = None;
                if Reset::told(at, a).is_some_and(|reset| reset.run == self.run.run) {
                    self.activities.apply_reset(at);
                }
                self.workflow_task.apply_failed(at, a, self.execution.start.task_timeout())
            }
            A::WorkflowTaskTimedOutEventAttributes(a) => {
                self.local.sticky = None;
                self.workflow_task.apply_timed_out(at, a, self.execution.start.task_timeout())
            }

            A::ActivityTaskScheduledEventAttributes(a) => self.activities.apply_scheduled(at, a),
            A::ActivityTaskStartedEventAttributes(a) => self.activities.apply_started(at, a),
            A::ActivityTaskCancelRequestedEventAttributes(a) => self.activities.apply_cancel_requested(at, a),
            A::ActivityTaskCompletedEventAttributes(a) => self.activities.apply_closed(a.scheduled_event_id),
            A::ActivityTaskFailedEventAttributes(a) => self.activities.apply_closed(a.scheduled_event_id),
            A::ActivityTaskTimedOutEventAttributes(a) => self.activities.apply_closed(a.scheduled_event_id),
            A::ActivityTaskCanceledEventAttributes(a) => self.activities.apply_closed(a.scheduled_event_id),

            A::TimerStartedEventAttributes(a) => self.timers.apply_started(at, a),
            A::TimerFiredEventAttributes(a) => self.timers.apply_ended(a.started_event_id),
            A::TimerCanceledEventAttributes(a) => self.timers.apply_ended(a.started_event_id),

            A::WorkflowExecutionSignaledEventAttributes(a) => {
                self.signals.apply_signaled(a);
                Ok(())
            }
            A::WorkflowExecutionCancelRequestedEventAttributes(_) => {
                self.execution.cancel_requested.get_or_insert(at.event);
                Ok(())
            }
            A::UpsertWorkflowSearchAttributesEventAttributes(a) => {
                self.execution.apply_search_attributes(a);
                Ok(())
            }
            A::WorkflowPropertiesModifiedEventAttributes(a) => {
                self.execution.apply_properties(a);
                Ok(())
            }

            // They tell readers of the history something, and change nothing.
            A::MarkerRecordedEventAttributes(_) | A::WorkflowExecutionOptionsUpdatedEventAttributes(_) => Ok(()),

            _ => return Err(None),
        }
        .map_err(Some)
    }

    /// The run is over, with all that was pending.
    fn end(&mut self, at: At, status: Status, next_run: &str) -> Result<(), Reason> {
        self.execution.apply_closed(at, status, next_run)?;
        self.workflow_task.forget_streak();
        self.activities.abandon();
        self.timers.abandon();
        self.local.buffered.clear();
        self.local.sticky = None;
        Ok(())
    }
}
