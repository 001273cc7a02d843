//! The workflow did what it was asked to: it cancelled itself.

use proto::temporal::api::{
    command::v1::CancelWorkflowExecutionCommandAttributes, enums::v1::WorkflowTaskFailedCause as Cause,
    history::v1::WorkflowExecutionCanceledEventAttributes,
};

use super::{Completion, Refusal, check_size};
use crate::{history::event::Attributes, workflow::EventMeta};

const BAD: Cause = Cause::BadCancelWorkflowExecutionAttributes;

impl Completion<'_, '_> {
    pub(super) fn cancel_workflow(
        &mut self,
        command: &CancelWorkflowExecutionCommandAttributes,
        meta: EventMeta,
    ) -> Result<(), Refusal> {
        self.require_nothing_unseen()?;
        check_size(BAD, "CancelWorkflowExecutionCommandAttributes.Details", command.details.as_ref())?;
        let attributes = WorkflowExecutionCanceledEventAttributes {
            details: command.details.clone(),
            workflow_task_completed_event_id: self.event.0,
        };
        self.transition.record_with(Attributes::WorkflowExecutionCanceledEventAttributes(attributes), meta);
        Ok(())
    }
}
