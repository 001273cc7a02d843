//! Requests to open runs to cancel themselves.

use proto::temporal::api::workflowservice::v1::{
    RequestCancelWorkflowExecutionRequest, RequestCancelWorkflowExecutionResponse,
};
use replicator::shard::io;

use super::Call;
use crate::{errors::Error, frontend::Frontend, validation};

pub(super) async fn request_cancel(
    frontend: &Frontend,
    call: Call<'_>,
    request: RequestCancelWorkflowExecutionRequest,
) -> Result<RequestCancelWorkflowExecutionResponse, Error> {
    let first_run = &request.first_execution_run_id;
    let (workflow, run) = validation::chain(call.id(), request.workflow_execution.as_ref(), first_run)?;
    frontend.tell(workflow, run, io::Call::RequestCancel(Box::new(request))).await?;
    Ok(RequestCancelWorkflowExecutionResponse::default())
}
