//! Activities that were scheduled and have not closed (api 5).

use alloc::{collections::BTreeMap, string::String, sync::Arc, vec::Vec};

use prost::Message;
use proto::temporal::api::{
    common::v1::Payloads,
    enums::v1::TimeoutType,
    failure::v1::Failure,
    history::v1::{
        ActivityTaskCancelRequestedEventAttributes, ActivityTaskScheduledEventAttributes,
        ActivityTaskStartedEventAttributes,
    },
};

use super::{
    apply::{At, Reason},
    digest::Digest,
    table::{Item, NAME, Table},
    weight,
};
use crate::{
    ids::EventId,
    task::TaskKey,
    time::{Timestamp, duration},
    version::{FailoverVersion, VersionHistoryItem},
};

/// The run's activities.
#[derive(Clone, Debug, Default)]
pub struct Activities {
    /// By scheduled event.
    pub table: Table<EventId, Activity>,
    /// Scheduled events by the workflow's own name for the activity.
    pub by_id: BTreeMap<String, EventId>,
    /// Queued tasks of activities that closed since the last transaction.
    released: Vec<(EventId, ActivityTaskRef)>,
}

/// Released tasks are bookkeeping, and names follow from the table.
impl PartialEq for Activities {
    fn eq(&self, other: &Self) -> bool {
        self.table == other.table
    }
}

/// A pending activity.
#[derive(Clone, Debug, PartialEq)]
pub struct Activity {
    /// Version under which it last changed: scheduled, or an attempt started or ended (TK-2).
    pub version: FailoverVersion,
    /// Its scheduled event.
    pub scheduled: EventId,
    /// First event of the batch that holds the scheduled event.
    pub scheduled_batch: EventId,
    /// The event's attributes: id, type, queue, input, timeouts, retry policy.
    pub attributes: Arc<ActivityTaskScheduledEventAttributes>,
    /// Time of the scheduled event.
    pub first_scheduled_time: Timestamp,
    /// When the current attempt is or was ready.
    pub scheduled_time: Timestamp,
    /// Current attempt; the first is 1.
    pub attempt: i32,
    /// The current attempt's start, if a worker has it. No event shows it until the activity closes (api 5.4).
    pub started: Option<ActivityStart>,
    /// Last sign of life and the progress it told.
    pub heartbeat: Option<Heartbeat>,
    /// The event that asked it to stop, if one did.
    pub cancel_requested: Option<EventId>,
    /// Why the last attempt failed.
    pub last_failure: Option<Arc<Failure>>,
    /// Who had the last attempt.
    pub last_worker_identity: String,
    /// When the last attempt ended.
    pub last_attempt_complete_time: Option<Timestamp>,
    /// The task that waits in a queue for this attempt: its dispatch, or its retry timer. Local.
    pub task: Option<ActivityTaskRef>,
    /// Last event of the branch when it last changed without an event, here or where that was told: on another branch the
    /// change did not happen.
    pub told_at: Option<VersionHistoryItem>,
    /// Whether its closing event waits in the buffer: it is over, but for the event. Local.
    pub is_closing: bool,
}

/// A task of an activity that rests in a queue.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ActivityTaskRef {
    /// Whether it is the retry timer rather than the dispatch.
    pub is_retry: bool,
    /// Its attempt.
    pub attempt: i32,
    /// Version of the activity that it speaks of; under another one the task is stale (TK-2).
    pub version: FailoverVersion,
    /// Its place.
    pub key: TaskKey,
}

/// An attempt in a worker's hands.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivityStart {
    /// When.
    pub time: Timestamp,
    /// Names the attempt to take it.
    pub request_id: String,
    /// Who has it.
    pub identity: String,
    /// Version under which it was started; part of the token.
    pub version: FailoverVersion,
}

/// A sign of life.
#[derive(Clone, Debug, PartialEq)]
pub struct Heartbeat {
    /// When.
    pub time: Timestamp,
    /// Progress.
    pub details: Option<Payloads>,
}

impl Activities {
    pub(super) fn apply_scheduled(
        &mut self,
        at: At,
        attributes: &ActivityTaskScheduledEventAttributes,
    ) -> Result<(), Reason> {
        // One of the same name may be cancelled by a command before, and its end be told after all commands.
        let namesake = self.by_id(&attributes.activity_id);
        if namesake.is_some_and(|activity| activity.started.is_some() || activity.cancel_requested.is_none()) {
            return Err("an activity of this id is pending");
        }
        self.by_id.insert(attributes.activity_id.clone(), at.event);
        self.table.insert(at.event, Activity::new(at, Arc::new(attributes.clone())));
        Ok(())
    }

