//! The workflow succeeded.

use proto::temporal::api::{
    command::v1::CompleteWorkflowExecutionCommandAttributes, enums::v1::WorkflowTaskFailedCause as Cause,
    history::v1::WorkflowExecutionCompletedEventAttributes,
};

use super::{Completion, Refusal, check_size};
use crate::{history::event::Attributes, workflow::EventMeta};

const BAD: Cause = Cause::BadCompleteWorkflowExecutionAttributes;

impl Completion<'_, '_> {
    pub(super) fn complete_workflow(
        &mut self,
        command: &CompleteWorkflowExecutionCommandAttributes,
        meta: EventMeta,
    ) -> Result<(), Refusal> {
        self.require_nothing_unseen()?;
        check_size(BAD, "CompleteWorkflowExecutionCommandAttributes.Result", command.result.as_ref())?;
        let attributes = WorkflowExecutionCompletedEventAttributes {
            result: command.result.clone(),
            workflow_task_completed_event_id: self.event.0,
            ..WorkflowExecutionCompletedEventAttributes::default()
        };
        self.transition.record_with(Attributes::WorkflowExecutionCompletedEventAttributes(attributes), meta);
        Ok(())
    }
}
