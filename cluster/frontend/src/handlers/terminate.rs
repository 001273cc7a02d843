//! Ends of open runs.

use proto::temporal::api::workflowservice::v1::{
    TerminateWorkflowExecutionRequest, TerminateWorkflowExecutionResponse,
};
use replicator::shard::io;

use super::Call;
use crate::{errors::Error, frontend::Frontend, validation};

pub(super) async fn terminate(
    frontend: &Frontend,
    call: Call<'_>,
    request: TerminateWorkflowExecutionRequest,
) -> Result<TerminateWorkflowExecutionResponse, Error> {
    let first_run = &request.first_execution_run_id;
    let (workflow, run) = validation::chain(call.id(), request.workflow_execution.as_ref(), first_run)?;
    frontend.tell(workflow, run, io::Call::Terminate(Box::new(request))).await?;
    Ok(TerminateWorkflowExecutionResponse::default())
}
