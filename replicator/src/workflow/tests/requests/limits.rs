//! Runs that grow too large (api 11.6).

use std::{string::ToString, vec::Vec};

use proto::temporal::api::workflowservice::v1::SignalWorkflowExecutionRequest;

use super::world::*;
use crate::{
    history::event::Attributes,
    ids::RunId,
    shard::io::{Call, Failure, Reply, Report, Request, RequestId},
    workflow::{
        draft::Draft,
        limits::{HistoryLimit, Measure},
        request,
    },
};

const ENDLESS: HistoryLimit = HistoryLimit { most: i64::MAX, warning: i64::MAX, suggestion: i64::MAX };
const TOO_MANY: &str = "Workflow history count exceeds limit.";
const TOO_LARGE: &str = "Workflow history size exceeds limit.";

#[test]
fn a_change_beyond_the_count_ends_the_run_instead() {
    let mut world = World::started();
    limit_count(&mut world, 4);
    ["1", "2", "3"].into_iter().for_each(|signal| _ = world.signal(signal).unwrap());
    assert_eq!(world.signal("4"), refused(TOO_MANY));
    world.check("Started WftScheduled Signaled Signaled Signaled Terminated");
    assert!(matches!(world.signal("5"), Err(Failure::NotFound(_))));
}

#[test]
fn the_workflow_task_that_a_change_asks_for_counts() {
    let mut world = World::taken();
    world.complete([]).unwrap();
    limit_count(&mut world, 5);
    assert_eq!(world.signal("1"), refused(TOO_MANY));
    world.check("Started WftScheduled WftStarted WftCompleted Terminated");
}

#[test]
fn a_completion_beyond_the_count_is_forgotten() {
    let mut world = World::taken();
    let (number, answer) = world.query();
    assert_eq!(answer, None);
    limit_count(&mut world, 6);
    assert_eq!(world.complete(["a", "b", "c"].map(marker)), refused(TOO_MANY));
    world.check("Started WftScheduled WftStarted WftFailed Terminated");
    assert!(world.late[&number].is_err(), "a question that waited is told that the run is over");
}

#[test]
fn what_waited_for_a_started_task_is_kept_when_the_run_ends() {
    let mut world = World::taken();
    world.signal("1").unwrap();
    limit_count(&mut world, 4);
    assert_eq!(world.complete([marker("m")]), refused(TOO_MANY));
    world.check("Started WftScheduled WftStarted WftFailed Signaled Terminated");
}

#[test]
fn a_run_may_close_beyond_its_limits() {
    let mut world = World::taken();
    limit_count(&mut world, 3);
    world.complete([done()]).unwrap();
    world.check("Started WftScheduled WftStarted WftCompleted Completed");
}

#[test]
fn a_timer_that_fires_beyond_the_count_ends_the_run() {
    let mut world = World::taken();
    world.complete([timer("t", 5)]).unwrap();
    limit_count(&mut world, 5);
    world.pass(10);
    world.check("Started WftScheduled WftStarted WftCompleted TimerStarted Terminated");
}

#[test]
fn the_first_change_after_the_size_is_exceeded_ends_the_run() {
    let mut world = World::started();
    world.signal("1").unwrap();
    let size = world.cluster.state().local.history_size;
    world.cluster.limits.history_size.most = size;
    world.signal("2").unwrap();
    assert_eq!(world.signal("3"), refused(TOO_LARGE));
    world.check("Started WftScheduled Signaled Signaled Terminated");
}

#[test]
fn what_changes_nothing_ends_nothing() {
    let mut world = World::started();
    world.signal("1").unwrap();
    world.cluster.limits.history_size.most = 1;
    world.signal("1").unwrap();
    world.check("Started WftScheduled Signaled");
}

#[test]
fn requests_of_one_transaction_fail_one_by_one() {
    let mut world = World::started();
    limit_count(&mut world, 2);
    let run = world.run(0);
    world.step(|draft| {
        assert_eq!(signal_in(draft, run, "1"), Ok(()));
        assert_eq!(signal_in(draft, run, "2"), Err(Failure::InvalidArgument(TOO_MANY.to_string())));
        assert!(matches!(signal_in(draft, run, "3"), Err(Failure::NotFound(_))));
        assert!(matches!(&draft.reports[..], [Report::Outgrown { measure: Measure::Count, now: 3, .. }]));
    });
    world.check("Started WftScheduled Signaled Terminated");
}

#[test]
fn operators_are_told_once_that_a_history_is_large() {
    let mut world = World::started();
    world.cluster.limits.history_count = HistoryLimit { warning: 3, ..ENDLESS };
    world.cluster.limits.history_size = HistoryLimit { warning: 1 << 40, ..ENDLESS };
    let told = ["1", "2", "3"].map(|request| {
        world.signal(request).unwrap();
        core::mem::take(&mut world.reports).len()
    });
    assert_eq!(told, [0, 1, 0]);
}

#[test]
fn workers_are_told_to_continue_as_new_when_it_is_time() {
    let mut world = World::started();
    world.cluster.limits.history_count = HistoryLimit { suggestion: 4, ..ENDLESS };
    world.take();
    assert_eq!(suggestion(&world, 3), (false, [].into()));
    world.complete_with(|completion| completion.force_create_new_workflow_task = true).unwrap();
    world.take();
    assert_eq!(suggestion(&world, 6), (true, [2].into()));
    world.cluster.limits.history_size = HistoryLimit { suggestion: 1, ..ENDLESS };
    world.cluster.limits.history_count = ENDLESS;
    world.complete_with(|completion| completion.force_create_new_workflow_task = true).unwrap();
    world.take();
    assert_eq!(suggestion(&world, 9), (true, [1].into()));
}

#[test]
fn so_many_activities_may_be_pending() {
    let two = || [activity("a"), activity("b")];
    let mut world = World::taken();
    world.cluster.limits.pending_activities = 1;
    let refusal = world.complete(two()).unwrap_err();
    let text =
        "PendingActivitiesLimitExceeded: the number of pending activities, 1, has reached the per-workflow limit of 1";
    assert_eq!(refusal, Failure::InvalidArgument(text.to_string()));
    world.check("Started WftScheduled WftStarted WftFailed");
    world.cluster.limits.pending_activities = 0;
    world.take();
    world.complete(two()).unwrap();
    assert!(world.history().ends_with("WftCompleted ActScheduled ActScheduled"), "{}", world.history());
}

fn limit_count(world: &mut World, most: i64) {
    world.cluster.limits.history_count = HistoryLimit { most, ..ENDLESS };
}

fn refused(text: &str) -> Reply {
    Err(Failure::InvalidArgument(text.to_string()))
}

/// What an event says of continuing as new, and why.
fn suggestion(world: &World, started: i64) -> (bool, Vec<i32>) {
    let Some(Attributes::WorkflowTaskStartedEventAttributes(started)) = &world.event(started).attributes else {
        panic!("no workflow task started: {:?}", world.event(started));
    };
    (started.suggest_continue_as_new, started.suggest_continue_as_new_reasons.clone())
}

fn signal_in(draft: &mut Draft<'_>, run: RunId, request_id: &str) -> Result<(), Failure> {
    let signal = SignalWorkflowExecutionRequest {
        signal_name: "go".to_string(),
        request_id: request_id.to_string(),
        ..Default::default()
    };
    let request = Request { workflow: draft.key.clone(), run: Some(run), call: Call::Signal(signal.into()) };
    request::handle(draft, RequestId(1), &request).map(drop)
}
