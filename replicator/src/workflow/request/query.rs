//! Ask the workflow a question (api 3.11).

use alloc::boxed::Box;

use proto::temporal::api::{
    enums::v1::{QueryRejectCondition, ResourceExhaustedCause, WorkflowExecutionStatus},
    query::v1::QueryRejected,
    workflowservice::v1::{QueryWorkflowRequest, QueryWorkflowResponse},
};

use super::{find, queries, view};
use crate::{
    ids::EventId,
    shard::io::{DirectQuery, Failure, Request, RequestId, Response},
    workflow::{MutableState, draft::Draft},
};

pub(super) fn handle(
    draft: &mut Draft<'_>,
    id: RequestId,
    request: &Request,
    query: &QueryWorkflowRequest,
) -> Result<Option<Response>, Failure> {
    let run = find::run(draft, request)?;
    let is_active = draft.require_active().is_ok();
    let state = &draft.runs[&run].state;
    if is_rejected(query.query_reject_condition(), state) {
        let rejected = QueryRejected { status: state.execution.status().into() };
        let response = QueryWorkflowResponse { query_rejected: Some(rejected), ..QueryWorkflowResponse::default() };
        return Ok(Some(Response::Queried(Box::new(response))));
    }
    check_ready(state)?;
    let has_completed = state.workflow_task.last_completed_started > EventId::NONE;
    let is_idle = !find::is_running(state) || state.workflow_task.pending.is_none();
    if has_completed && (is_idle || !is_active) {
        return Ok(Some(Response::QueryDirectly(Box::new(direct(state)))));
    }
    if !is_active {
        return Err(Failure::WorkflowNotReady("Workflow task has not completed yet.".into()));
    }
    if draft.runs[&run].queries.len() >= MOST_QUERIES {
        return Err(Failure::ResourceExhausted {
            message: "consistent query buffer is full, cannot accept new consistent queries".into(),
            cause: ResourceExhaustedCause::BusyWorkflow.into(),
        });
    }
    let Some(query) = &query.query else { return Err(Failure::InvalidArgument("Query not set on request.".into())) };
    queries::buffer(&mut draft.transition(run).expect("the run is loaded"), id, query.clone());
    Ok(None)
}

/// Refuse when no worker can answer for this run, now or soon.
pub(super) fn check_ready(state: &MutableState) -> Result<(), Failure> {
    let not_ready = |text: &str| Err(Failure::WorkflowNotReady(text.into()));
    let has_completed = state.workflow_task.last_completed_started > EventId::NONE;
    if has_completed && !find::is_running(state) {
        return Ok(());
    }
    match &state.workflow_task.pending {
        _ if !state.is_open() => not_ready("Workflow execution closed before WorkflowTaskStarted event"),
        Some(task) if task.attempt >= FAILING_ATTEMPT => {
            not_ready("Unable to query workflow due to Workflow Task in failed state.")
        }
        None if !has_completed => not_ready("Workflow task is not scheduled yet."),
        _ => Ok(()),
    }
}

/// What a worker is asked.
pub(super) fn direct(state: &MutableState) -> DirectQuery {
    DirectQuery {
        view: view::view(state),
        workflow_type: state.execution.start.workflow_type().into(),
        task_queue: state.execution.start.task_queue().into(),
        previous_started: state.workflow_task.last_completed_started,
        sticky: state.local.sticky.as_ref().map(|sticky| (sticky.task_queue.clone(), sticky.schedule_to_start)),
    }
}

fn is_rejected(condition: QueryRejectCondition, state: &MutableState) -> bool {
    let status = state.execution.status();
    match condition {
        QueryRejectCondition::Unspecified | QueryRejectCondition::None => false,
        QueryRejectCondition::NotOpen => status != WorkflowExecutionStatus::Running,
        QueryRejectCondition::NotCompletedCleanly => {
            !matches!(status, WorkflowExecutionStatus::Running | WorkflowExecutionStatus::Completed)
        }
    }
}

/// Questions of one run that may wait (api 11.6).
const MOST_QUERIES: usize = 1;
/// From this attempt on a workflow task is taken to fail for ever.
const FAILING_ATTEMPT: i32 = 3;
