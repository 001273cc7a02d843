//! Cancel a timer. One that fired without the workflow seeing it counts as not fired.

use alloc::format;

use proto::temporal::api::{
    command::v1::CancelTimerCommandAttributes, enums::v1::WorkflowTaskFailedCause as Cause,
    history::v1::TimerCanceledEventAttributes,
};

use super::{Completion, Refusal, check_length};
use crate::{history::event::Attributes, workflow::EventMeta};

const BAD: Cause = Cause::BadCancelTimerAttributes;

impl Completion<'_, '_> {
    pub(super) fn cancel_timer(
        &mut self,
        command: &CancelTimerCommandAttributes,
        meta: EventMeta,
    ) -> Result<(), Refusal> {
        let id = &command.timer_id;
        if id.is_empty() {
            return Err(Refusal::new(BAD, "TimerId is not set on CancelTimerCommand."));
        }
        check_length(BAD, ("CancelTimerCommand", "TimerId"), id)?;
        let Some(timer) = self.transition.run.state.timers.by_id(id) else {
            let detail = format!("invalid history builder state for action: add-timer-canceled-event, TimerID: {id}");
            return Err(Refusal::new(BAD, detail));
        };
        let started = timer.started;
        self.transition.remove_buffered_timer_fired(started);
        let attributes = TimerCanceledEventAttributes {
            timer_id: id.clone(),
            started_event_id: started.0,
            workflow_task_completed_event_id: self.event.0,
            identity: self.identity.into(),
        };
        self.transition.record_with(Attributes::TimerCanceledEventAttributes(attributes), meta);
        Ok(())
    }
}
