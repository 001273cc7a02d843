//! Change the run's memo.

use prost::Message;
use proto::temporal::api::{
    command::v1::ModifyWorkflowPropertiesCommandAttributes, enums::v1::WorkflowTaskFailedCause as Cause,
    history::v1::WorkflowPropertiesModifiedEventAttributes,
};

use super::{Completion, Refusal, check_bytes};
use crate::{history::event::Attributes, workflow::EventMeta};

const BAD: Cause = Cause::BadModifyWorkflowPropertiesAttributes;

impl Completion<'_, '_> {
    pub(super) fn modify_properties(
        &mut self,
        command: &ModifyWorkflowPropertiesCommandAttributes,
        meta: EventMeta,
    ) -> Result<(), Refusal> {
        let Some(memo) = command.upserted_memo.as_ref().filter(|memo| !memo.fields.is_empty()) else {
            return Err(Refusal::new(BAD, "UpsertedMemo is not set on ModifyWorkflowPropertiesCommand."));
        };
        let before = &self.transition.run.state.execution.memo;
        let kept = before.iter().filter(|(key, _)| !memo.fields.contains_key(*key));
        let bytes = kept.map(|(key, payload)| key.len() + payload.encoded_len()).sum::<usize>() + memo.encoded_len();
        check_bytes(BAD, "ModifyWorkflowPropertiesCommandAttributes.UpsertedMemo", bytes)?;
        let attributes = WorkflowPropertiesModifiedEventAttributes {
            workflow_task_completed_event_id: self.event.0,
            upserted_memo: Some(memo.clone()),
        };
        self.transition.record_with(Attributes::WorkflowPropertiesModifiedEventAttributes(attributes), meta);
        self.transition.run.changes.visibility = true;
        Ok(())
    }
}
