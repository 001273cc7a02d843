//! Where a run stands, for whoever reads its history (api 3.12).

use alloc::{boxed::Box, vec, vec::Vec};

use proto::temporal::api::history::v1::WorkflowTaskScheduledEventAttributes;

use super::{find, start, start_workflow_task};
use crate::{
    history::event::{Attributes, EventType, HistoryEvent},
    ids::EventId,
    shard::io::{Failure, Request, Response, RunView},
    time::{Timestamp, proto_duration},
    workflow::{MutableState, draft::Draft, workflow_task::WorkflowTask},
};

pub(super) fn handle(draft: &Draft<'_>, request: &Request) -> Result<Response, Failure> {
    let run = find::run(draft, request)?;
    Ok(Response::View(Box::new(view(&draft.runs[&run].state))))
}

/// Where the run stands.
#[must_use]
pub fn view(state: &MutableState) -> RunView {
    let next_event_id = state.next_event_id();
    RunView {
        run: state.run.clone(),
        first_run: state.execution.start.first_run,
        start_request_id: state.execution.start.request_id.clone(),
        is_open: state.is_open(),
        status: state.execution.status().into(),
        histories: state.histories.clone(),
        next_event_id,
        // Nobody reads a closing event that is not there; what will hold it begins no earlier than here.
        last_batch: state.execution.close().map_or(next_event_id, |close| close.batch),
        transient: transient_events(state),
    }
}

/// Events that a transient task would have had: that it was scheduled and, if so, started.
fn transient_events(state: &MutableState) -> Vec<HistoryEvent> {
    let Some(task) = state.workflow_task.pending.as_ref().filter(|task| task.is_transient()) else { return vec![] };
    // What came after it was scheduled takes its place; it will be scheduled afresh.
    if task.scheduled != state.next_event_id() {
        return vec![];
    }
    let event = |id: EventId, time: Timestamp, kind: EventType, attributes| HistoryEvent {
        event_id: id.0,
        event_time: Some(time.into()),
        event_type: kind.into(),
        version: task.version.0,
        attributes: Some(attributes),
        ..HistoryEvent::default()
    };
    let scheduled = Attributes::WorkflowTaskScheduledEventAttributes(scheduled_attributes(state, task));
    let mut events = vec![event(task.scheduled, task.scheduled_time, EventType::WorkflowTaskScheduled, scheduled)];
    if let Some(start) = &task.started {
        let started = start_workflow_task::started_attributes(task, start);
        let started = Attributes::WorkflowTaskStartedEventAttributes(started);
        events.push(event(start.event, start.time, EventType::WorkflowTaskStarted, started));
    }
    events
}

/// What the scheduled event of a transient task says.
pub(super) fn scheduled_attributes(state: &MutableState, task: &WorkflowTask) -> WorkflowTaskScheduledEventAttributes {
    WorkflowTaskScheduledEventAttributes {
        task_queue: Some(start::normal_queue(state.execution.start.task_queue())),
        start_to_close_timeout: Some(proto_duration(task.timeout)),
        attempt: task.attempt,
    }
}
