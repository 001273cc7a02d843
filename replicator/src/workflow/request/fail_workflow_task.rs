//! A worker could not complete a workflow task.

use alloc::vec::Vec;

use proto::temporal::api::{enums::v1::WorkflowTaskFailedCause, workflowservice::v1::RespondWorkflowTaskFailedRequest};

use super::{find, terminate};
use crate::{
    shard::io::{Failure, Request, Response, TaskClaim},
    workflow::{draft::Draft, task_failure},
};

pub(super) fn handle(
    draft: &mut Draft<'_>,
    request: &Request,
    claim: &TaskClaim,
    failed: &RespondWorkflowTaskFailedRequest,
) -> Result<Response, Failure> {
    let run = find::run(draft, request)?;
    find::started_task(&draft.runs[&run].state, claim)?;
    let mut transition = draft.transition(run).expect("the run is loaded");
    let cause = failed.cause();
    if cause == WorkflowTaskFailedCause::GrpcMessageTooLarge {
        // The next attempt would be too large as well (api 3.8).
        let order = terminate::Order {
            reason: "GrpcMessageTooLarge".into(),
            details: None,
            identity: terminate::SERVER.into(),
            links: Vec::new(),
        };
        terminate::terminate(&mut transition, order);
    } else {
        task_failure::fail(&mut transition, cause, failed.failure.clone(), &failed.identity);
    }
    Ok(Response::Done)
}
