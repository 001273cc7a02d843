//! Start a run (api 6.7, 6.8).

use alloc::{
    boxed::Box,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::time::Duration;

use proto::temporal::api::{
    common::v1::{Link, Payload, Payloads, link},
    enums::v1::{EventType, WorkflowExecutionStatus, WorkflowIdConflictPolicy, WorkflowIdReusePolicy},
    history::v1::WorkflowExecutionStartedEventAttributes,
    taskqueue::v1::TaskQueue,
    workflowservice::v1::{StartWorkflowExecutionRequest, StartWorkflowExecutionResponse},
};

use super::{find, terminate, unsupported};
use crate::{
    ids::RunId,
    shard::io::{Failure, Response},
    time::{Timestamp, duration, proto_duration},
    workflow::{EventMeta, MutableState, draft::Draft, retry},
};

/// What stands in the way of a start, and what is to be done about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Plan {
    /// The same request started this run before.
    Repeated(RunId),
    /// This run is open and will do.
    Use(RunId),
    /// Nothing is in the way.
    Create,
    /// This run is open and gives way.
    Replace(RunId),
}

pub(super) fn handle(draft: &mut Draft<'_>, request: &StartWorkflowExecutionRequest) -> Result<Response, Failure> {
    check(request)?;
    match plan(draft, request, WorkflowIdConflictPolicy::Fail)? {
        Plan::Repeated(run) => Ok(answer(draft, run, true)),
        Plan::Use(run) => Ok(answer(draft, run, false)),
        Plan::Create => {
            let run = create(draft, request);
            draft.transition(run).expect("it was just created").schedule_workflow_task();
            Ok(answer(draft, run, true))
        }
        Plan::Replace(old) => {
            let run = replace(draft, old, request);
            draft.transition(run).expect("it was just created").schedule_workflow_task();
            Ok(answer(draft, run, true))
        }
    }
}

/// Whether a start makes sense by itself, whatever runs there are.
///
/// # Errors
///
/// What is wrong with it.
pub fn check(request: &StartWorkflowExecutionRequest) -> Result<(), Failure> {
    unsupported::check_start_fields(request)?;
    let times = [
        ("WorkflowExecutionTimeoutSeconds", &request.workflow_execution_timeout),
        ("WorkflowRunTimeoutSeconds", &request.workflow_run_timeout),
        ("WorkflowTaskTimeoutSeconds", &request.workflow_task_timeout),
        ("WorkflowStartDelaySeconds", &request.workflow_start_delay),
    ];
    for (name, time) in times {
        retry::check_duration(time.as_ref()).map_err(|problem| {
            Failure::InvalidArgument(format!("An invalid {name} is set on request. cause: {problem}"))
        })?;
    }
    if let Some(policy) = &request.retry_policy {
        retry::check(policy).map_err(Failure::InvalidArgument)?;
    }
    policies(request, WorkflowIdConflictPolicy::Fail).map(drop)
}

/// What is to be done, given the current run. `default_conflict` is the policy of a request that names none.
pub(super) fn plan(
    draft: &Draft<'_>,
    request: &StartWorkflowExecutionRequest,
    default_conflict: WorkflowIdConflictPolicy,
) -> Result<Plan, Failure> {
    let (reuse, conflict) = policies(request, default_conflict)?;
    let Some(current) = draft.resolve(None) else { return Ok(Plan::Create) };
    let state = &draft.runs[&current].state;
    if !request.request_id.is_empty() && state.execution.start.request_id == request.request_id {
        return Ok(Plan::Repeated(current));
    }
    let refuse = |text: String| already_started(state, current, text);
    let workflow = &state.run.workflow.workflow;
    if find::is_running(state) {
        return match conflict {
            WorkflowIdConflictPolicy::UseExisting => Ok(Plan::Use(current)),
            WorkflowIdConflictPolicy::TerminateExisting => Ok(Plan::Replace(current)),
            WorkflowIdConflictPolicy::Fail | WorkflowIdConflictPolicy::Unspecified => {
                Err(refuse(format!("Workflow execution is already running. WorkflowId: {workflow}, RunId: {current}.")))
            }
        };
    }
    match reuse {
        WorkflowIdReusePolicy::RejectDuplicate => Err(refuse(format!(
            "Workflow execution already finished. WorkflowId: {workflow}, RunId: {current}. Workflow Id reuse policy: \
             reject duplicate workflow Id."
        ))),
        WorkflowIdReusePolicy::AllowDuplicateFailedOnly if !failed(state.execution.status()) => Err(refuse(format!(
            "Workflow execution already finished successfully. WorkflowId: {workflow}, RunId: {current}. Workflow Id \
             reuse policy: allow duplicate workflow Id if last run failed."
        ))),
        _ => Ok(Plan::Create),
    }
}

