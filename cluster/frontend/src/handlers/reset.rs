//! Begins again in the middle of runs.

use proto::temporal::api::workflowservice::v1::{ResetWorkflowExecutionRequest, ResetWorkflowExecutionResponse};
use replicator::shard::io::{self, Response};

use super::Call;
use crate::{
    errors::Error,
    frontend::{Frontend, unexpected},
    validation,
};

pub(super) async fn reset(
    frontend: &Frontend,
    call: Call<'_>,
    request: ResetWorkflowExecutionRequest,
) -> Result<ResetWorkflowExecutionResponse, Error> {
    let (workflow, run) = validation::reset(call.id(), &request, call.sizes)?;
    match frontend.ask(workflow, run, io::Call::Reset(Box::new(request))).await? {
        Response::Reset(response) => Ok(response),
        other => Err(unexpected(&other)),
    }
}
