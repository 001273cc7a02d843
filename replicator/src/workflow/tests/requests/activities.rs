//! The life of activities: attempts, heartbeats, retries, timeouts, cancellation (api 5).

use super::world::*;
use crate::{
    history::event::Attributes,
    ids::EventId,
    shard::io::{ActivityClaim, Call, Response},
};
use proto::temporal::api::{
    command::v1::{Command, ScheduleActivityTaskCommandAttributes},
    enums::v1::{RetryState, TimeoutType},
    failure::v1::{Failure, failure::FailureInfo},
};
use std::{format, string::ToString, vec::Vec};

const HEAD: &str = "Started WftScheduled WftStarted WftCompleted ActScheduled";
const GONE: &str = "NotFound: invalid activityID or activity already timed out or invoking workflow is completed";

#[test]
fn the_start_is_written_with_the_end() {
    let mut world = scheduled(|_| {});
    let task = world.take_activity("a");
    assert_eq!((task.poll.attempt, task.poll.activity_id.as_str()), (1, "a"));
    world.check(HEAD);
    world.pass(3);
    world.complete_activity(claim(&task)).unwrap();
    check(&world, "ActStarted ActCompleted WftScheduled");
    let (started, completed) = (world.event(6), world.event(7));
    assert_eq!(started.event_time.unwrap().seconds + 3, completed.event_time.unwrap().seconds);
    let Some(Attributes::ActivityTaskCompletedEventAttributes(attributes)) = &completed.attributes else { panic!() };
    assert_eq!((attributes.scheduled_event_id, attributes.started_event_id), (5, 6));
}

#[test]
fn an_attempt_is_started_once() {
    let mut world = scheduled(|_| {});
    let first = world.take_activity("a");
    assert_eq!(world.take_activity("a"), first, "the answer repeats");
    let call = |request_id: &str, attempt| Call::StartActivity {
        scheduled: EventId(5),
        attempt,
        request_id: request_id.to_string(),
        poll: std::boxed::Box::default(),
    };
    assert_eq!(refusal(world.ask(call("another", 1))), "NotFound: Activity task already started.");
    assert_eq!(refusal(world.ask(call("poll", 2))), GONE);
}

#[test]
fn ends_that_wait_go_last() {
    let mut world = World::taken();
    world
        .complete_with(|completion| {
            completion.commands = [activity("a"), activity("b")].into();
            completion.force_create_new_workflow_task = true;
            completion.return_new_workflow_task = true;
        })
        .unwrap();
    let (a, b) = (world.take_activity("a"), world.take_activity("b"));
    world.complete_activity(claim(&a)).unwrap();
    world.signal("1").unwrap();
    world.complete_activity(claim(&b)).unwrap();
    assert_eq!(refusal(world.complete_activity(claim(&a))), GONE);
    world.complete([]).unwrap();
    world.check(
        "Started WftScheduled WftStarted WftCompleted ActScheduled ActScheduled WftScheduled WftStarted WftCompleted \
         ActStarted Signaled ActStarted ActCompleted ActCompleted WftScheduled",
    );
    let Some(Attributes::ActivityTaskCompletedEventAttributes(b)) = &world.event(14).attributes else { panic!() };
    assert_eq!((b.scheduled_event_id, b.started_event_id), (6, 12));
}

#[test]
fn failures_are_retried_without_a_trace() {
    let mut world = scheduled(|a| a.retry_policy = attempts(3));
    let first = world.take_activity("a");
    world.fail_activity(claim(&first)).unwrap();
    assert_eq!(refusal(world.fail_activity(claim(&first))), GONE);
    assert_eq!(attempt(&world), (2, 1));
    world.pass(1);
    let second = world.take_activity("a");
    world.fail_activity(claim(&second)).unwrap();
    assert_eq!(attempt(&world), (3, 2));
    world.check(HEAD);
    world.pass(2);
    let third = world.take_activity("a");
    world.fail_activity(claim(&third)).unwrap();
    check(&world, "ActStarted ActFailed WftScheduled");
    let Some(Attributes::ActivityTaskStartedEventAttributes(started)) = &world.event(6).attributes else { panic!() };
    assert_eq!((started.attempt, started.last_failure.as_ref()), (3, Some(&failure("boom"))));
    let Some(Attributes::ActivityTaskFailedEventAttributes(failed)) = &world.event(7).attributes else { panic!() };
    assert_eq!(failed.retry_state(), RetryState::MaximumAttemptsReached);
}

