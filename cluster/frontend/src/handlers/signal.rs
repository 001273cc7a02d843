//! Signals to open runs.

use proto::temporal::api::{
    common::v1::{
        Link,
        link::{
            Variant, WorkflowEvent,
            workflow_event::{Reference, RequestIdReference},
        },
    },
    enums::v1::EventType,
    workflowservice::v1::{SignalWorkflowExecutionRequest, SignalWorkflowExecutionResponse},
};
use replicator::{
    ids::RunId,
    shard::io::{self, Response},
};

use super::Call;
use crate::{
    errors::Error,
    frontend::{Frontend, unexpected},
    validation,
};

pub(super) async fn signal(
    frontend: &Frontend,
    call: Call<'_>,
    request: SignalWorkflowExecutionRequest,
) -> Result<SignalWorkflowExecutionResponse, Error> {
    let (workflow, run) = validation::execution(call.id(), request.workflow_execution.as_ref())?;
    validation::signal(&request, call.sizes)?;
    let (workflow_id, request_id) = (workflow.workflow.to_string(), request.request_id.clone());
    match frontend.ask(workflow, run, io::Call::Signal(Box::new(request))).await? {
        Response::Signaled { run } => Ok(SignalWorkflowExecutionResponse {
            link: Some(link_to_signal(call.namespace.name.clone(), workflow_id, run, request_id)),
        }),
        other => Err(unexpected(&other)),
    }
}

/// A link to the event of a signal. The event may have no id yet, so it is found by the request.
fn link_to_signal(namespace: String, workflow_id: String, run: RunId, request_id: String) -> Link {
    let event_type = EventType::WorkflowExecutionSignaled.into();
    let reference = Reference::RequestIdRef(RequestIdReference { request_id, event_type });
    let event = WorkflowEvent { namespace, workflow_id, run_id: run.to_string(), reference: Some(reference) };
    Link { variant: Some(Variant::WorkflowEvent(event)) }
}
