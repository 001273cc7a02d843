//! Starts: [`start`] and [`signal_with_start`] check a request and write out what it leaves to be understood.

use prost_types::Duration;
use proto::temporal::api::{
    common::v1::RetryPolicy,
    enums::v1::{WorkflowIdConflictPolicy as Conflict, WorkflowIdReusePolicy as Reuse},
    workflowservice::v1::{SignalWithStartWorkflowExecutionRequest, StartWorkflowExecutionRequest},
};

use super::{
    Check,
    limits::{Sizes, blob, links, memo, request_id},
    priority::priority,
    queue::task_queue,
    refuse,
    retry::retry_policy,
    time::timeout,
};

/// A start.
pub(crate) fn start(request: &mut StartWorkflowExecutionRequest, sizes: Sizes) -> Check {
    workflow_id(&request.workflow_id, sizes)?;
    retry_policy(request.retry_policy.as_ref())?;
    match request.workflow_type.as_ref().map(|kind| kind.name.len()) {
        None | Some(0) => return refuse("WorkflowType is not set on request."),
        Some(len) if sizes.id < len => return refuse("WorkflowType length exceeds limit."),
        Some(_) => {}
    }
    task_queue(request.task_queue.as_ref(), sizes)?;
    timeouts(Timeouts {
        execution: request.workflow_execution_timeout.as_ref(),
        run: request.workflow_run_timeout.as_ref(),
        task: request.workflow_task_timeout.as_ref(),
        delay: request.workflow_start_delay.as_ref(),
    })?;
    schedule(&request.cron_schedule, request.workflow_start_delay.as_ref())?;
    request_id(&request.request_id, sizes)?;
    policies(Conflict::Fail, &mut request.workflow_id_reuse_policy, &mut request.workflow_id_conflict_policy)?;
    if let Some(options) = &request.on_conflict_options
        && options.attach_completion_callbacks
        && !options.attach_request_id
    {
        return refuse("attaching request ID is required for attaching completion callbacks");
    }
    priority(request.priority.as_ref())?;
    links(&request.links)?;
    blob(request.input.as_ref(), sizes)?;
    memo(request.memo.as_ref(), sizes)?;
    fill_in(request.retry_policy.as_mut());
    Ok(())
}

/// A signal that may start.
pub(crate) fn signal_with_start(request: &mut SignalWithStartWorkflowExecutionRequest, sizes: Sizes) -> Check {
    workflow_id(&request.workflow_id, sizes)?;
    if request.signal_name.is_empty() {
        return refuse("signal not set");
    }
    length("signal name", request.signal_name.len(), sizes)?;
    match request.workflow_type.as_ref().map(|kind| kind.name.len()) {
        None | Some(0) => return refuse("workflow type not set"),
        Some(len) => length("workflow type name", len, sizes)?,
    }
    task_queue(request.task_queue.as_ref(), sizes)?;
    length("Request ID", request.request_id.len(), sizes)?;
    timeouts(Timeouts {
        execution: request.workflow_execution_timeout.as_ref(),
        run: request.workflow_run_timeout.as_ref(),
        task: request.workflow_task_timeout.as_ref(),
        delay: request.workflow_start_delay.as_ref(),
    })?;
    retry_policy(request.retry_policy.as_ref())?;
    schedule(&request.cron_schedule, request.workflow_start_delay.as_ref())?;
    if request.workflow_id_conflict_policy() == Conflict::Fail {
        return refuse(
            "Invalid WorkflowIDConflictPolicy: WORKFLOW_ID_CONFLICT_POLICY_FAIL is not supported for this operation.",
        );
    }
    policies(Conflict::UseExisting, &mut request.workflow_id_reuse_policy, &mut request.workflow_id_conflict_policy)?;
    priority(request.priority.as_ref())?;
    links(&request.links)?;
    blob(request.input.as_ref(), sizes)?;
    blob(request.signal_input.as_ref(), sizes)?;
    memo(request.memo.as_ref(), sizes)?;
    fill_in(request.retry_policy.as_mut());
    Ok(())
}

fn workflow_id(id: &str, sizes: Sizes) -> Check {
    if id.is_empty() { refuse("WorkflowId is not set on request.") } else { length("WorkflowId", id.len(), sizes) }
}

fn length(what: &str, len: usize, sizes: Sizes) -> Check {
    let most = sizes.id;
    if most < len {
        return refuse(format!("{what} exceeds maximum allowed length ({len}/{most})"));
    }
    Ok(())
}

struct Timeouts<'a> {
    execution: Option<&'a Duration>,
    run: Option<&'a Duration>,
    task: Option<&'a Duration>,
    delay: Option<&'a Duration>,
}

