//! What becomes of an activity's attempts without an event: they start, show signs of life, and are tried again (api 5).

use alloc::sync::Arc;
use core::time::Duration;

use proto::temporal::api::{common::v1::Payloads, failure::v1::Failure};

use super::{
    activity::{Activity, ActivityStart, Heartbeat},
    draft::Transition,
    failure,
};
use crate::{ids::EventId, time::Timestamp};

impl Activity {
    /// When all its attempts must be over, if ever.
    #[must_use]
    pub fn expiration(&self) -> Option<Timestamp> {
        let whole = crate::time::duration(self.attributes.schedule_to_close_timeout.as_ref());
        (whole > Duration::ZERO).then(|| self.first_scheduled_time + whole)
    }

    /// Progress that was told last.
    #[must_use]
    pub fn heartbeat_details(&self) -> Option<&Payloads> {
        self.heartbeat.as_ref()?.details.as_ref()
    }
}

impl Transition<'_> {
    /// A worker has the current attempt.
    pub(super) fn start_attempt(&mut self, scheduled: EventId, request_id: &str, identity: &str) {
        let (now, version) = (self.now, self.version);
        self.touch_activity(scheduled, |activity| {
            assert!(activity.started.is_none(), "an attempt starts once");
            activity.started =
                Some(ActivityStart { time: now, request_id: request_id.into(), identity: identity.into(), version });
            activity.last_worker_identity = identity.into();
        });
    }

    /// The current attempt is alive.
    pub(super) fn record_heartbeat(&mut self, scheduled: EventId, details: Option<Payloads>) {
        let now = self.now;
        self.touch_activity(scheduled, |activity| activity.heartbeat = Some(Heartbeat { time: now, details }));
    }

    /// The current attempt failed, and there is another after `delay`.
    pub(super) fn retry_attempt(&mut self, scheduled: EventId, failure: &Failure, delay: Duration) {
        let now = self.now;
        self.touch_activity(scheduled, |activity| {
            activity.attempt = activity.attempt.saturating_add(1);
            activity.scheduled_time = now + delay;
            activity.started = None;
            activity.last_failure = Some(Arc::new(failure::truncated(failure, KEPT_FAILURE)));
            activity.last_attempt_complete_time = Some(now);
        });
    }

    /// Change an activity in a way that no event tells, so that peers are told otherwise. A sign of life counts, too: it
    /// was heard under this version.
    fn touch_activity(&mut self, scheduled: EventId, change: impl FnOnce(&mut Activity)) {
        let activity = self.run.state.activities.table.get_mut(&scheduled).expect("a pending activity");
        change(activity);
        activity.version = self.version;
        self.run.changes.synced_activities.insert(scheduled);
        self.run.changes.changed = true;
    }
}

/// Bytes of a failure that are kept for the next attempt (api 11.6).
const KEPT_FAILURE: usize = 4096;
