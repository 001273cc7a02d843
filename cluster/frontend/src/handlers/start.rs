//! Starts of runs.

use proto::temporal::api::workflowservice::v1::{
    SignalWithStartWorkflowExecutionRequest, SignalWithStartWorkflowExecutionResponse, StartWorkflowExecutionRequest,
    StartWorkflowExecutionResponse,
};
use replicator::{
    ids::WorkflowKey,
    shard::io::{self, Response},
};

use super::Call;
use crate::{
    errors::Error,
    frontend::{Frontend, unexpected},
    validation,
};

pub(super) async fn start(
    frontend: &Frontend,
    call: Call<'_>,
    mut request: StartWorkflowExecutionRequest,
) -> Result<StartWorkflowExecutionResponse, Error> {
    validation::start(&mut request, call.sizes)?;
    if request.request_id.is_empty() {
        request.request_id = frontend.fresh_id();
    }
    let workflow = WorkflowKey { namespace: call.id(), workflow: request.workflow_id.as_str().into() };
    match frontend.ask(workflow, None, io::Call::Start(Box::new(request))).await? {
        Response::Started(started) => Ok(*started),
        other => Err(unexpected(&other)),
    }
}

pub(super) async fn signal_with_start(
    frontend: &Frontend,
    call: Call<'_>,
    mut request: SignalWithStartWorkflowExecutionRequest,
) -> Result<SignalWithStartWorkflowExecutionResponse, Error> {
    validation::signal_with_start(&mut request, call.sizes)?;
    if request.request_id.is_empty() {
        request.request_id = frontend.fresh_id();
    }
    let workflow = WorkflowKey { namespace: call.id(), workflow: request.workflow_id.as_str().into() };
    match frontend.ask(workflow, None, io::Call::SignalWithStart(Box::new(request))).await? {
        Response::SignaledWithStart(signaled) => Ok(signaled),
        other => Err(unexpected(&other)),
    }
}
