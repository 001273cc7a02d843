//! A workflow task that fails or takes too long, and what follows (api 3.5, 3.9).
//!
//! Only the first failure of a streak is written. A transient attempt that fails is replaced by the next one.

use proto::temporal::api::{
    enums::v1::{TimeoutType, WorkflowTaskFailedCause},
    failure::v1::Failure,
    history::v1::{WorkflowTaskFailedEventAttributes, WorkflowTaskTimedOutEventAttributes},
};

use super::{draft::Transition, workflow_task::WorkflowTask};
use crate::{history::event::Attributes, ids::EventId};

/// The started workflow task failed: write so, and see that there is another.
pub(super) fn fail(
    transition: &mut Transition<'_>,
    cause: WorkflowTaskFailedCause,
    failure: Option<Failure>,
    identity: &str,
) {
    end_started(transition, cause, failure, identity);
    follow(transition);
}

/// The pending workflow task took too long.
pub(super) fn time_out(transition: &mut Transition<'_>, kind: TimeoutType) {
    let task = pending(transition).clone();
    if task.is_transient() {
        next_transient(transition);
    } else {
        let attributes = WorkflowTaskTimedOutEventAttributes {
            scheduled_event_id: task.scheduled.0,
            started_event_id: task.started.map_or(EventId::NONE, |start| start.event).0,
            timeout_type: kind.into(),
        };
        transition.record(Attributes::WorkflowTaskTimedOutEventAttributes(attributes));
    }
    transition.clear_sticky();
    follow(transition);
}

/// End the workflow task if one is started, without thinking of what follows.
pub(super) fn end_started(
    transition: &mut Transition<'_>,
    cause: WorkflowTaskFailedCause,
    failure: Option<Failure>,
    identity: &str,
) {
    let Some(task) = &transition.run.state.workflow_task.pending else { return };
    let Some(start) = &task.started else { return };
    if task.is_transient() {
        next_transient(transition);
    } else {
        let attributes = WorkflowTaskFailedEventAttributes {
            scheduled_event_id: task.scheduled.0,
            started_event_id: start.event.0,
            cause: cause.into(),
            failure,
            identity: identity.into(),
            ..WorkflowTaskFailedEventAttributes::default()
        };
        transition.record(Attributes::WorkflowTaskFailedEventAttributes(attributes));
    }
    transition.clear_sticky();
}

/// The transient task is given up for one that the history shows: what it was scheduled for has changed.
pub(super) fn forget_transient(transition: &mut Transition<'_>) {
    if transition.run.state.workflow_task.pending.as_ref().is_some_and(WorkflowTask::is_transient) {
        transition.run.state.workflow_task.forget_streak();
        transition.run.changes.changed = true;
    }
}

/// Write what waited for the task to end, and see that there is another.
pub(super) fn follow(transition: &mut Transition<'_>) {
    // Questions that went along with the task go along with the next.
    for query in transition.run.queries.values_mut() {
        query.sent_with = None;
    }
    if transition.flush_buffered() {
        forget_transient(transition);
    }
    transition.schedule_workflow_task();
}

/// The transient attempt is over: the next one waits, under the id that its event would have.
fn next_transient(transition: &mut Transition<'_>) {
    let state = &mut transition.run.state;
    let last_event = state.next_event_id().previous();
    let base = state.execution.start.task_timeout();
    state.workflow_task.schedule_transient(last_event, transition.now, transition.version, base);
    transition.run.changes.changed = true;
}

fn pending<'a>(transition: &'a Transition<'_>) -> &'a WorkflowTask {
    transition.run.state.workflow_task.pending.as_ref().expect("a workflow task is pending")
}