    /// The deferred start: it tells what SyncActivity may have told before.
    pub(super) fn apply_started(
        &mut self,
        at: At,
        attributes: &ActivityTaskStartedEventAttributes,
    ) -> Result<(), Reason> {
        let activity = self.pending(attributes.scheduled_event_id)?;
        activity.version = at.version;
        activity.attempt = attributes.attempt.max(1);
        activity.started = Some(ActivityStart {
            time: at.time,
            request_id: attributes.request_id.clone(),
            identity: attributes.identity.clone(),
            version: at.version,
        });
        Ok(())
    }

    pub(super) fn apply_cancel_requested(
        &mut self,
        at: At,
        attributes: &ActivityTaskCancelRequestedEventAttributes,
    ) -> Result<(), Reason> {
        let activity = self.pending(attributes.scheduled_event_id)?;
        activity.version = at.version;
        activity.cancel_requested = Some(at.event);
        Ok(())
    }

    /// It completed, failed, timed out or was cancelled.
    pub(super) fn apply_closed(&mut self, scheduled: i64) -> Result<(), Reason> {
        let scheduled = EventId(scheduled);
        let activity = self.table.remove(&scheduled).ok_or(UNKNOWN)?;
        let id = &activity.attributes.activity_id;
        if self.by_id.get(id) == Some(&scheduled) {
            self.by_id.remove(id);
        }
        self.released.extend(activity.task.map(|task| (scheduled, task)));
        Ok(())
    }

    /// The run was made by a reset: what was scheduled is scheduled anew.
    pub(super) fn apply_reset(&mut self, at: At) {
        let all: Vec<EventId> = self.table.keys().copied().collect();
        for scheduled in all {
            if let Some(activity) = self.table.get_mut(&scheduled).filter(|activity| activity.started.is_none()) {
                let (cancel_requested, task) = (activity.cancel_requested, activity.task);
                let scheduled_at = At { event: scheduled, batch: activity.scheduled_batch, ..at };
                *activity =
                    Activity { cancel_requested, task, ..Activity::new(scheduled_at, activity.attributes.clone()) };
            }
        }
    }

    /// The run is over, and with it whatever its activities do.
    pub(super) fn abandon(&mut self) {
        let all: Vec<_> = self.table.keys().map(|scheduled| scheduled.0).collect();
        for scheduled in all {
            self.apply_closed(scheduled).expect("a key of the table");
        }
    }

    /// An activity that was loaded.
    pub(super) fn restore(&mut self, activity: Activity) {
        self.by_id.insert(activity.attributes.activity_id.clone(), activity.scheduled);
        self.table.restore(activity.scheduled, activity);
    }

    /// The end of an activity went to the buffer, or came back from it.
    pub(super) fn set_closing(&mut self, scheduled: EventId, is_closing: bool) {
        if let Some(activity) = self.table.get_mut(&scheduled) {
            activity.is_closing = is_closing;
        }
    }

    /// The queued task of an activity is done with.
    pub(super) fn forget_task(&mut self, scheduled: EventId, key: TaskKey) -> bool {
        let knows =
            self.table.get(&scheduled).is_some_and(|activity| activity.task.is_some_and(|task| task.key == key));
        if knows && let Some(activity) = self.table.get_mut(&scheduled) {
            activity.task = None;
        }
        knows
    }

    /// Tasks in queues that speak of another branch.
    pub(super) fn release(&mut self, tasks: impl Iterator<Item = (EventId, ActivityTaskRef)>) {
        self.released.extend(tasks);
    }

    /// Tasks in queues whose activities are gone; they are asked for once.
    pub(super) fn take_released(&mut self) -> Vec<(EventId, ActivityTaskRef)> {
        core::mem::take(&mut self.released)
    }

    /// The pending activity with the workflow's own name.
    #[must_use]
    pub fn by_id(&self, id: &str) -> Option<&Activity> {
        self.table.get(self.by_id.get(id)?)
    }

