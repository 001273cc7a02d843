//! Start a timer (api 6.1).

use alloc::format;

use proto::temporal::api::{
    command::v1::StartTimerCommandAttributes, enums::v1::WorkflowTaskFailedCause as Cause,
    history::v1::TimerStartedEventAttributes,
};

use super::{Completion, Refusal, check_length};
use crate::{
    history::event::Attributes,
    time::{duration, proto_duration},
    workflow::{EventMeta, retry},
};

const BAD: Cause = Cause::BadStartTimerAttributes;

impl Completion<'_, '_> {
    pub(super) fn start_timer(
        &mut self,
        command: &StartTimerCommandAttributes,
        meta: EventMeta,
    ) -> Result<(), Refusal> {
        let id = &command.timer_id;
        if id.is_empty() {
            return Err(Refusal::new(BAD, "TimerId is not set on StartTimerCommand."));
        }
        check_length(BAD, ("StartTimerCommand", "TimerId"), id)?;
        retry::check_duration(command.start_to_fire_timeout.as_ref()).map_err(|problem| {
            let what = "An invalid StartToFireTimeout is set on StartTimerCommand";
            Refusal::new(BAD, format!("{what}: {problem}. TimerId={id}"))
        })?;
        if self.transition.run.state.timers.by_id(id).is_some() {
            let detail = format!("invalid history builder state for action: add-timer-started-event, TimerID: {id}");
            return Err(Refusal::new(Cause::StartTimerDuplicateId, detail));
        }
        let attributes = TimerStartedEventAttributes {
            timer_id: id.clone(),
            start_to_fire_timeout: Some(proto_duration(duration(command.start_to_fire_timeout.as_ref()))),
            workflow_task_completed_event_id: self.event.0,
        };
        self.transition.record_with(Attributes::TimerStartedEventAttributes(attributes), meta);
        Ok(())
    }
}
