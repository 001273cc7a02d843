//! The workflow goes on in another run, with a history of its own.
//!
//! What the new run is started with comes from the command alone; what spans runs is carried over (api 4).

use alloc::{format, string::String};

use proto::temporal::api::{
    command::v1::ContinueAsNewWorkflowExecutionCommandAttributes,
    enums::v1::{ContinueAsNewInitiator, ContinueAsNewVersioningBehavior, WorkflowTaskFailedCause as Cause},
    history::v1::{WorkflowExecutionContinuedAsNewEventAttributes, WorkflowExecutionStartedEventAttributes},
};

use super::{Completion, Refusal, check_length, check_queue, check_size};
use crate::{
    history::event::Attributes,
    ids::RunId,
    time::{duration, proto_duration},
    workflow::{
        EventMeta,
        execution::Start,
        request::{Timeouts, normal_queue},
        retry,
        succession::{self, Successor},
    },
};

const BAD: Cause = Cause::BadContinueAsNewAttributes;

impl Completion<'_, '_> {
    pub(super) fn continue_as_new(
        &mut self,
        command: &ContinueAsNewWorkflowExecutionCommandAttributes,
        meta: EventMeta,
    ) -> Result<(), Refusal> {
        self.require_nothing_unseen()?;
        check(command, &self.transition.run.state.execution.start)?;
        let run = self.transition.entropy.run_id();
        let started = self.next_start(command, run);
        let attributes = WorkflowExecutionContinuedAsNewEventAttributes {
            new_execution_run_id: started.original_execution_run_id.clone(),
            workflow_type: started.workflow_type.clone(),
            task_queue: started.task_queue.clone(),
            input: started.input.clone(),
            workflow_run_timeout: Some(proto_duration(duration(started.workflow_run_timeout.as_ref()))),
            workflow_task_timeout: started.workflow_task_timeout,
            workflow_task_completed_event_id: self.event.0,
            backoff_start_interval: command.backoff_start_interval,
            initiator: command.initiator,
            last_completion_result: command.last_completion_result.clone(),
            header: command.header.clone(),
            memo: command.memo.clone(),
            ..WorkflowExecutionContinuedAsNewEventAttributes::default()
        };
        self.transition.record_with(Attributes::WorkflowExecutionContinuedAsNewEventAttributes(attributes), meta);
        self.successor = Some(Successor { run, started });
        Ok(())
    }

    /// The first event of the next run.
    fn next_start(
        &self,
        command: &ContinueAsNewWorkflowExecutionCommandAttributes,
        run: RunId,
    ) -> WorkflowExecutionStartedEventAttributes {
        let state = &self.transition.run.state;
        let before = &state.execution.start;
        let queue = command.task_queue.as_ref().map_or("", |queue| &queue.name);
        let or_before = |asked: Option<&prost_types::Duration>, before| match duration(asked) {
            asked if asked.is_zero() => before,
            asked => asked,
        };
        let timeouts = Timeouts::effective(
            duration(before.attributes.workflow_execution_timeout.as_ref()),
            or_before(command.workflow_run_timeout.as_ref(), before.run_timeout()),
            or_before(command.workflow_task_timeout.as_ref(), before.task_timeout()),
        );
        let mut retry_policy = command.retry_policy.clone();
        if let Some(policy) = &mut retry_policy {
            retry::fill_in(policy);
        }
        let initiator = match command.initiator() {
            ContinueAsNewInitiator::Unspecified => ContinueAsNewInitiator::Workflow,
            initiator => initiator,
        };
        // Runs that do nothing but continue as new must not keep the cluster busy.
        let rest = succession::SHORTEST_RUN.saturating_sub(self.transition.now.since(before.time));
        let backoff = duration(command.backoff_start_interval.as_ref()).max(rest);
        WorkflowExecutionStartedEventAttributes {
            workflow_type: command
                .workflow_type
                .clone()
                .filter(|kind| !kind.name.is_empty())
                .or_else(|| before.attributes.workflow_type.clone()),
            task_queue: Some(normal_queue(if queue.is_empty() { before.task_queue() } else { queue })),
            input: command.input.clone(),
            workflow_run_timeout: Some(proto_duration(timeouts.run)),
            workflow_task_timeout: Some(proto_duration(timeouts.task)),
            initiator: initiator.into(),
            #[allow(deprecated, reason = "workers may still send it")]
            continued_failure: command.failure.clone(),
            last_completion_result: command.last_completion_result.clone(),
            retry_policy,
            attempt: 1,
            first_workflow_task_backoff: Some(proto_duration(backoff)),
            memo: command.memo.clone(),
            header: command.header.clone(),
            ..succession::carried_over(state, run)
        }
    }
}

fn check(command: &ContinueAsNewWorkflowExecutionCommandAttributes, before: &Start) -> Result<(), Refusal> {
    let refuse = |detail: String| Refusal::new(BAD, detail);
    let kind = command.workflow_type.as_ref().map(|kind| kind.name.as_str());
    let kind = kind.filter(|name| !name.is_empty()).unwrap_or(before.workflow_type());
    let queue = command.task_queue.as_ref().map_or("", |queue| &queue.name);
    check_length(BAD, ("ContinueAsNewWorkflowExecutionCommand", "WorkflowType"), kind)?;
    check_queue(queue).map_err(|problem| {
        refuse(format!(
            "error validating ContinueAsNewWorkflowExecutionCommand TaskQueue: {problem}. WorkflowType={kind} \
             TaskQueue={queue}"
        ))
    })?;
    let times = [
        ("WorkflowRunTimeout", &command.workflow_run_timeout),
        ("WorkflowTaskTimeout", &command.workflow_task_timeout),
        ("BackoffStartInterval", &command.backoff_start_interval),
    ];
    for (name, time) in times {
        retry::check_duration(time.as_ref()).map_err(|problem| {
            refuse(format!(
                "Invalid {name} on ContinueAsNewWorkflowExecutionCommand: {problem}. WorkflowType={kind} \
                 TaskQueue={queue}"
            ))
        })?;
    }
    if let Some(policy) = &command.retry_policy {
        retry::check(policy).map_err(refuse)?;
    }
    if !command.cron_schedule.is_empty() {
        return Err(refuse("cron_schedule is not supported".into()));
    }
    if command.initial_versioning_behavior() != ContinueAsNewVersioningBehavior::Unspecified {
        return Err(refuse("initial_versioning_behavior is not supported".into()));
    }
    if command.search_attributes.as_ref().is_some_and(|fields| !fields.indexed_fields.is_empty()) {
        return Err(Refusal::new(Cause::BadSearchAttributes, "search_attributes is not supported"));
    }
    check_size(BAD, "ContinueAsNewWorkflowExecutionCommandAttributes.Input", command.input.as_ref())?;
    check_size(BAD, "ContinueAsNewWorkflowExecutionCommandAttributes.Memo", command.memo.as_ref())
}
