//! A worker takes a workflow task (api 3.4).

use alloc::{boxed::Box, vec::Vec};

use proto::temporal::api::{
    enums::v1::SuggestContinueAsNewReason, history::v1::WorkflowTaskStartedEventAttributes,
    workflowservice::v1::PollWorkflowTaskQueueRequest,
};

use super::{find, queries, view};
use crate::{
    history::event::Attributes,
    ids::EventId,
    shard::io::{Failure, Request, Response, StartedWorkflowTask, TaskClaim},
    workflow::{
        MutableState,
        draft::{Draft, Run, Transition},
        limits::RunLimits,
        task_failure,
        workflow_task::{WorkflowTask, WorkflowTaskStart},
    },
};

pub(super) fn handle(
    draft: &mut Draft<'_>,
    request: &Request,
    scheduled: EventId,
    request_id: &str,
    poll: &PollWorkflowTaskQueueRequest,
) -> Result<Response, Failure> {
    let run = find::open_run(draft, request)?;
    let mut transition = draft.transition(run).expect("the run is loaded");
    let task = transition.run.state.workflow_task.pending.as_ref().ok_or_else(find::no_task)?;
    let queue = poll.task_queue.as_ref().map_or("", |queue| &queue.name);
    let sticky = transition.run.state.local.sticky.as_ref().is_some_and(|sticky| sticky.task_queue == queue);
    match &task.started {
        // The first answer got lost.
        Some(start) if start.request_id == request_id => {}
        Some(_) => return Err(Failure::NotFound("Workflow task already started.".into())),
        None if task.scheduled != scheduled => return Err(find::no_task()),
        None => {
            if !sticky {
                transition.clear_sticky();
            }
            start(&mut transition, request_id, &poll.identity);
        }
    }
    Ok(Response::WorkflowTask(Box::new(started(transition.run, sticky))))
}

/// The pending workflow task starts.
pub(in crate::workflow) fn start(transition: &mut Transition<'_>, request_id: &str, identity: &str) {
    let state = &transition.run.state;
    let task = state.workflow_task.pending.as_ref().expect("a workflow task is pending");
    assert!(task.started.is_none(), "a workflow task starts once");
    // Events came after it was scheduled, or it is older than the namespace's version: it is told afresh.
    let is_outdated = task.scheduled != state.next_event_id() || task.version < transition.version;
    if task.is_transient() && is_outdated {
        task_failure::forget_transient(transition);
        transition.schedule_workflow_task();
    }
    let reasons = reasons_to_continue_as_new(&transition.run.state, transition.limits);
    let history_size = transition.run.state.local.history_size;
    let (now, state) = (transition.now, &mut transition.run.state);
    let task = state.workflow_task.pending.as_mut().expect("it was scheduled again");
    if task.is_transient() {
        task.started = Some(WorkflowTaskStart {
            event: task.scheduled.next(),
            time: now,
            request_id: request_id.into(),
            identity: identity.into(),
            history_size,
            suggest_continue_as_new: !reasons.is_empty(),
        });
        transition.run.changes.changed = true;
    } else {
        let attributes = WorkflowTaskStartedEventAttributes {
            scheduled_event_id: task.scheduled.0,
            identity: identity.into(),
            request_id: request_id.into(),
            suggest_continue_as_new: !reasons.is_empty(),
            suggest_continue_as_new_reasons: reasons,
            history_size_bytes: history_size,
            ..WorkflowTaskStartedEventAttributes::default()
        };
        transition.record(Attributes::WorkflowTaskStartedEventAttributes(attributes));
    }
    queries::send(transition.run);
}

/// What the worker is told about its task. `sticky`: it has the run cached.
pub(super) fn started(run: &Run, sticky: bool) -> StartedWorkflowTask {
    let state = &run.state;
    let task = state.workflow_task.pending.as_ref().expect("a workflow task is pending");
    let view = view::view(state);
    StartedWorkflowTask {
        claim: claim(task),
        workflow_type: state.execution.start.workflow_type().into(),
        task_queue: state.execution.start.task_queue().into(),
        previous_started: state.workflow_task.last_completed_started,
        sticky: sticky && state.workflow_task.last_completed_started > EventId::NONE,
        scheduled_time: task.scheduled_time,
        transient: view.transient.clone(),
        queries: queries::sent(run),
        view,
    }
}

/// What the token of a started task claims.
pub(super) fn claim(task: &WorkflowTask) -> TaskClaim {
    let start = task.started.as_ref().expect("the workflow task is started");
    TaskClaim {
        scheduled: task.scheduled,
        started: start.event,
        started_time: start.time,
        attempt: task.attempt,
        version: task.version,
    }
}

/// The events that a transient task would have.
pub(super) fn started_attributes(task: &WorkflowTask, start: &WorkflowTaskStart) -> WorkflowTaskStartedEventAttributes {
    WorkflowTaskStartedEventAttributes {
        scheduled_event_id: task.scheduled.0,
        identity: start.identity.clone(),
        request_id: start.request_id.clone(),
        suggest_continue_as_new: start.suggest_continue_as_new,
        history_size_bytes: start.history_size,
        ..WorkflowTaskStartedEventAttributes::default()
    }
}

fn reasons_to_continue_as_new(state: &MutableState, limits: &RunLimits) -> Vec<i32> {
    let (size, next_event) = (state.local.history_size, state.next_event_id().0);
    let reasons = [
        (limits.history_size.suggestion <= size, SuggestContinueAsNewReason::HistorySizeTooLarge),
        (limits.history_count.suggestion <= next_event, SuggestContinueAsNewReason::TooManyHistoryEvents),
    ];
    reasons.into_iter().filter(|(applies, _)| *applies).map(|(_, reason)| reason.into()).collect()
}

/// Names the inline start of the task that follows a completion, as Temporal's server does.
pub(super) const INLINE: &str = "request-from-RespondWorkflowTaskCompleted";
