//! Outcomes of workflow tasks.

use proto::temporal::api::workflowservice::v1::{
    RespondWorkflowTaskCompletedRequest, RespondWorkflowTaskFailedRequest, RespondWorkflowTaskFailedResponse,
};
use replicator::{
    ids::{RunId, WorkflowKey},
    shard::io::{self, Response, TaskClaim},
};

use super::{Call, poll_workflow_task::workflow_task};
use crate::{
    answer::WorkflowTaskCompleted,
    errors::Error,
    frontend::{Frontend, unexpected},
    tokens::{Malformed, TaskOf, TaskToken},
    validation,
};

pub(super) async fn completed(
    frontend: &Frontend,
    call: Call<'_>,
    request: RespondWorkflowTaskCompletedRequest,
) -> Result<WorkflowTaskCompleted, Error> {
    let (workflow, run, claim) = claimed(&request.task_token)?;
    validation::identity(&request.identity, call.sizes)?;
    validation::deployment(request.deployment_options.as_ref())?;
    let call = io::Call::CompleteWorkflowTask(claim, Box::new(request));
    match frontend.ask(workflow, Some(run), call).await? {
        Response::WorkflowTaskCompleted { next: None } => Ok(WorkflowTaskCompleted::default()),
        Response::WorkflowTaskCompleted { next: Some(next) } => {
            let is_partial = next.sticky;
            Ok(WorkflowTaskCompleted { next: Some(workflow_task(frontend, *next, is_partial).await?) })
        }
        other => Err(unexpected(&other)),
    }
}

pub(super) async fn failed(
    frontend: &Frontend,
    call: Call<'_>,
    mut request: RespondWorkflowTaskFailedRequest,
) -> Result<RespondWorkflowTaskFailedResponse, Error> {
    let (workflow, run, claim) = claimed(&request.task_token)?;
    validation::identity(&request.identity, call.sizes)?;
    if let Some(failure) = validation::shrink(request.failure.as_ref(), call.sizes) {
        request.failure = Some(failure);
    }
    frontend.tell(workflow, Some(run), io::Call::FailWorkflowTask(claim, Box::new(request))).await?;
    Ok(RespondWorkflowTaskFailedResponse::default())
}

fn claimed(token: &[u8]) -> Result<(WorkflowKey, RunId, TaskClaim), Error> {
    let token = TaskToken::decode(token).map_err(|Malformed| Error::invalid("Error deserializing task token."))?;
    match token.task {
        TaskOf::Workflow(claim) => Ok((token.workflow, token.run, claim)),
        TaskOf::Activity { .. } => Err(Error::not_found("Workflow task not found.")),
    }
}
