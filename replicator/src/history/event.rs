//! Names for the public API's event messages, which are the core's cargo.

pub use proto::temporal::api::{
    enums::v1::EventType,
    history::v1::{HistoryEvent, history_event::Attributes},
};

use crate::ids::EventId;

/// Id of an event.
#[must_use]
pub fn id(event: &HistoryEvent) -> EventId {
    EventId(event.event_id)
}

/// The type that goes with attributes; `None` for those that this release neither writes nor applies.
#[must_use]
pub fn event_type(attributes: &Attributes) -> Option<EventType> {
    use Attributes as A;
    Some(match attributes {
        A::WorkflowExecutionStartedEventAttributes(_) => EventType::WorkflowExecutionStarted,
        A::WorkflowExecutionCompletedEventAttributes(_) => EventType::WorkflowExecutionCompleted,
        A::WorkflowExecutionFailedEventAttributes(_) => EventType::WorkflowExecutionFailed,
        A::WorkflowExecutionTimedOutEventAttributes(_) => EventType::WorkflowExecutionTimedOut,
        A::WorkflowExecutionCanceledEventAttributes(_) => EventType::WorkflowExecutionCanceled,
        A::WorkflowExecutionTerminatedEventAttributes(_) => EventType::WorkflowExecutionTerminated,
        A::WorkflowExecutionContinuedAsNewEventAttributes(_) => EventType::WorkflowExecutionContinuedAsNew,
        A::WorkflowExecutionSignaledEventAttributes(_) => EventType::WorkflowExecutionSignaled,
        A::WorkflowExecutionCancelRequestedEventAttributes(_) => EventType::WorkflowExecutionCancelRequested,
        A::WorkflowExecutionOptionsUpdatedEventAttributes(_) => EventType::WorkflowExecutionOptionsUpdated,
        A::WorkflowTaskScheduledEventAttributes(_) => EventType::WorkflowTaskScheduled,
        A::WorkflowTaskStartedEventAttributes(_) => EventType::WorkflowTaskStarted,
        A::WorkflowTaskCompletedEventAttributes(_) => EventType::WorkflowTaskCompleted,
        A::WorkflowTaskFailedEventAttributes(_) => EventType::WorkflowTaskFailed,
        A::WorkflowTaskTimedOutEventAttributes(_) => EventType::WorkflowTaskTimedOut,
        A::ActivityTaskScheduledEventAttributes(_) => EventType::ActivityTaskScheduled,
        A::ActivityTaskStartedEventAttributes(_) => EventType::ActivityTaskStarted,
        A::ActivityTaskCompletedEventAttributes(_) => EventType::ActivityTaskCompleted,
        A::ActivityTaskFailedEventAttributes(_) => EventType::ActivityTaskFailed,
        A::ActivityTaskTimedOutEventAttributes(_) => EventType::ActivityTaskTimedOut,
        A::ActivityTaskCancelRequestedEventAttributes(_) => EventType::ActivityTaskCancelRequested,
        A::ActivityTaskCanceledEventAttributes(_) => EventType::ActivityTaskCanceled,
        A::TimerStartedEventAttributes(_) => EventType::TimerStarted,
        A::TimerFiredEventAttributes(_) => EventType::TimerFired,
        A::TimerCanceledEventAttributes(_) => EventType::TimerCanceled,
        A::MarkerRecordedEventAttributes(_) => EventType::MarkerRecorded,
        A::UpsertWorkflowSearchAttributesEventAttributes(_) => EventType::UpsertWorkflowSearchAttributes,
        A::WorkflowPropertiesModifiedEventAttributes(_) => EventType::WorkflowPropertiesModified,
        _ => return None,
    })
}

/// The activity that the event ends, by its scheduled event.
#[must_use]
pub fn closes_activity(attributes: &Attributes) -> Option<EventId> {
    use Attributes as A;
    Some(EventId(match attributes {
        A::ActivityTaskCompletedEventAttributes(a) => a.scheduled_event_id,
        A::ActivityTaskFailedEventAttributes(a) => a.scheduled_event_id,
        A::ActivityTaskTimedOutEventAttributes(a) => a.scheduled_event_id,
        A::ActivityTaskCanceledEventAttributes(a) => a.scheduled_event_id,
        _ => return None,
    }))
}

/// The activity whose deferred start the event is, by its scheduled event.
#[must_use]
pub fn starts_activity(attributes: &Attributes) -> Option<EventId> {
    match attributes {
        Attributes::ActivityTaskStartedEventAttributes(a) => Some(EventId(a.scheduled_event_id)),
        _ => None,
    }
}

/// Name the started event in an event that ends an activity; others stay as they are.
pub fn set_activity_started(attributes: &mut Attributes, started: EventId) {
    use Attributes as A;
    match attributes {
        A::ActivityTaskCompletedEventAttributes(a) => a.started_event_id = started.0,
        A::ActivityTaskFailedEventAttributes(a) => a.started_event_id = started.0,
        A::ActivityTaskTimedOutEventAttributes(a) => a.started_event_id = started.0,
        A::ActivityTaskCanceledEventAttributes(a) => a.started_event_id = started.0,
        _ => {}
    }
}

/// Whether the event ends the run.
#[must_use]
pub fn closes_run(attributes: &Attributes) -> bool {
    matches!(
        event_type(attributes),
        Some(
            EventType::WorkflowExecutionCompleted
                | EventType::WorkflowExecutionFailed
                | EventType::WorkflowExecutionTimedOut
                | EventType::WorkflowExecutionCanceled
                | EventType::WorkflowExecutionTerminated
                | EventType::WorkflowExecutionContinuedAsNew
        )
    )
}

/// The run that follows one that the event ends, as text; `None` when the event ends none, empty when none follows.
#[must_use]
pub fn next_run(attributes: &Attributes) -> Option<&str> {
    use Attributes as A;
    match attributes {
        A::WorkflowExecutionCompletedEventAttributes(a) => Some(&a.new_execution_run_id),
        A::WorkflowExecutionFailedEventAttributes(a) => Some(&a.new_execution_run_id),
        A::WorkflowExecutionTimedOutEventAttributes(a) => Some(&a.new_execution_run_id),
        A::WorkflowExecutionContinuedAsNewEventAttributes(a) => Some(&a.new_execution_run_id),
        _ => None,
    }
}

/// Whether the event waits while a workflow task is started (api 3.6): what comes from outside does, what the workflow or
/// its task brings does not.
#[must_use]
pub fn is_bufferable(attributes: &Attributes) -> bool {
    use Attributes as A;
    closes_activity(attributes).is_some()
        || matches!(
            attributes,
            A::ActivityTaskStartedEventAttributes(_)
                | A::TimerFiredEventAttributes(_)
                | A::WorkflowExecutionSignaledEventAttributes(_)
                | A::WorkflowExecutionCancelRequestedEventAttributes(_)
                | A::WorkflowExecutionOptionsUpdatedEventAttributes(_)
        )
}
