//! Ask an activity to stop (api 5.9). One that no worker has is over at once.

use alloc::format;

use proto::temporal::api::{
    command::v1::RequestCancelActivityTaskCommandAttributes,
    enums::v1::WorkflowTaskFailedCause as Cause,
    history::v1::{ActivityTaskCancelRequestedEventAttributes, ActivityTaskCanceledEventAttributes},
};

use super::{Completion, Refusal};
use crate::{
    history::event::Attributes,
    ids::EventId,
    workflow::{EventMeta, request::json_string},
};

const BAD: Cause = Cause::BadRequestCancelActivityAttributes;

impl Completion<'_, '_> {
    pub(super) fn cancel_activity(
        &mut self,
        command: &RequestCancelActivityTaskCommandAttributes,
        meta: EventMeta,
    ) -> Result<(), Refusal> {
        let scheduled = EventId(command.scheduled_event_id);
        if scheduled <= EventId::NONE {
            return Err(Refusal::new(BAD, "ScheduledEventId is not set on RequestCancelActivityTaskCommand."));
        }
        let activity = self.transition.run.state.activities.table.get(&scheduled);
        // The workflow cannot know of an end that waits in the buffer; it may ask then, even again.
        let Some(activity) = activity.filter(|activity| activity.is_closing || activity.cancel_requested.is_none())
        else {
            let detail = format!(
                "invalid history builder state for action: add-activitytask-cancel-requested-event, ScheduledEventID: \
                 {scheduled}"
            );
            return Err(Refusal::new(BAD, detail));
        };
        let is_over = activity.started.is_none() && !activity.is_closing;
        let requested = ActivityTaskCancelRequestedEventAttributes {
            scheduled_event_id: scheduled.0,
            workflow_task_completed_event_id: self.event.0,
        };
        let requested = Attributes::ActivityTaskCancelRequestedEventAttributes(requested);
        let requested = self.transition.record_with(requested, meta);
        if is_over {
            let canceled = ActivityTaskCanceledEventAttributes {
                details: Some(json_string("ACTIVITY_ID_NOT_STARTED")),
                latest_cancel_requested_event_id: requested.0,
                scheduled_event_id: scheduled.0,
                identity: self.identity.into(),
                ..ActivityTaskCanceledEventAttributes::default()
            };
            self.transition.receive_after_commands(Attributes::ActivityTaskCanceledEventAttributes(canceled));
            self.caused += 1;
        }
        Ok(())
    }
}
