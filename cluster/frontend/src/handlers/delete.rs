//! Removes runs.

use proto::temporal::api::workflowservice::v1::{DeleteWorkflowExecutionRequest, DeleteWorkflowExecutionResponse};
use replicator::shard::io;

use super::Call;
use crate::{errors::Error, frontend::Frontend, validation};

pub(super) async fn delete(
    frontend: &Frontend,
    call: Call<'_>,
    request: DeleteWorkflowExecutionRequest,
) -> Result<DeleteWorkflowExecutionResponse, Error> {
    let (workflow, run) = validation::execution(call.id(), request.workflow_execution.as_ref())?;
    frontend.tell(workflow, run, io::Call::Delete).await?;
    Ok(DeleteWorkflowExecutionResponse::default())
}