/// Create the run that a request asks for. Its first workflow task is for the caller to schedule.
pub(super) fn create(draft: &mut Draft<'_>, request: &StartWorkflowExecutionRequest) -> RunId {
    let run = draft.entropy.run_id();
    create_as(draft, run, request);
    run
}

/// Close the open run and create the one that a request asks for, in one transaction.
pub(super) fn replace(draft: &mut Draft<'_>, old: RunId, request: &StartWorkflowExecutionRequest) -> RunId {
    let run = draft.entropy.run_id();
    let order = terminate::Order {
        reason: "TerminateIfRunning WorkflowIdReusePolicy".into(),
        details: Some(json_string(&format!("terminated by new runID: {run}"))),
        identity: terminate::SERVER.into(),
        links: Vec::new(),
    };
    terminate::terminate(&mut draft.transition(old).expect("the run is loaded"), order);
    create_as(draft, run, request);
    run
}

fn create_as(draft: &mut Draft<'_>, run: RunId, request: &StartWorkflowExecutionRequest) {
    let attributes = started(draft.now, run, request);
    let meta = EventMeta { user_metadata: request.user_metadata.clone(), links: request.links.clone() };
    // A request without an id is a request of its own.
    let request_id =
        if request.request_id.is_empty() { draft.entropy.uuid().to_string() } else { request.request_id.clone() };
    draft.create_run(run, request_id, attributes, meta);
}

/// The first event of the run that a request asks for.
fn started(
    now: Timestamp,
    run: RunId,
    request: &StartWorkflowExecutionRequest,
) -> WorkflowExecutionStartedEventAttributes {
    let timeouts = Timeouts::effective(
        duration(request.workflow_execution_timeout.as_ref()),
        duration(request.workflow_run_timeout.as_ref()),
        duration(request.workflow_task_timeout.as_ref()),
    );
    let mut retry_policy = request.retry_policy.clone();
    if let Some(policy) = &mut retry_policy {
        retry::fill_in(policy);
    }
    WorkflowExecutionStartedEventAttributes {
        workflow_type: request.workflow_type.clone(),
        task_queue: Some(normal_queue(request.task_queue.as_ref().map_or("", |queue| &queue.name))),
        input: request.input.clone(),
        workflow_execution_timeout: optional(timeouts.execution),
        workflow_run_timeout: optional(timeouts.run),
        workflow_task_timeout: Some(proto_duration(timeouts.task)),
        continued_failure: request.continued_failure.clone(),
        last_completion_result: request.last_completion_result.clone(),
        original_execution_run_id: run.to_string(),
        identity: request.identity.clone(),
        first_execution_run_id: run.to_string(),
        retry_policy,
        attempt: 1,
        workflow_execution_expiration_time: (!timeouts.execution.is_zero()).then(|| (now + timeouts.execution).into()),
        first_workflow_task_backoff: Some(proto_duration(duration(request.workflow_start_delay.as_ref()))),
        memo: request.memo.clone(),
        header: request.header.clone(),
        workflow_id: request.workflow_id.clone(),
        priority: request.priority.clone(),
        ..WorkflowExecutionStartedEventAttributes::default()
    }
}

/// Timeouts of a run as they hold, zero for none (api 6.12, 3.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::workflow) struct Timeouts {
    /// Of the chain of runs.
    pub(in crate::workflow) execution: Duration,
    /// Of the run.
    pub(in crate::workflow) run: Duration,
    /// Of a workflow task; never zero.
    pub(in crate::workflow) task: Duration,
}

impl Timeouts {
    /// What holds when this was asked for: none outlasts what contains it.
    pub(in crate::workflow) fn effective(execution: Duration, run: Duration, task: Duration) -> Self {
        let run = within(if run.is_zero() { execution } else { run }, execution);
        let task = if task.is_zero() { DEFAULT_TASK_TIMEOUT } else { task.min(LONGEST_TASK_TIMEOUT) };
        Self { execution, run, task: within(task, run) }
    }
}

/// `time`, at most `limit` if there is one.
fn within(time: Duration, limit: Duration) -> Duration {
    if limit.is_zero() { time } else { time.min(limit) }
}

/// A duration that is left unset when it is zero.
fn optional(duration: Duration) -> Option<prost_types::Duration> {
    (!duration.is_zero()).then(|| proto_duration(duration))
}