#[test]
fn progress_reaches_the_next_attempt() {
    let mut world = scheduled(|_| {});
    let first = world.take_activity("a");
    let alive = world.heartbeat(claim(&first), "half");
    assert_eq!(alive, Ok(Response::Heartbeat { cancel_requested: false }));
    world.fail_activity(claim(&first)).unwrap();
    assert_eq!(refusal(world.heartbeat(claim(&first), "late")), GONE);
    world.pass(1);
    assert_eq!(world.take_activity("a").poll.heartbeat_details, Some(payloads("half")));
}

#[test]
fn an_activity_may_be_ended_by_name_before_it_starts() {
    let mut world = scheduled(|_| {});
    assert_eq!(refusal(world.heartbeat(by_id("a"), "early")), GONE);
    world.complete_activity(by_id("a")).unwrap();
    check(&world, "ActStarted ActCompleted WftScheduled");
    let text = "NotFound: cannot find pending activity with ActivityID a, check workflow execution history for more \
                details";
    assert_eq!(refusal(world.complete_activity(by_id("a"))), text);
}

#[test]
fn a_waiting_activity_is_cancelled_at_once() {
    let mut world = World::taken();
    world.complete([activity("a"), cancel_activity(5)]).unwrap();
    check(&world, "ActCancelRequested ActCanceled WftScheduled");
}

#[test]
fn what_commands_cancel_is_told_after_all_commands() {
    check(
        [activity("a"), cancel_activity(5), cancel_activity(5), activity("a"), marker("m")].into(),
        "ActScheduled ActCancelRequested ActCancelRequested ActScheduled MarkerRecorded ActCanceled WftScheduled",
    );
    check([activity("a"), cancel_activity(5), done()].into(), "ActScheduled ActCancelRequested Completed");

    #[track_caller]
    fn check(commands: Vec<Command>, expected: &str) {
        let mut world = World::taken();
        world.complete_with(|completion| completion.commands = commands).unwrap();
        world.check(&format!("Started WftScheduled WftStarted WftCompleted {expected}"));
    }
}

#[test]
fn a_started_activity_is_asked_to_stop() {
    let (mut world, token) = asked_to_stop();
    assert_eq!(world.heartbeat(token.clone(), "x"), Ok(Response::Heartbeat { cancel_requested: true }));
    world.cancel_activity(token).unwrap();
    check(&world, "WftScheduled WftStarted WftCompleted ActCancelRequested ActStarted ActCanceled WftScheduled");
}

#[test]
fn who_was_asked_to_stop_is_not_retried() {
    let (mut world, token) = asked_to_stop();
    world.fail_activity(token).unwrap();
    check(&world, "WftScheduled WftStarted WftCompleted ActCancelRequested ActStarted ActFailed WftScheduled");
    let Some(Attributes::ActivityTaskFailedEventAttributes(failed)) = &world.event(11).attributes else { panic!() };
    assert_eq!(failed.retry_state(), RetryState::CancelRequested);
}

#[test]
fn nobody_is_asked_to_stop_twice() {
    let (mut world, _) = asked_to_stop();
    world.signal("1").unwrap();
    world.take();
    assert!(refusal(world.complete([cancel_activity(5)])).contains("ScheduledEventID: 5"));
}

#[test]
fn an_end_that_waits_may_still_be_asked_to_stop() {
    let mut world = scheduled(|_| {});
    let task = world.take_activity("a");
    world.signal("1").unwrap();
    world.take();
    world.complete_activity(claim(&task)).unwrap();
    world.complete([cancel_activity(5)]).unwrap();
    check(
        &world,
        "Signaled WftScheduled WftStarted WftCompleted ActCancelRequested ActStarted ActCompleted WftScheduled",
    );
}

#[test]
fn nobody_stops_unasked() {
    let mut world = scheduled(|_| {});
    let task = world.take_activity("a");
    assert_eq!(
        refusal(world.cancel_activity(claim(&task))),
        "InvalidArgument: unable to mark activity as canceled without activity being request canceled first"
    );
}

#[test]
fn an_attempt_that_takes_too_long_is_retried() {
    let mut world = scheduled(|a| a.retry_policy = attempts(2));
    let first = world.take_activity("a");
    world.pass(10);
    assert_eq!(refusal(world.complete_activity(claim(&first))), GONE);
    world.pass(1);
    world.take_activity("a");
    world.check(HEAD);
    world.pass(10);
    check(&world, "ActStarted ActTimedOut WftScheduled");
    let (state, failure) = timed_out(&world, 7);
    assert_eq!(state, RetryState::MaximumAttemptsReached);
    assert_eq!(failure.message, "activity StartToClose timeout");
    assert_eq!(failure.cause.unwrap().message, "activity StartToClose timeout");
}

