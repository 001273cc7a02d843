//! Signals to open runs.

use proto::temporal::api::workflowservice::v1::{SignalWorkflowExecutionRequest, SignalWorkflowExecutionResponse};
use replicator::shard::io;

use super::Call;
use crate::{errors::Error, frontend::Frontend, validation};

pub(super) async fn signal(
    frontend: &Frontend,
    call: Call<'_>,
    request: SignalWorkflowExecutionRequest,
) -> Result<SignalWorkflowExecutionResponse, Error> {
    let (workflow, run) = validation::execution(call.id(), request.workflow_execution.as_ref())?;
    validation::signal(&request)?;
    frontend.tell(workflow, run, io::Call::Signal(Box::new(request))).await?;
    Ok(SignalWorkflowExecutionResponse::default())
}
