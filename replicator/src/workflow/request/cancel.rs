//! Ask an open run to cancel itself. Asking again, or asking a run that is over, is no mistake.

use proto::temporal::api::{
    history::v1::WorkflowExecutionCancelRequestedEventAttributes,
    workflowservice::v1::RequestCancelWorkflowExecutionRequest,
};

use super::find;
use crate::{
    history::event::Attributes,
    shard::io::{Failure, Request, Response},
    workflow::{EventMeta, draft::Draft},
};

pub(super) fn handle(
    draft: &mut Draft<'_>,
    request: &Request,
    cancel: &RequestCancelWorkflowExecutionRequest,
) -> Result<Response, Failure> {
    let run = find::run_of_chain(draft, request, &cancel.first_execution_run_id)?;
    let mut transition = draft.transition(run).expect("the run is loaded");
    if !find::is_running(&transition.run.state) || transition.cancel_requested() {
        return Ok(Response::Done);
    }
    let attributes = WorkflowExecutionCancelRequestedEventAttributes {
        cause: cancel.reason.clone(),
        identity: cancel.identity.clone(),
        ..WorkflowExecutionCancelRequestedEventAttributes::default()
    };
    let meta = EventMeta { links: cancel.links.clone(), ..EventMeta::default() };
    transition.receive(Attributes::WorkflowExecutionCancelRequestedEventAttributes(attributes), meta);
    if !transition.is_buffering() {
        // A run that still waits for its delay to pass is woken (api 3.2).
        transition.schedule_workflow_task_now();
    }
    Ok(Response::Done)
}