/// A task queue that any worker may poll.
pub(in crate::workflow) fn normal_queue(name: &str) -> TaskQueue {
    use proto::temporal::api::enums::v1::TaskQueueKind;
    TaskQueue { name: name.into(), kind: TaskQueueKind::Normal.into(), normal_name: String::new() }
}

/// A payload with a JSON string. `text` must need no escapes.
pub(in crate::workflow) fn json_string(text: &str) -> Payloads {
    let metadata = [("encoding".into(), "json/plain".into())].into();
    let data = format!("\"{text}\"").into();
    Payloads { payloads: [Payload { metadata, data, ..Payload::default() }].into() }
}

fn policies(
    request: &StartWorkflowExecutionRequest,
    default_conflict: WorkflowIdConflictPolicy,
) -> Result<(WorkflowIdReusePolicy, WorkflowIdConflictPolicy), Failure> {
    let (reuse, conflict) = (request.workflow_id_reuse_policy(), request.workflow_id_conflict_policy());
    let refuse = |text: &str| Err(Failure::InvalidArgument(format!("Invalid WorkflowIDReusePolicy: {text}")));
    #[allow(deprecated, reason = "callers still use it")]
    let terminates = reuse == WorkflowIdReusePolicy::TerminateIfRunning;
    match (reuse, conflict) {
        (_, WorkflowIdConflictPolicy::Unspecified) if terminates => {
            Ok((WorkflowIdReusePolicy::AllowDuplicate, WorkflowIdConflictPolicy::TerminateExisting))
        }
        _ if terminates => refuse(
            "WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING cannot be used together with a WorkflowIDConflictPolicy",
        ),
        (WorkflowIdReusePolicy::RejectDuplicate, WorkflowIdConflictPolicy::TerminateExisting) => refuse(
            "WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE cannot be used together with WorkflowIdConflictPolicy \
             WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING",
        ),
        (reuse, WorkflowIdConflictPolicy::Unspecified) => Ok((reuse, default_conflict)),
        (reuse, conflict) => Ok((reuse, conflict)),
    }
}

fn failed(status: WorkflowExecutionStatus) -> bool {
    matches!(
        status,
        WorkflowExecutionStatus::Failed
            | WorkflowExecutionStatus::Canceled
            | WorkflowExecutionStatus::Terminated
            | WorkflowExecutionStatus::TimedOut
    )
}

fn already_started(state: &MutableState, run: RunId, message: String) -> Failure {
    let start = &state.execution.start;
    Failure::AlreadyStarted { message, start_request_id: start.own_request_id(), run, first_run: start.first_run }
}

fn answer(draft: &Draft<'_>, run: RunId, started: bool) -> Response {
    let state = &draft.runs[&run].state;
    Response::Started(Box::new(StartWorkflowExecutionResponse {
        run_id: run.to_string(),
        first_execution_run_id: state.execution.start.first_run.to_string(),
        started,
        status: state.execution.status().into(),
        eager_workflow_task: None,
        link: Some(link_to(draft, run, reference_to_start())),
    }))
}

/// A link to an event of a run.
pub(super) fn link_to(draft: &Draft<'_>, run: RunId, reference: link::workflow_event::Reference) -> Link {
    Link {
        variant: Some(link::Variant::WorkflowEvent(link::WorkflowEvent {
            namespace: draft.namespace.name.clone(),
            workflow_id: draft.key.workflow.to_string(),
            run_id: run.to_string(),
            reference: Some(reference),
        })),
    }
}

fn reference_to_start() -> link::workflow_event::Reference {
    link::workflow_event::Reference::EventRef(link::workflow_event::EventReference {
        event_id: 1,
        event_type: EventType::WorkflowExecutionStarted.into(),
    })
}

/// How long a workflow task may take when nothing else is asked for (api 3.2).
const DEFAULT_TASK_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer workflow tasks are not granted.
const LONGEST_TASK_TIMEOUT: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_timeout_outlasts_what_contains_it() {
        check([0, 0, 0], [0, 0, 10]);
        check([100, 0, 0], [100, 100, 10]);
        check([100, 200, 0], [100, 100, 10]);
        check([100, 50, 60], [100, 50, 50]);
        check([0, 2, 0], [0, 2, 2]);
        check([0, 0, 500], [0, 0, 120]);
    }

    /// Seconds of execution, run and task, asked for and granted.
    #[track_caller]
    fn check(asked: [u64; 3], granted: [u64; 3]) {
        let [execution, run, task] = asked.map(Duration::from_secs);
        let timeouts = Timeouts::effective(execution, run, task);
        assert_eq!([timeouts.execution, timeouts.run, timeouts.task].map(|time| time.as_secs()), granted);
    }
}
