//! Activities that were scheduled and have not closed (api 5).

use alloc::{string::String, sync::Arc};

use proto::temporal::api::{
    common::v1::Payloads, failure::v1::Failure, history::v1::ActivityTaskScheduledEventAttributes,
};

use super::table::Table;
use crate::{ids::EventId, task::TaskKey, time::Timestamp, version::FailoverVersion};

/// The run's activities.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Activities {
    /// By scheduled event.
    pub table: Table<EventId, Activity>,
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
}

/// A task of an activity that rests in a queue.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ActivityTaskRef {
    /// Whether it is the retry timer rather than the dispatch.
    pub is_retry: bool,
    /// Its attempt.
    pub attempt: i32,
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
