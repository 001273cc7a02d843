//! Runs that follow a run: what is carried over, and how a workflow is retried (api 6.12, 6.14).

use alloc::string::{String, ToString};
use core::time::Duration;

use proto::temporal::api::{
    enums::v1::{ContinueAsNewInitiator, RetryState},
    failure::v1::Failure,
    history::v1::WorkflowExecutionStartedEventAttributes,
};

use super::{
    EventMeta, MutableState,
    draft::{Draft, Transition},
    retry::{Attempt, Decision},
};
use crate::{ids::RunId, time::proto_duration};

/// A run that is to follow.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Successor {
    /// The run.
    pub(super) run: RunId,
    /// Its first event.
    pub(super) started: WorkflowExecutionStartedEventAttributes,
}

/// The run that follows because this one failed, or why none does.
pub(super) fn retry(transition: &mut Transition<'_>, failure: &Failure) -> Result<Successor, RetryState> {
    let start = &transition.run.state.execution.start;
    let attempt = Attempt {
        policy: start.retry_policy(),
        number: start.attributes.attempt.max(1),
        failure,
        now: transition.now,
        expiration: transition.run.state.execution_expiration(),
    };
    let delay = match decide(&attempt) {
        Decision::Again(delay) => delay,
        Decision::Over(state) => return Err(state),
    };
    let run = transition.entropy.run_id();
    let state = &transition.run.state;
    let before = &state.execution.start.attributes;
    let carried = carried_over(state, run);
    let started = WorkflowExecutionStartedEventAttributes {
        continued_execution_run_id: carried.continued_execution_run_id,
        original_execution_run_id: carried.original_execution_run_id,
        first_execution_run_id: carried.first_execution_run_id,
        identity: String::new(),
        initiator: ContinueAsNewInitiator::Retry.into(),
        continued_failure: Some(failure.clone()),
        attempt: before.attempt.max(1).saturating_add(1),
        first_workflow_task_backoff: Some(proto_duration(delay)),
        ..before.clone()
    };
    Ok(Successor { run, started })
}

/// A chain that has used its time is over, whatever its policy says.
fn decide(attempt: &Attempt<'_>) -> Decision {
    match attempt.expiration {
        Some(expiration) if attempt.now >= expiration => Decision::Over(RetryState::Timeout),
        _ => attempt.decide(),
    }
}

/// What spans the runs of a chain, in the first event of the next one.
pub(super) fn carried_over(state: &MutableState, run: RunId) -> WorkflowExecutionStartedEventAttributes {
    let before = &state.execution.start.attributes;
    WorkflowExecutionStartedEventAttributes {
        parent_workflow_namespace: before.parent_workflow_namespace.clone(),
        parent_workflow_namespace_id: before.parent_workflow_namespace_id.clone(),
        parent_workflow_execution: before.parent_workflow_execution.clone(),
        parent_initiated_event_id: before.parent_initiated_event_id,
        parent_initiated_event_version: before.parent_initiated_event_version,
        root_workflow_execution: before.root_workflow_execution.clone(),
        workflow_execution_timeout: before.workflow_execution_timeout,
        workflow_execution_expiration_time: state.execution_expiration().map(Into::into),
        continued_execution_run_id: state.run.run.to_string(),
        original_execution_run_id: run.to_string(),
        first_execution_run_id: state.execution.start.first_run.to_string(),
        workflow_id: before.workflow_id.clone(),
        priority: before.priority.clone(),
        ..WorkflowExecutionStartedEventAttributes::default()
    }
}

/// Start the run that follows `old`, which is closed.
///
/// It answers to the request that began the chain: a caller who was not told that his start succeeded asks again, and by
/// then another run may be current.
pub(super) fn begin(draft: &mut Draft<'_>, old: RunId, successor: Successor) {
    let request_id = draft.runs[&old].state.execution.start.request_id.clone();
    draft.create_run(successor.run, request_id, successor.started, EventMeta::default());
    draft.runs.get_mut(&old).expect("the run is loaded").changes.new_run = Some(successor.run);
    draft.transition(successor.run).expect("it was just created").schedule_workflow_task();
}

/// The run that follows, as closing events name it: empty for none.
pub(super) fn run_id(successor: Option<&Successor>) -> String {
    successor.map(|successor| successor.run.to_string()).unwrap_or_default()
}

/// A run that continues as new sooner makes the next one wait for the rest (api 6.8).
pub(super) const SHORTEST_RUN: Duration = Duration::from_secs(1);