fn timeouts(timeouts: Timeouts<'_>) -> Check {
    timeout("WorkflowExecutionTimeoutSeconds", timeouts.execution)?;
    timeout("WorkflowRunTimeoutSeconds", timeouts.run)?;
    timeout("WorkflowTaskTimeoutSeconds", timeouts.task)?;
    timeout("WorkflowStartDelaySeconds", timeouts.delay)
}

/// What a cron schedule says is read where it is carried out; here only whether it stands alone.
fn schedule(cron: &str, delay: Option<&Duration>) -> Check {
    if !cron.is_empty() && delay.is_some() {
        return refuse("CronSchedule and WorkflowStartDelay may not be used together.");
    }
    Ok(())
}

/// What to do about a run of the same id: `conflict` when it is open, `reuse` when it is closed (api 6.8).
fn policies(default: Conflict, reuse: &mut i32, conflict: &mut i32) -> Check {
    // A number that this version does not know counts as none.
    let known_reuse = Reuse::try_from(*reuse).unwrap_or_default();
    let known_conflict = Conflict::try_from(*conflict).unwrap_or_default();
    #[allow(deprecated, reason = "clients still send it")]
    let terminate_if_running = known_reuse == Reuse::TerminateIfRunning;
    let (new_reuse, new_conflict) = match (known_reuse, known_conflict) {
        (_, Conflict::Unspecified) if terminate_if_running => (Reuse::AllowDuplicate, Conflict::TerminateExisting),
        _ if terminate_if_running => {
            return refuse(
                "Invalid WorkflowIDReusePolicy: WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING cannot be used together \
                 with a WorkflowIDConflictPolicy",
            );
        }
        (Reuse::RejectDuplicate, Conflict::TerminateExisting) => {
            return refuse(
                "Invalid WorkflowIDReusePolicy: WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE cannot be used together \
                 with WorkflowIdConflictPolicy WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING",
            );
        }
        (Reuse::Unspecified, conflict) => (Reuse::AllowDuplicate, conflict),
        known => known,
    };
    *reuse = new_reuse.into();
    *conflict = if new_conflict == Conflict::Unspecified { default } else { new_conflict }.into();
    Ok(())
}

/// What a retry policy leaves open (api 5.2).
fn fill_in(policy: Option<&mut RetryPolicy>) {
    let Some(policy) = policy else { return };
    let initial = policy.initial_interval.get_or_insert(Duration { seconds: 1, nanos: 0 });
    if initial.seconds == 0 && initial.nanos == 0 {
        initial.seconds = 1;
    }
    if policy.backoff_coefficient == 0.0 {
        policy.backoff_coefficient = 2.0;
    }
    let initial = replicator::time::duration(Some(initial));
    let maximum = policy.maximum_interval.get_or_insert_default();
    if maximum.seconds == 0 && maximum.nanos == 0 {
        *maximum = replicator::time::proto_duration(initial.saturating_mul(100));
    }
}

#[cfg(test)]
mod tests {
    use proto::temporal::api::{common::v1::WorkflowType, taskqueue::v1::TaskQueue, workflow::v1::OnConflictOptions};

    use super::{super::text, *};

    #[test]
    fn starts() {
        check(|_| {}, None);
        check(|r| r.workflow_id = "".into(), Some("WorkflowId is not set on request."));
        check(|r| r.workflow_id = "  ".into(), None);
        check(|r| r.workflow_id = long(), Some("WorkflowId exceeds maximum allowed length (1001/1000)"));
        check(|r| r.workflow_type = None, Some("WorkflowType is not set on request."));
        check(|r| r.workflow_type = kind(""), Some("WorkflowType is not set on request."));
        check(|r| r.workflow_type = kind(&long()), Some("WorkflowType length exceeds limit."));
        check(|r| r.task_queue = None, Some("taskQueue is not set"));
        check(|r| r.request_id = long(), Some("RequestId length exceeds limit."));
        check(|r| r.identity = long(), None);
        let negative = |name: &str| format!("An invalid {name} is set on request. cause: negative duration");
        check(|r| r.workflow_execution_timeout = seconds(-1), Some(&negative("WorkflowExecutionTimeoutSeconds")));
        check(|r| r.workflow_run_timeout = seconds(-1), Some(&negative("WorkflowRunTimeoutSeconds")));
        check(|r| r.workflow_task_timeout = seconds(-1), Some(&negative("WorkflowTaskTimeoutSeconds")));
        check(|r| r.workflow_start_delay = seconds(-1), Some(&negative("WorkflowStartDelaySeconds")));
        check(|r| r.workflow_run_timeout = seconds(i64::MAX), None);
        check(
            |r| {
                r.cron_schedule = "* * * * *".into();
                r.workflow_start_delay = seconds(1);
            },
            Some("CronSchedule and WorkflowStartDelay may not be used together."),
        );
        check(
            |r| r.retry_policy = Some(RetryPolicy { maximum_attempts: -1, ..Default::default() }),
            Some("MaximumAttempts cannot be negative on retry policy."),
        );
        check(
            |r| {
                let options = OnConflictOptions { attach_completion_callbacks: true, ..Default::default() };
                r.on_conflict_options = Some(options);
            },
            Some("attaching request ID is required for attaching completion callbacks"),
        );
    }

