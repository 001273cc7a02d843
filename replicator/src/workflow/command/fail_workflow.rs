//! The workflow failed. If it has a retry policy that says so, another run follows (api 6.14).

use proto::temporal::api::{
    command::v1::FailWorkflowExecutionCommandAttributes,
    enums::v1::{RetryState, WorkflowTaskFailedCause as Cause},
    history::v1::WorkflowExecutionFailedEventAttributes,
};

use super::{Completion, Refusal, check_size};
use crate::{
    history::event::Attributes,
    workflow::{EventMeta, succession},
};

const BAD: Cause = Cause::BadFailWorkflowExecutionAttributes;

impl Completion<'_, '_> {
    pub(super) fn fail_workflow(
        &mut self,
        command: &FailWorkflowExecutionCommandAttributes,
        meta: EventMeta,
    ) -> Result<(), Refusal> {
        self.require_nothing_unseen()?;
        let Some(failure) = &command.failure else {
            return Err(Refusal::new(BAD, "Failure is not set on FailWorkflowExecutionCommand."));
        };
        check_size(BAD, "FailWorkflowExecutionCommandAttributes.Failure", command.failure.as_ref())?;
        let successor = succession::retry(self.transition, failure);
        let attributes = WorkflowExecutionFailedEventAttributes {
            failure: Some(failure.clone()),
            retry_state: successor.as_ref().map_or_else(|state| *state, |_| RetryState::InProgress).into(),
            workflow_task_completed_event_id: self.event.0,
            new_execution_run_id: succession::run_id(successor.as_ref().ok()),
        };
        self.transition.record_with(Attributes::WorkflowExecutionFailedEventAttributes(attributes), meta);
        self.successor = successor.ok();
        Ok(())
    }
}
