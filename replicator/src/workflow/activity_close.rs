//! An activity closes: the deferred event of its start is written, and its end right after (api 5.4).

use proto::temporal::api::history::v1::ActivityTaskStartedEventAttributes;

use super::{EventMeta, draft::Transition};
use crate::{history::event::Attributes, ids::EventId};

impl Transition<'_> {
    /// The activity ends as `closing` says; its `started_event_id` is left to be filled in. An attempt that no worker
    /// has is taken to have been started by `identity`, if one is given (api 5.10).
    pub(super) fn end_activity(&mut self, scheduled: EventId, identity: Option<&str>, closing: Attributes) {
        let activity = self.activity(scheduled).expect("a pending activity");
        let start = activity.started.as_ref();
        let start = start.map(|start| (start.time, start.identity.clone(), start.request_id.clone()));
        let start = start.or_else(|| identity.map(|identity| (self.now, identity.into(), Default::default())));
        if let Some((time, identity, request_id)) = start {
            let attributes = ActivityTaskStartedEventAttributes {
                scheduled_event_id: scheduled.0,
                identity,
                request_id,
                attempt: activity.attempt,
                last_failure: activity.last_failure.as_deref().cloned(),
                ..ActivityTaskStartedEventAttributes::default()
            };
            let attributes = Attributes::ActivityTaskStartedEventAttributes(attributes);
            self.receive_at(time, attributes, EventMeta::default());
        }
        self.receive(closing, EventMeta::default());
    }
}