#[test]
fn silence_times_out() {
    let mut world = scheduled(|a| {
        a.heartbeat_timeout = seconds(3);
        a.retry_policy = attempts(1);
    });
    let task = world.take_activity("a");
    for _ in 0..3 {
        world.pass(2);
        world.heartbeat(claim(&task), "alive").unwrap();
    }
    world.check(HEAD);
    world.pass(3);
    check(&world, "ActStarted ActTimedOut WftScheduled");
    let (_, failure) = timed_out(&world, 7);
    let Some(FailureInfo::TimeoutFailureInfo(info)) = failure.failure_info else { panic!() };
    assert_eq!((info.timeout_type(), info.last_heartbeat_details), (TimeoutType::Heartbeat, Some(payloads("alive"))));
}

#[test]
fn nobody_takes_the_activity() {
    let mut world = scheduled(|a| a.schedule_to_start_timeout = seconds(5));
    world.pass(5);
    check(&world, "ActTimedOut WftScheduled");
    assert_eq!(timed_out(&world, 6).0, RetryState::Timeout);
    assert_eq!(timed_out(&world, 6).1.message, "activity ScheduleToStart timeout");
}

#[test]
fn there_is_not_enough_time_for_another_attempt() {
    let mut world = scheduled(|a| {
        a.schedule_to_close_timeout = seconds(3);
        a.start_to_close_timeout = seconds(1);
    });
    world.take_activity("a");
    world.pass(2);
    world.take_activity("a");
    world.pass(1);
    check(&world, "ActStarted ActTimedOut WftScheduled");
    let (state, failure) = timed_out(&world, 7);
    assert_eq!(state, RetryState::Timeout);
    assert_eq!(
        failure.message,
        "Not enough time to schedule next retry before activity ScheduleToClose timeout, giving up retrying"
    );
}

#[test]
fn a_closed_run_ends_its_activities() {
    let mut world = scheduled(|_| {});
    let task = world.take_activity("a");
    world.terminate().unwrap();
    assert_eq!(refusal(world.complete_activity(claim(&task))), "NotFound: workflow execution already completed");
}

#[test]
fn operators_see_the_attempts() {
    let mut world = scheduled(|a| a.schedule_to_close_timeout = seconds(100));
    let task = world.take_activity("a");
    assert_eq!(pending(&mut world), "a Started 1 started none");
    world.fail_activity(claim(&task)).unwrap();
    assert_eq!(pending(&mut world), "a Scheduled 2 waiting 1s");
    let before = transitions(&mut world);
    world.pass(1);
    assert_eq!(transitions(&mut world), before, "that the attempt is ready is no transition of the run");
    assert_eq!(pending(&mut world), "a Scheduled 2 waiting none");
}

fn transitions(world: &mut World) -> i64 {
    let Ok(Response::Described(described)) = world.ask(Call::Describe) else { panic!() };
    described.workflow_execution_info.unwrap().state_transition_count
}

fn pending(world: &mut World) -> std::string::String {
    let Ok(Response::Described(described)) = world.ask(Call::Describe) else { panic!() };
    let activity = &described.pending_activities[0];
    let interval = activity.current_retry_interval.map_or("none".to_string(), |i| format!("{}s", i.seconds));
    let started = if activity.last_started_time.is_some() { "started" } else { "waiting" };
    format!("{} {:?} {} {started} {interval}", activity.activity_id, activity.state(), activity.attempt)
}

/// A workflow that scheduled the activity `a`, event 5.
fn scheduled(change: impl FnOnce(&mut ScheduleActivityTaskCommandAttributes)) -> World {
    let mut world = World::taken();
    let command: Command = activity_with("a", change);
    world.complete([command]).unwrap();
    world
}

/// The activity `a` is started, and then asked to stop.
fn asked_to_stop() -> (World, ActivityClaim) {
    let mut world = World::taken();
    world
        .complete_with(|completion| {
            completion.commands = [activity("a")].into();
            completion.force_create_new_workflow_task = true;
            completion.return_new_workflow_task = true;
        })
        .unwrap();
    let token = claim(&world.take_activity("a"));
    world.complete([cancel_activity(5)]).unwrap();
    (world, token)
}

/// What follows the events of [`scheduled`].
#[track_caller]
fn check(world: &World, tail: &str) {
    world.check(&format!("{HEAD} {tail}"));
}

/// Attempt of `a`, and seconds until it is ready.
fn attempt(world: &World) -> (i32, u64) {
    let activity = world.cluster.state().activities.by_id("a").unwrap();
    (activity.attempt, activity.scheduled_time.since(world.cluster.now).as_secs())
}

fn timed_out(world: &World, event: i64) -> (RetryState, Failure) {
    match &world.event(event).attributes {
        Some(Attributes::ActivityTaskTimedOutEventAttributes(a)) => (a.retry_state(), a.failure.clone().unwrap()),
        other => panic!("no timeout: {other:?}"),
    }
}