    #[test]
    fn signals_with_start() {
        let check = |change: fn(&mut SignalWithStartWorkflowExecutionRequest), expected: Option<&str>| {
            let mut request = SignalWithStartWorkflowExecutionRequest {
                workflow_id: "w".into(),
                workflow_type: kind("order"),
                task_queue: queue(),
                signal_name: "paid".into(),
                ..Default::default()
            };
            change(&mut request);
            assert_eq!(text(signal_with_start(&mut request, Sizes::default())).as_deref(), expected);
        };
        check(|_| {}, None);
        check(|r| r.workflow_id = long(), Some("WorkflowId exceeds maximum allowed length (1001/1000)"));
        check(|r| r.signal_name = "".into(), Some("signal not set"));
        check(|r| r.signal_name = long(), Some("signal name exceeds maximum allowed length (1001/1000)"));
        check(|r| r.workflow_type = None, Some("workflow type not set"));
        check(
            |r| r.workflow_type = kind(&long()),
            Some("workflow type name exceeds maximum allowed length (1001/1000)"),
        );
        check(|r| r.request_id = long(), Some("Request ID exceeds maximum allowed length (1001/1000)"));
        check(
            |r| r.set_workflow_id_conflict_policy(Conflict::Fail),
            Some(
                "Invalid WorkflowIDConflictPolicy: WORKFLOW_ID_CONFLICT_POLICY_FAIL is not supported for this operation.",
            ),
        );
    }

    #[test]
    #[allow(deprecated, reason = "clients still send it")]
    fn policies_are_written_out() {
        let check = |reuse: i32, conflict: i32, default, expected: Option<(Reuse, Conflict)>| {
            let (mut new_reuse, mut new_conflict) = (reuse, conflict);
            let found = policies(default, &mut new_reuse, &mut new_conflict).ok();
            let found = found.map(|()| (new_reuse, new_conflict));
            assert_eq!(found, expected.map(|(r, c)| (r.into(), c.into())), "{reuse} {conflict}");
        };
        let (fail, existing, terminate) = (Conflict::Fail, Conflict::UseExisting, Conflict::TerminateExisting);
        check(0, 0, fail, Some((Reuse::AllowDuplicate, fail)));
        check(0, 0, existing, Some((Reuse::AllowDuplicate, existing)));
        check(99, 99, fail, Some((Reuse::AllowDuplicate, fail)));
        check(Reuse::RejectDuplicate.into(), 0, fail, Some((Reuse::RejectDuplicate, fail)));
        check(0, terminate.into(), fail, Some((Reuse::AllowDuplicate, terminate)));
        check(Reuse::TerminateIfRunning.into(), 0, fail, Some((Reuse::AllowDuplicate, terminate)));
        check(Reuse::TerminateIfRunning.into(), fail.into(), fail, None);
        check(Reuse::RejectDuplicate.into(), terminate.into(), fail, None);
    }

    #[test]
    fn retry_policies_are_filled_in() {
        let check = |given: RetryPolicy, initial, coefficient, maximum| {
            let mut policy = given;
            fill_in(Some(&mut policy));
            let seconds = |field: Option<Duration>| field.map(|duration| duration.seconds);
            let found =
                (seconds(policy.initial_interval), policy.backoff_coefficient, seconds(policy.maximum_interval));
            assert_eq!(found, (Some(initial), coefficient, Some(maximum)));
        };
        check(RetryPolicy::default(), 1, 2.0, 100);
        check(RetryPolicy { initial_interval: seconds(3), ..Default::default() }, 3, 2.0, 300);
        let whole = RetryPolicy {
            initial_interval: seconds(2),
            backoff_coefficient: 1.5,
            maximum_interval: seconds(7),
            ..Default::default()
        };
        check(whole, 2, 1.5, 7);
    }

    #[track_caller]
    fn check(change: impl Fn(&mut StartWorkflowExecutionRequest), expected: Option<&str>) {
        let mut request = StartWorkflowExecutionRequest {
            workflow_id: "w".into(),
            workflow_type: kind("order"),
            task_queue: queue(),
            ..Default::default()
        };
        change(&mut request);
        assert_eq!(text(start(&mut request, Sizes::default())).as_deref(), expected);
    }

    fn kind(name: &str) -> Option<WorkflowType> {
        Some(WorkflowType { name: name.into() })
    }

    fn queue() -> Option<TaskQueue> {
        Some(TaskQueue { name: "orders".into(), ..Default::default() })
    }

    fn seconds(seconds: i64) -> Option<Duration> {
        Some(Duration { seconds, nanos: 0 })
    }

    fn long() -> String {
        "x".repeat(1001)
    }
}
