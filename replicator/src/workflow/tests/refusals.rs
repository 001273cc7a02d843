//! What a peer or a store could send and cannot have happened.

use std::{string::String, vec::Vec};

use bytes::Bytes;
use proptest::prelude::*;

use super::cluster::{Cluster, namespace, start};
use crate::{
    history::event::{Attributes, EventType, HistoryEvent},
    ids::EventId,
    shard::io::StoredRun,
    workflow::{ApplyError, MutableState},
};

#[test]
fn events_that_do_not_follow_are_refused() {
    check(|event| event.event_id = 2, "another event is next");
    check(|event| event.event_id = 4, "another event is next");
    check(|event| event.event_id = i64::MAX, "another event is next");
    check(|event| event.event_id = -1, "its id or version is negative");
    check(|event| event.version = 0, "its version is lower than that of the event before");
    check(|event| event.version = -3, "its id or version is negative");
    check(|event| event.event_time = None, "it has no time");
    check(|event| event.event_type = EventType::TimerFired.into(), "its attributes are those of another type");
}

#[test]
fn events_about_unknown_things_are_refused() {
    use Attributes as A;
    let activity = "no such activity is pending";
    check_attributes(A::ActivityTaskStartedEventAttributes(Default::default()), activity);
    check_attributes(A::ActivityTaskCompletedEventAttributes(Default::default()), activity);
    check_attributes(A::ActivityTaskCancelRequestedEventAttributes(Default::default()), activity);
    check_attributes(A::TimerFiredEventAttributes(Default::default()), "no such timer is pending");
    check_attributes(A::TimerCanceledEventAttributes(Default::default()), "no such timer is pending");
    check_attributes(A::WorkflowTaskScheduledEventAttributes(Default::default()), "a workflow task is pending");
    let task = "no such workflow task is pending";
    check_attributes(A::WorkflowTaskStartedEventAttributes(Default::default()), task);
    check_attributes(A::WorkflowTaskCompletedEventAttributes(Default::default()), task);
    check_attributes(A::WorkflowTaskFailedEventAttributes(Default::default()), task);
    check_attributes(A::WorkflowTaskTimedOutEventAttributes(Default::default()), task);
    check_attributes(A::WorkflowExecutionStartedEventAttributes(Default::default()), "the run was started before");
}

#[test]
fn an_event_of_an_unknown_type_is_named() {
    let kind = EventType::NexusOperationScheduled.into();
    let refused = apply(|event| {
        event.event_type = kind;
        event.attributes = Some(Attributes::NexusOperationScheduledEventAttributes(Default::default()));
    });
    assert_eq!(refused, Err(ApplyError::Unsupported { event: EventId(3), kind }));
}

#[test]
fn nothing_happens_to_a_closed_run() {
    let mut cluster = Cluster::new(namespace(), 1);
    cluster.start(start(0, 0));
    cluster.step(|t| t.terminate());
    let mut state = cluster.state().clone();
    let event = next(&state, Attributes::MarkerRecordedEventAttributes(Default::default()));
    let reason = "the run is closed";
    assert_eq!(state.apply(&event, EventId(4)), Err(ApplyError::Inconsistent { event: EventId(4), reason }));
}

proptest! {
    /// Whatever becomes of a row, reading it does not panic.
    #[test]
    fn damaged_rows_are_read_or_refused(place in any::<usize>(), with in any::<u8>(), cut in any::<bool>()) {
        let mut cluster = Cluster::new(namespace(), 1);
        cluster.start(start(100, 0));
        cluster.step(|t| t.start_task());
        cluster.step(|t| {
            t.complete_task();
            t.schedule_activity("a".into(), [60, 20, 30, 5]);
            t.start_timer("b".into(), 9);
        });
        cluster.step(|t| t.schedule_workflow_task());
        cluster.step(|t| t.signal("s"));
        let run = cluster.current.expect("a run was started");
        let mut stored = cluster.stored(run);
        damage(&mut stored, place, with, cut);
        drop(MutableState::decode(stored));
    }
}

fn damage(stored: &mut StoredRun, place: usize, with: u8, cut: bool) {
    let mut rows: Vec<&mut Bytes> = stored.items.iter_mut().map(|(_, value)| value).collect();
    rows.push(&mut stored.state);
    let index = place % rows.len();
    let mut bytes = rows[index].to_vec();
    if bytes.is_empty() {
        return;
    }
    let at = (place / 7) % bytes.len();
    if cut {
        bytes.truncate(at);
    } else {
        bytes[at] = with;
    }
    *rows[index] = bytes.into();
}

#[track_caller]
fn check(change: impl FnOnce(&mut HistoryEvent), reason: &'static str) {
    match apply(change) {
        Err(ApplyError::Inconsistent { reason: given, .. }) => assert_eq!(given, reason),
        other => panic!("{other:?} instead of: {reason}"),
    }
}

#[track_caller]
fn check_attributes(attributes: Attributes, reason: &'static str) {
    check(
        |event| {
            event.event_type = crate::history::event::event_type(&attributes).expect("known").into();
            event.attributes = Some(attributes);
        },
        reason,
    );
}

/// A marker as the third event of a run, changed, applied.
fn apply(change: impl FnOnce(&mut HistoryEvent)) -> Result<(), ApplyError> {
    let mut cluster = Cluster::new(namespace(), 1);
    cluster.start(start(0, 0));
    let mut state = cluster.state().clone();
    let mut event = next(&state, Attributes::MarkerRecordedEventAttributes(Default::default()));
    assert_eq!(state.clone().apply(&event, EventId(3)), Ok(()));
    change(&mut event);
    state.apply(&event, EventId(3))
}

fn next(state: &MutableState, attributes: Attributes) -> HistoryEvent {
    HistoryEvent {
        event_id: state.next_event_id().0,
        event_time: Some(state.execution.start.time.into()),
        event_type: crate::history::event::event_type(&attributes).expect("known").into(),
        version: state.last_write_version().0,
        attributes: Some(attributes),
        ..HistoryEvent::default()
    }
}

#[test]
fn a_refusal_reads_as_a_sentence() {
    let refused = apply(|event| event.event_id = 9).expect_err("it is not next");
    let text: String = std::format!("{refused}");
    assert_eq!(text, "event 9 cannot have happened: another event is next");
}
