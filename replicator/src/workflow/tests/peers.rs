//! What other clusters are told, and what is made of what they tell.

use std::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use proto::temporal::{
    api::history::v1::WorkflowExecutionContinuedAsNewEventAttributes,
    server::api::replication::v1::SyncActivityTaskAttributes,
};

use super::cluster::{Cluster, namespace, start};
use crate::{
    entropy::Entropy,
    history::event::Attributes,
    ids::EventId,
    task::{ReplicationTask, TaskKind},
    time::Timestamp,
    version::{FailoverVersion, VersionHistoryItem},
    workflow::{Closed, EventMeta, sync_activity},
};
use core::time::Duration;

#[test]
fn a_local_namespace_tells_nobody() {
    let mut local = namespace();
    (local.is_global, local.failover_version) = (false, FailoverVersion::EMPTY);
    let mut cluster = Cluster::new(local, 1);
    assert_eq!(told(&cluster.start(start(0, 0))), "");
}

#[test]
fn every_batch_is_told_and_every_activity_that_changed_without_one() {
    let mut cluster = Cluster::new(namespace(), 1);
    assert_eq!(told(&cluster.start(start(0, 0))), "1-2!");
    cluster.step(|t| t.start_task());
    let closed = cluster.step(|t| {
        t.complete_task();
        t.schedule_activity("a".to_string(), [60, 0, 0, 0]);
    });
    assert_eq!(told(&closed), "4-5!");
    assert_eq!(told(&cluster.step(|t| t.start_activity(EventId(5)))), "activity5");
    let closed = cluster.step(|t| {
        t.signal("");
        t.heartbeat(EventId(5));
    });
    assert_eq!(told(&closed), "6-7 activity5", "the digest would be that of both");
    let closed = cluster.step(|t| {
        t.heartbeat(EventId(5));
        t.close_activity(EventId(5), 0);
    });
    assert_eq!(told(&closed), "8-9!", "its end tells all");
}

#[test]
fn a_run_that_goes_on_is_told_with_its_successor() {
    let mut cluster = Cluster::new(namespace(), 1);
    cluster.start(start(0, 0));
    let old = cluster.current.unwrap();
    let next = Entropy::new(9).run_id();
    let closed = cluster.transact(|draft| {
        draft.create_run(next, "next".to_string(), start(0, 0), EventMeta::default());
        let mut t = draft.transition(old).unwrap();
        let attributes = WorkflowExecutionContinuedAsNewEventAttributes {
            new_execution_run_id: next.to_string(),
            ..Default::default()
        };
        t.record(Attributes::WorkflowExecutionContinuedAsNewEventAttributes(attributes));
        t.run.changes.new_run = Some(next);
    });
    assert_eq!(told(&closed), "3-3!+1-2!next");
    assert_eq!(closed.current.map(|write| (write.expected, write.next)), Some((Some(old), Some(next))));
    let statuses: Vec<_> = cluster.runs.values().map(|run| run.state.is_open()).collect();
    assert_eq!(statuses.iter().filter(|open| **open).count(), 1);
    assert_eq!(closed.visibility.len(), 2);
}

#[test]
fn a_run_that_is_replaced_is_told_before_what_replaces_it() {
    for seed in 20..28 {
        let mut cluster = Cluster::new(namespace(), 1);
        cluster.start(start(0, 0));
        let old = cluster.current.unwrap();
        let next = Entropy::new(seed).run_id();
        let closed = cluster.transact(|draft| {
            draft.create_run(next, "next".to_string(), start(0, 0), EventMeta::default());
            draft.transition(old).unwrap().terminate();
        });
        assert_eq!(told(&closed), "3-3! 1-2!", "seed {seed}");
    }
}

/// Activities as `version attempt started@ heartbeat@`, `-` for none.
#[test]
fn of_two_activity_states_the_later_counts() {
    check("1 1 - -", "1 1 - -", false);
    check("1 1 - -", "1 1 5 -", true);
    check("1 1 5 -", "1 1 - -", false);
    check("1 1 5 8", "1 2 - -", true);
    check("1 2 - -", "1 1 5 8", false);
    check("1 1 5 8", "1 1 5 9", true);
    check("1 1 5 9", "1 1 5 8", false);
    check("1 9 5 9", "11 1 - -", true);
    check("11 1 - -", "1 9 5 9", false);
}

#[track_caller]
fn check(known: &str, told: &str, applies: bool) {
    let mut cluster = Cluster::new(namespace(), 1);
    cluster.start(start(0, 0));
    cluster.step(|t| {
        t.schedule_activity("a".to_string(), [60, 0, 0, 0]);
    });
    let mut state = cluster.state().clone();
    sync_activity::apply(&mut state, &sync(known), last(&cluster));
    let before = state.digest();
    assert_eq!(sync_activity::apply(&mut state, &sync(told), last(&cluster)), applies, "{known} then {told}");
    assert_eq!(state.digest() != before, applies);
    // The order of arrival does not matter.
    let mut other = cluster.state().clone();
    sync_activity::apply(&mut other, &sync(told), last(&cluster));
    sync_activity::apply(&mut other, &sync(known), last(&cluster));
    assert_eq!(other.digest(), state.digest());
}

fn last(cluster: &Cluster) -> VersionHistoryItem {
    cluster.state().histories.current().versions.last()
}

fn sync(text: &str) -> SyncActivityTaskAttributes {
    let fields: Vec<&str> = text.split(' ').collect();
    let time = |field: &str| field.parse().ok().map(|seconds| (Timestamp::ZERO + Duration::from_secs(seconds)).into());
    SyncActivityTaskAttributes {
        version: fields[0].parse().unwrap(),
        scheduled_event_id: 3,
        scheduled_time: time("4"),
        attempt: fields[1].parse().unwrap(),
        started_event_id: if fields[2] == "-" { 0 } else { -124 },
        started_time: time(fields[2]),
        last_heartbeat_time: time(fields[3]),
        ..SyncActivityTaskAttributes::default()
    }
}

#[test]
fn a_digest_is_the_same_everywhere_and_always() {
    let mut cluster = Cluster::new(namespace(), 1);
    cluster.start(start(0, 0));
    cluster.step(|t| t.signal("a"));
    cluster.step(|t| {
        t.schedule_activity("a".to_string(), [60, 0, 0, 0]);
        t.start_timer("b".to_string(), 9);
        t.note(3);
    });
    // Two releases that disagree here report every run as damaged: a new number needs a reason.
    assert_eq!(format!("{:016x}", cluster.state().digest()), "498c5f782d3910d8");
}

/// Stretches as `first-last`, `!` with a digest, `+` the new run's with its request; `activity` and its event.
fn told(closed: &Closed) -> String {
    let tasks = closed.tasks.iter().filter_map(|task| match &task.kind {
        TaskKind::Replication(ReplicationTask::History(stretch)) => {
            let batch = |batch: &crate::task::WrittenBatch| {
                let digest = if batch.digest.is_some() { "!" } else { "" };
                format!("{}-{}{digest}", batch.first, batch.next.previous())
            };
            let new = stretch.new_run.as_ref().map(|(_, new)| format!("+{}{}", batch(new), new.start_request_id));
            Some(batch(&stretch.batch) + &new.unwrap_or_default())
        }
        TaskKind::Replication(ReplicationTask::SyncActivity { scheduled, .. }) => Some(format!("activity{scheduled}")),
        _ => None,
    });
    tasks.collect::<Vec<_>>().join(" ")
}