    /// Timeouts that are not after `now`, in the order in which they are acted on: by time, activity, kind. An activity
    /// whose end waits in the buffer has none.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Vec<(Timestamp, EventId, TimeoutType)> {
        let activities = self.table.due(now).into_iter().filter_map(|(_, key)| self.table.get(&key));
        let timeouts =
            activities.flat_map(|activity| activity.timeouts().map(|(time, kind)| (time, activity.scheduled, kind)));
        let mut due: Vec<_> = timeouts.filter(|(time, ..)| *time <= now).collect();
        due.sort();
        due
    }

    fn pending(&mut self, scheduled: i64) -> Result<&mut Activity, Reason> {
        self.table.get_mut(&EventId(scheduled)).ok_or(UNKNOWN)
    }
}

impl Activity {
    fn new(at: At, attributes: Arc<ActivityTaskScheduledEventAttributes>) -> Self {
        Self {
            version: at.version,
            scheduled: at.event,
            scheduled_batch: at.batch,
            attributes,
            first_scheduled_time: at.time,
            scheduled_time: at.time,
            attempt: 1,
            started: None,
            heartbeat: None,
            cancel_requested: None,
            last_failure: None,
            last_worker_identity: String::new(),
            last_attempt_complete_time: None,
            task: None,
            told_at: None,
            is_closing: false,
        }
    }

    /// When each of its timeouts passes (api 5.5).
    pub fn timeouts(&self) -> impl Iterator<Item = (Timestamp, TimeoutType)> {
        let after = |time: Timestamp, timeout: &Option<prost_types::Duration>, kind| {
            let timeout = duration(timeout.as_ref());
            (!timeout.is_zero()).then(|| (time + timeout, kind))
        };
        let attributes = &self.attributes;
        let close =
            after(self.first_scheduled_time, &attributes.schedule_to_close_timeout, TimeoutType::ScheduleToClose);
        let attempt = match &self.started {
            None => {
                [after(self.scheduled_time, &attributes.schedule_to_start_timeout, TimeoutType::ScheduleToStart), None]
            }
            Some(start) => {
                let alive = self.heartbeat.as_ref().map_or(start.time, |heartbeat| heartbeat.time.max(start.time));
                [
                    after(start.time, &attributes.start_to_close_timeout, TimeoutType::StartToClose),
                    after(alive, &attributes.heartbeat_timeout, TimeoutType::Heartbeat),
                ]
            }
        };
        attempt.into_iter().chain([close]).flatten()
    }
}

impl Item<EventId> for Activity {
    /// What events and SyncActivity tell; who has an attempt is told by its own cluster alone.
    fn digest(&self, key: &EventId) -> u64 {
        Digest::new("activity")
            .event(*key)
            .number(self.version.0)
            .text(&self.attributes.activity_id)
            .time(self.first_scheduled_time)
            .time(self.scheduled_time)
            .number(i64::from(self.attempt))
            .maybe(self.started.as_ref(), |digest, start| digest.time(start.time).number(start.version.0))
            .maybe(self.heartbeat.as_ref(), |digest, heartbeat| {
                digest.time(heartbeat.time).maybe(heartbeat.details.as_ref(), Digest::message)
            })
            .maybe(self.cancel_requested, Digest::event)
            .maybe(self.last_failure.as_deref(), Digest::message)
            .text(&self.last_worker_identity)
            .maybe(self.last_attempt_complete_time, Digest::time)
            .finish()
    }

    fn deadline(&self) -> Option<Timestamp> {
        if self.is_closing {
            return None;
        }
        self.timeouts().map(|(time, _)| time).min()
    }

    fn version(&self) -> Option<FailoverVersion> {
        Some(self.version)
    }

    fn weight(&self, _: &EventId) -> usize {
        let attributes = &self.attributes;
        let details = self.heartbeat.as_ref().and_then(|heartbeat| heartbeat.details.as_ref());
        let payloads = weight::count(attributes.input.as_ref()) + weight::count(details);
        let payloads = payloads + weight::count_headers(attributes.header.as_ref());
        let texts = attributes.encoded_len() + details.map_or(0, Message::encoded_len) + attributes.activity_id.len();
        let start = self.started.as_ref().map_or(0, |start| start.request_id.len() + start.identity.len());
        // What a failure says is spread over many small parts.
        let failure =
            self.last_failure.as_deref().map_or(0, |failure| size_of::<Failure>() + 2 * failure.encoded_len());
        let fixed = size_of::<ActivityTaskScheduledEventAttributes>() + NAME;
        fixed + texts + start + self.last_worker_identity.len() + failure + payloads * weight::PAYLOAD
    }
}

const UNKNOWN: Reason = "no such activity is pending";
