//! Which run, task or activity a request speaks of, and the words that say there is none.

use alloc::{
    format,
    string::{String, ToString},
};

use crate::{
    ids::{EventId, RunId},
    shard::io::{ActivityClaim, Failure, Request, TaskClaim},
    workflow::{
        MutableState,
        activity::Activity,
        draft::{Draft, Transition},
        execution::Phase,
        workflow_task::WorkflowTask,
    },
};

/// The run that a request names, or the current one.
pub(super) fn run(draft: &Draft<'_>, request: &Request) -> Result<RunId, Failure> {
    draft.resolve(request.run).ok_or_else(|| missing(request))
}

/// The same, if it is open.
pub(super) fn open_run(draft: &Draft<'_>, request: &Request) -> Result<RunId, Failure> {
    let run = run(draft, request)?;
    if is_running(&draft.runs[&run].state) { Ok(run) } else { Err(completed()) }
}

/// The current run, if it belongs to the chain that `first_run` began; for requests that name a chain instead of a run.
pub(super) fn run_of_chain(draft: &Draft<'_>, request: &Request, first_run: &str) -> Result<RunId, Failure> {
    if first_run.is_empty() {
        return run(draft, request);
    }
    let current = draft.resolve(None).ok_or_else(|| missing(&Request { run: None, ..request.clone() }))?;
    if draft.runs[&current].state.execution.start.first_run.to_string() == first_run {
        return Ok(current);
    }
    Err(Failure::NotFound("workflow execution not found".into()))
}

/// Whether requests may change the run. One that lost to another run of its workflow is changed by replication alone.
pub(in crate::workflow) fn is_running(state: &MutableState) -> bool {
    state.execution.phase == Phase::Running
}

/// The started workflow task that a worker's token claims.
pub(super) fn started_task<'a>(state: &'a MutableState, claim: &TaskClaim) -> Result<&'a WorkflowTask, Failure> {
    let task = state.workflow_task.pending.as_ref().filter(|task| {
        let started =
            task.started.as_ref().is_some_and(|start| start.event == claim.started && start.time == claim.started_time);
        started && task.scheduled == claim.scheduled && task.attempt == claim.attempt && task.version == claim.version
    });
    task.filter(|_| is_running(state)).ok_or_else(no_task)
}

/// The pending activity that a caller speaks of. By token it is the attempt that the token was given for.
pub(super) fn activity(transition: &Transition<'_>, claim: &ActivityClaim) -> Result<EventId, Failure> {
    match claim {
        ActivityClaim::Task { scheduled, attempt, version } => {
            let claimed = |activity: &&Activity| {
                let started = activity.started.as_ref().is_some_and(|start| start.version == *version);
                started && activity.attempt == *attempt
            };
            let activity = transition.activity(*scheduled).filter(claimed);
            activity.map(|activity| activity.scheduled).ok_or_else(no_activity)
        }
        ActivityClaim::ById(id) => {
            let activity = transition.run.state.activities.by_id(id);
            let scheduled = activity.and_then(|activity| transition.activity(activity.scheduled));
            scheduled.map(|activity| activity.scheduled).ok_or_else(|| {
                Failure::NotFound(format!(
                    "cannot find pending activity with ActivityID {id}, check workflow execution history for more details"
                ))
            })
        }
    }
}

/// There is no such run.
pub(super) fn missing(request: &Request) -> Failure {
    let workflow = &request.workflow.workflow;
    Failure::NotFound(match request.run {
        None => format!("workflow not found for ID: {workflow}"),
        Some(run) => format!("workflow execution not found for workflow ID \"{workflow}\" and run ID \"{run}\""),
    })
}

/// The run is over.
pub(super) fn completed() -> Failure {
    Failure::NotFound("workflow execution already completed".into())
}

/// There is no such workflow task, or not any more.
pub(super) fn no_task() -> Failure {
    Failure::NotFound("Workflow task not found.".into())
}

/// There is no such activity, or not any more.
pub(super) fn no_activity() -> Failure {
    let text = "invalid activityID or activity already timed out or invoking workflow is completed";
    Failure::NotFound(String::from(text))
}
