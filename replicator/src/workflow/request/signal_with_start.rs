//! Signal the open run, or start one and signal it (api 6.10).

use alloc::string::ToString;

use proto::temporal::api::{
    common::v1::link::workflow_event::{Reference, RequestIdReference},
    enums::v1::{EventType, WorkflowIdConflictPolicy},
    workflowservice::v1::{
        SignalWithStartWorkflowExecutionRequest, SignalWithStartWorkflowExecutionResponse,
        StartWorkflowExecutionRequest,
    },
};

use super::{
    signal::{self, Signal},
    start::{self, Plan},
    unsupported,
};
use crate::{
    ids::RunId,
    shard::io::{Failure, Response},
    workflow::draft::Draft,
};

pub(super) fn handle(
    draft: &mut Draft<'_>,
    request: &SignalWithStartWorkflowExecutionRequest,
) -> Result<Response, Failure> {
    unsupported::check_signal_with_start_fields(request)?;
    let start = as_start(request);
    start::check(&start)?;
    if start.workflow_id_conflict_policy() == WorkflowIdConflictPolicy::Fail {
        return Err(Failure::InvalidArgument(
            "Invalid WorkflowIDConflictPolicy: WORKFLOW_ID_CONFLICT_POLICY_FAIL is not supported for this operation."
                .into(),
        ));
    }
    let (run, started) = match start::plan(draft, &start, WorkflowIdConflictPolicy::UseExisting)? {
        // The run that this very request started has its signal too.
        Plan::Repeated(run) => return Ok(answer(draft, run, false, &request.request_id)),
        Plan::Use(run) => {
            let transition = draft.transition(run).expect("the run is loaded");
            if !as_signal(request).is_known(&transition) {
                signal::check_count(&transition)?;
            }
            (run, false)
        }
        Plan::Create => (start::create(draft, &start), true),
        Plan::Replace(old) => (start::replace(draft, old, &start), true),
    };
    let mut transition = draft.transition(run).expect("the run is loaded or was just created");
    let signal = as_signal(request);
    if !signal.is_known(&transition) {
        signal.receive(&mut transition);
        if started {
            transition.schedule_workflow_task();
        } else if !transition.is_buffering() {
            // A run that still waits for its delay to pass is woken (api 3.2).
            transition.schedule_workflow_task_now();
        }
    }
    Ok(answer(draft, run, started, &request.request_id))
}

/// The start within a request.
fn as_start(request: &SignalWithStartWorkflowExecutionRequest) -> StartWorkflowExecutionRequest {
    StartWorkflowExecutionRequest {
        namespace: request.namespace.clone(),
        workflow_id: request.workflow_id.clone(),
        workflow_type: request.workflow_type.clone(),
        task_queue: request.task_queue.clone(),
        input: request.input.clone(),
        workflow_execution_timeout: request.workflow_execution_timeout,
        workflow_run_timeout: request.workflow_run_timeout,
        workflow_task_timeout: request.workflow_task_timeout,
        identity: request.identity.clone(),
        request_id: request.request_id.clone(),
        workflow_id_reuse_policy: request.workflow_id_reuse_policy,
        workflow_id_conflict_policy: request.workflow_id_conflict_policy,
        retry_policy: request.retry_policy.clone(),
        memo: request.memo.clone(),
        header: request.header.clone(),
        workflow_start_delay: request.workflow_start_delay,
        user_metadata: request.user_metadata.clone(),
        links: request.links.clone(),
        priority: request.priority.clone(),
        ..StartWorkflowExecutionRequest::default()
    }
}

/// The signal within a request.
fn as_signal(request: &SignalWithStartWorkflowExecutionRequest) -> Signal<'_> {
    Signal {
        name: &request.signal_name,
        input: request.signal_input.as_ref(),
        identity: &request.identity,
        request_id: &request.request_id,
        header: request.header.as_ref(),
        links: &request.links,
    }
}

fn answer(draft: &Draft<'_>, run: RunId, started: bool, request_id: &str) -> Response {
    let reference = Reference::RequestIdRef(RequestIdReference {
        request_id: request_id.into(),
        event_type: EventType::WorkflowExecutionSignaled.into(),
    });
    Response::SignaledWithStart(SignalWithStartWorkflowExecutionResponse {
        run_id: run.to_string(),
        first_execution_run_id: draft.runs[&run].state.execution.start.first_run.to_string(),
        started,
        signal_link: Some(start::link_to(draft, run, reference)),
    })
}
