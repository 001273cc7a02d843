//! Record a marker: whatever the worker wants to find again in the history.

use prost::Message;
use proto::temporal::api::{
    command::v1::RecordMarkerCommandAttributes, enums::v1::WorkflowTaskFailedCause as Cause,
    history::v1::MarkerRecordedEventAttributes,
};

use super::{Completion, Refusal, check_bytes, check_length};
use crate::{history::event::Attributes, workflow::EventMeta};

const BAD: Cause = Cause::BadRecordMarkerAttributes;

impl Completion<'_, '_> {
    pub(super) fn record_marker(
        &mut self,
        command: &RecordMarkerCommandAttributes,
        meta: EventMeta,
    ) -> Result<(), Refusal> {
        if command.marker_name.is_empty() {
            return Err(Refusal::new(BAD, "MarkerName is not set on RecordMarkerCommand."));
        }
        check_length(BAD, ("RecordMarkerCommand", "MarkerName"), &command.marker_name)?;
        let details = command.details.iter().map(|(name, details)| name.len() + details.encoded_len()).sum();
        check_bytes(BAD, "RecordMarkerCommandAttributes.Details", details)?;
        let attributes = MarkerRecordedEventAttributes {
            marker_name: command.marker_name.clone(),
            details: command.details.clone(),
            workflow_task_completed_event_id: self.event.0,
            header: command.header.clone(),
            failure: command.failure.clone(),
        };
        self.transition.record_with(Attributes::MarkerRecordedEventAttributes(attributes), meta);
        Ok(())
    }
}
