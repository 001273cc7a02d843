//! Everything an operator sees of a run.

use proto::temporal::api::workflowservice::v1::{DescribeWorkflowExecutionRequest, DescribeWorkflowExecutionResponse};
use replicator::shard::io::{self, Response};

use super::Call;
use crate::{
    errors::Error,
    frontend::{Frontend, unexpected},
    validation,
};

pub(super) async fn describe(
    frontend: &Frontend,
    call: Call<'_>,
    request: DescribeWorkflowExecutionRequest,
) -> Result<DescribeWorkflowExecutionResponse, Error> {
    let (workflow, run) = validation::execution(call.id(), request.execution.as_ref())?;
    match frontend.ask(workflow, run, io::Call::Describe).await? {
        Response::Described(described) => Ok(*described),
        other => Err(unexpected(&other)),
    }
}
