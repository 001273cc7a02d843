//! A worker takes an activity (api 5.6). No event tells until the activity closes.

use alloc::{boxed::Box, string::ToString};

use proto::temporal::api::{
    common::v1::{WorkflowExecution, WorkflowType},
    workflowservice::v1::{PollActivityTaskQueueRequest, PollActivityTaskQueueResponse},
};

use super::find;
use crate::{
    ids::EventId,
    shard::io::{Failure, Request, Response, StartedActivity},
    workflow::draft::{Draft, Transition},
};

pub(super) fn handle(
    draft: &mut Draft<'_>,
    request: &Request,
    scheduled: EventId,
    attempt: i32,
    request_id: &str,
    poll: &PollActivityTaskQueueRequest,
) -> Result<Response, Failure> {
    let run = find::open_run(draft, request)?;
    let mut transition = draft.transition(run).expect("the run is loaded");
    let activity = transition.activity(scheduled).filter(|activity| activity.attempt == attempt);
    match &activity.ok_or_else(find::no_activity)?.started {
        // The first answer got lost.
        Some(start) if start.request_id == request_id => {}
        Some(_) => return Err(Failure::NotFound("Activity task already started.".into())),
        None => transition.start_attempt(scheduled, request_id, &poll.identity),
    }
    Ok(Response::ActivityTask(Box::new(started(&transition, scheduled))))
}

/// What the worker is told about the attempt.
fn started(transition: &Transition<'_>, scheduled: EventId) -> StartedActivity {
    let state = &transition.run.state;
    let activity = transition.activity(scheduled).expect("a pending activity");
    let start = activity.started.as_ref().expect("a started activity");
    let attributes = &activity.attributes;
    let poll = PollActivityTaskQueueResponse {
        workflow_namespace: transition.namespace.name.clone(),
        workflow_type: Some(WorkflowType { name: state.execution.start.workflow_type().into() }),
        workflow_execution: Some(WorkflowExecution {
            workflow_id: state.run.workflow.workflow.to_string(),
            run_id: state.run.run.to_string(),
        }),
        activity_type: attributes.activity_type.clone(),
        activity_id: attributes.activity_id.clone(),
        header: attributes.header.clone(),
        input: attributes.input.clone(),
        heartbeat_details: activity.heartbeat_details().cloned(),
        scheduled_time: Some(activity.first_scheduled_time.into()),
        current_attempt_scheduled_time: Some(activity.scheduled_time.into()),
        started_time: Some(start.time.into()),
        attempt: activity.attempt,
        schedule_to_close_timeout: attributes.schedule_to_close_timeout,
        start_to_close_timeout: attributes.start_to_close_timeout,
        heartbeat_timeout: attributes.heartbeat_timeout,
        retry_policy: attributes.retry_policy.clone(),
        priority: attributes.priority.clone(),
        ..PollActivityTaskQueueResponse::default()
    };
    StartedActivity { poll, scheduled, version: start.version }
}
