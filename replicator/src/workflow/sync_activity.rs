//! How clusters tell each other about attempts of activities, of which no event tells (ND-30, ND-31).

use alloc::{string::ToString, sync::Arc};
use core::cmp::Ordering;

use proto::temporal::{api::failure::v1::Failure, server::api::replication::v1::SyncActivityTaskAttributes};

use super::{
    MutableState,
    activity::{Activity, ActivityStart, Heartbeat},
};
use crate::{
    ids::EventId,
    time::Timestamp,
    version::{FailoverVersion, VersionHistoryItem},
};

/// Make an activity what another cluster saw. Its scheduled event must be on our branch; the caller compared lineages.
/// `told_at` is the last event that the teller had. Whether anything changed: nothing does when the activity closed, or when we know as much or more.
pub fn apply(state: &mut MutableState, sync: &SyncActivityTaskAttributes, told_at: VersionHistoryItem) -> bool {
    let scheduled = EventId(sync.scheduled_event_id);
    let is_open = state.is_open();
    let Some(known) = state.activities.table.get(&scheduled).filter(|_| is_open) else { return false };
    let told = Attempt::told(sync, known);
    if told.age(known).is_lt() || told.matches(known) {
        return false;
    }
    let activity = state.activities.table.get_mut(&scheduled).expect("it was there");
    activity.version = told.version;
    activity.attempt = told.attempt;
    activity.scheduled_time = told.scheduled_time;
    activity.started = told.started;
    activity.heartbeat = told.heartbeat;
    activity.last_failure = told.last_failure;
    activity.last_worker_identity = sync.last_worker_identity.clone();
    activity.last_attempt_complete_time = sync.last_attempt_complete_time.as_ref().map(Timestamp::from);
    activity.told_at = Some(told_at);
    true
}

/// A pending activity as other clusters are to see it; `None` when it closed, for then events tell the rest.
#[must_use]
pub fn told(state: &MutableState, scheduled: EventId) -> Option<SyncActivityTaskAttributes> {
    let activity = state.activities.table.get(&scheduled)?;
    let retry = activity.attributes.retry_policy.as_ref();
    let started = activity.started.as_ref();
    // As the branch was when it happened: should another branch turn out to win, what happened on this one did not.
    let mut lineage = state.histories.current().clone();
    if let Some(told_at) = activity.told_at.filter(|item| lineage.versions.contains(*item)) {
        lineage.versions = lineage.versions.truncated(told_at);
    }
    Some(SyncActivityTaskAttributes {
        namespace_id: state.run.workflow.namespace.to_string(),
        workflow_id: state.run.workflow.workflow.to_string(),
        run_id: state.run.run.to_string(),
        version: activity.version.0,
        scheduled_event_id: scheduled.0,
        scheduled_time: Some(activity.scheduled_time.into()),
        started_event_id: if started.is_some() { TRANSIENT_EVENT } else { 0 },
        started_time: started.map(|start| start.time.into()),
        last_heartbeat_time: activity.heartbeat.as_ref().map(|heartbeat| heartbeat.time.into()),
        details: activity.heartbeat.as_ref().and_then(|heartbeat| heartbeat.details.clone()),
        attempt: activity.attempt,
        last_failure: activity.last_failure.as_deref().cloned(),
        last_worker_identity: activity.last_worker_identity.clone(),
        version_history: Some(lineage.to_wire()),
        first_scheduled_time: Some(activity.first_scheduled_time.into()),
        last_attempt_complete_time: activity.last_attempt_complete_time.map(Into::into),
        retry_initial_interval: retry.and_then(|retry| retry.initial_interval),
        retry_maximum_interval: retry.and_then(|retry| retry.maximum_interval),
        retry_maximum_attempts: retry.map_or(0, |retry| retry.maximum_attempts),
        retry_backoff_coefficient: retry.map_or(0.0, |retry| retry.backoff_coefficient),
        start_version: started.map_or(0, |start| start.version.0),
        ..SyncActivityTaskAttributes::default()
    })
}

/// The attempt that a peer tells of.
struct Attempt {
    version: FailoverVersion,
    attempt: i32,
    scheduled_time: Timestamp,
    started: Option<ActivityStart>,
    heartbeat: Option<Heartbeat>,
    last_failure: Option<Arc<Failure>>,
}

impl Attempt {
    fn told(sync: &SyncActivityTaskAttributes, known: &Activity) -> Self {
        let time = |field: &Option<prost_types::Timestamp>| field.as_ref().map(Timestamp::from);
        let scheduled_time = time(&sync.scheduled_time).unwrap_or(known.scheduled_time);
        // Older releases do not tell the version of the start; it is that of the change then.
        let start_version = if sync.start_version > 0 { sync.start_version } else { sync.version };
        let started = (sync.started_event_id != 0).then(|| ActivityStart {
            time: time(&sync.started_time).unwrap_or(scheduled_time),
            request_id: known.started.as_ref().map(|start| start.request_id.clone()).unwrap_or_default(),
            identity: sync.last_worker_identity.clone(),
            version: FailoverVersion(start_version),
        });
        let heartbeat = time(&sync.last_heartbeat_time).map(|time| Heartbeat { time, details: sync.details.clone() });
        Self {
            version: FailoverVersion(sync.version),
            attempt: sync.attempt.max(1),
            scheduled_time,
            started,
            heartbeat,
            last_failure: sync.last_failure.clone().map(Arc::new),
        }
    }

    /// Whether this is older or newer than what is known: a later version, then a later attempt, then one that started,
    /// then a later sign of life.
    fn age(&self, known: &Activity) -> Ordering {
        let heartbeat = |heartbeat: &Option<Heartbeat>| heartbeat.as_ref().map(|heartbeat| heartbeat.time);
        let told = (self.version, self.attempt, self.started.is_some(), heartbeat(&self.heartbeat));
        told.cmp(&(known.version, known.attempt, known.started.is_some(), heartbeat(&known.heartbeat)))
    }

    fn matches(&self, known: &Activity) -> bool {
        let start = |start: &Option<ActivityStart>| start.as_ref().map(|start| (start.time, start.version));
        self.age(known).is_eq()
            && self.scheduled_time == known.scheduled_time
            && start(&self.started) == start(&known.started)
            && self.heartbeat == known.heartbeat
            && self.last_failure == known.last_failure
    }
}

/// What Temporal writes for the id of an event that is not written yet.
const TRANSIENT_EVENT: i64 = -124;
