//! The life of workflow tasks: starts, heartbeats, failures, timeouts, stickiness (api 3).

use super::{signals::cause, world::*};
use crate::{
    history::event::EventType,
    ids::EventId,
    shard::io::{Call, Response},
    workflow::request,
};
use proto::temporal::api::{
    enums::v1::WorkflowTaskFailedCause as Cause,
    history::v1::HistoryEvent,
    workflowservice::v1::{RespondWorkflowTaskCompletedRequest, RespondWorkflowTaskFailedRequest},
};
use std::{format, string::ToString, vec::Vec};

#[test]
fn a_task_is_started_once() {
    let mut world = World::started();
    let first = world.take();
    assert_eq!(first.claim.started, EventId(3));
    let again = world.take_as(EventId(2), "poll", "queue");
    assert!(matches!(&again, Ok(Response::WorkflowTask(task)) if **task == first), "the answer repeats");
    let other = world.take_as(EventId(2), "another poll", "queue");
    assert_eq!(refusal(other), "NotFound: Workflow task already started.");
    world.check("Started WftScheduled WftStarted");
}

#[test]
fn a_stale_offer_finds_no_task() {
    let mut world = World::taken();
    world.complete([]).unwrap();
    assert_eq!(refusal(world.take_as(EventId(2), "late", "queue")), "NotFound: Workflow task not found.");
    world.signal("1").unwrap();
    assert_eq!(refusal(world.take_as(EventId(2), "late", "queue")), "NotFound: Workflow task not found.");
}

#[test]
fn a_token_is_good_for_one_completion() {
    let mut world = World::taken();
    world.complete([]).unwrap();
    assert_eq!(refusal(world.complete([])), "NotFound: Workflow task not found.");
    assert_eq!(refusal(world.fail_task()), "NotFound: Workflow task not found.");
    world.check("Started WftScheduled WftStarted WftCompleted");
}

#[test]
fn only_the_first_failure_of_a_streak_is_written() {
    let mut world = World::taken();
    world.fail_task().unwrap();
    world.check("Started WftScheduled WftStarted WftFailed");
    for attempt in 2..=4 {
        let task = world.take();
        assert_eq!(task.claim.attempt, attempt);
        assert_eq!((task.claim.scheduled, task.claim.started), (EventId(5), EventId(6)));
        assert_eq!(names(&task.transient), "5 WorkflowTaskScheduled, 6 WorkflowTaskStarted");
        if attempt < 4 {
            world.fail_task().unwrap();
        }
    }
    world.complete([done()]).unwrap();
    world.check("Started WftScheduled WftStarted WftFailed WftScheduled WftStarted WftCompleted Completed");
}

#[test]
fn what_comes_in_between_turns_a_transient_task_into_a_normal_one() {
    let mut world = World::taken();
    world.fail_task().unwrap();
    world.signal("1").unwrap();
    world.check("Started WftScheduled WftStarted WftFailed Signaled");
    let scheduled = world.cluster.state().workflow_task.pending.as_ref().unwrap().scheduled;
    world.take_as(scheduled, "poll", "queue").unwrap();
    world.check("Started WftScheduled WftStarted WftFailed Signaled WftScheduled WftStarted");
    // The lost answer is given again, under the id that was offered.
    let again = world.take_as(scheduled, "poll", "queue");
    assert!(matches!(again, Ok(Response::WorkflowTask(task)) if task.claim.attempt == 1));
}

#[test]
fn what_waits_for_a_transient_task_ends_the_streak() {
    let mut world = World::taken();
    world.fail_task().unwrap();
    world.take();
    world.signal("1").unwrap();
    world.fail_task().unwrap();
    world.check("Started WftScheduled WftStarted WftFailed Signaled WftScheduled");
}

#[test]
fn a_task_that_is_not_completed_times_out() {
    let mut world = World::taken();
    world.pass(9);
    world.check("Started WftScheduled WftStarted");
    world.pass(1);
    world.check("Started WftScheduled WftStarted WftTimedOut");
    assert_eq!(world.take().claim.attempt, 2);
    world.pass(10);
    assert_eq!(world.take().claim.attempt, 3);
    world.complete([]).unwrap();
    world.check("Started WftScheduled WftStarted WftTimedOut WftScheduled WftStarted WftCompleted");
}

#[test]
fn the_next_task_goes_to_the_worker_that_has_the_run() {
    let mut world = World::taken();
    world.complete_with(|completion| completion.sticky_attributes = sticky("mine")).unwrap();
    world.signal("1").unwrap();
    let task = world.take();
    assert!(task.sticky);
    assert_eq!(task.previous_started, EventId(3));
    // Its failure does not count: the next worker starts from the beginning.
    world.fail_task().unwrap();
    let task = world.take();
    assert!(!task.sticky);
    assert_eq!(task.claim.attempt, 1);
    world.check(
        "Started WftScheduled WftStarted WftCompleted Signaled WftScheduled WftStarted WftFailed WftScheduled \
         WftStarted",
    );
}

#[test]
fn a_sticky_task_that_nobody_takes_goes_to_the_normal_queue() {
    let mut world = World::taken();
    world.complete_with(|completion| completion.sticky_attributes = sticky("mine")).unwrap();
    world.signal("1").unwrap();
    world.pass(5);
    world.check("Started WftScheduled WftStarted WftCompleted Signaled WftScheduled WftTimedOut WftScheduled");
    assert!(!world.take().sticky);
}

#[test]
fn reset_sticky_forgets_the_worker() {
    let mut world = World::taken();
    world.complete_with(|completion| completion.sticky_attributes = sticky("mine")).unwrap();
    assert_eq!(world.ask(Call::ResetSticky), Ok(Response::Done));
    world.signal("1").unwrap();
    assert!(!world.take().sticky);
    world.check("Started WftScheduled WftStarted WftCompleted Signaled WftScheduled WftStarted");
}

#[test]
fn a_heartbeat_brings_the_next_task_along() {
    let mut world = World::taken();
    let reply = world.complete_with(heartbeat);
    let Ok(Response::WorkflowTaskCompleted { next: Some(next) }) = reply else { panic!("no task: {reply:?}") };
    assert_eq!((next.claim.scheduled, next.claim.started), (EventId(5), EventId(6)));
    assert!(next.sticky && next.transient.is_empty());
    world.check("Started WftScheduled WftStarted WftCompleted WftScheduled WftStarted");
    world.complete([done()]).unwrap();
}

#[test]
fn nobody_heartbeats_for_ever() {
    let mut world = World::taken();
    for _ in 0..200 {
        world.pass(9);
        world.complete_with(heartbeat).unwrap();
    }
    world.pass(9);
    assert_eq!(refusal(world.complete_with(heartbeat)), "NotFound: Workflow task not found.");
    assert!(world.history().ends_with("WftStarted WftTimedOut"));
}

#[test]
fn a_task_follows_only_if_there_is_a_reason() {
    let mut world = World::taken();
    let reply = world.complete_with(|completion| completion.return_new_workflow_task = true);
    assert_eq!(reply, Ok(Response::WorkflowTaskCompleted { next: None }));
    world.check("Started WftScheduled WftStarted WftCompleted");
}

#[test]
fn what_waited_comes_with_the_next_task() {
    let mut world = World::taken();
    world.signal("1").unwrap();
    let reply = world.complete_with(|completion| completion.return_new_workflow_task = true);
    assert!(matches!(reply, Ok(Response::WorkflowTaskCompleted { next: Some(_) })));
    world.check("Started WftScheduled WftStarted WftCompleted Signaled WftScheduled WftStarted");
}

#[test]
fn a_message_too_large_for_its_worker_ends_the_run() {
    let mut world = World::taken();
    let failed = RespondWorkflowTaskFailedRequest { cause: Cause::GrpcMessageTooLarge.into(), ..Default::default() };
    let claim = world.task.clone().unwrap();
    world.ask(Call::FailWorkflowTask(claim, failed.into())).unwrap();
    world.check("Started WftScheduled WftStarted WftFailed Terminated");
}

#[test]
fn a_bad_command_fails_its_task_and_leaves_no_trace() {
    let mut world = World::taken();
    let text = "BadStartTimerAttributes: TimerId is not set on StartTimerCommand.";
    assert_eq!(refusal(world.complete([activity("a"), timer("", 1)])), format!("InvalidArgument: {text}"));
    world.check("Started WftScheduled WftStarted WftFailed");
    assert_eq!(cause(&world, 4), Cause::BadStartTimerAttributes);
    assert!(world.cluster.state().activities.table.is_empty());
    // A worker that repeats its mistake is left to run into its timeout.
    world.take();
    assert_eq!(refusal(world.complete([timer("", 1)])), format!("InvalidArgument: {text}"));
    let pending = world.cluster.state().workflow_task.pending.as_ref().unwrap();
    assert!(pending.started.is_some());
    assert_eq!(pending.attempt, 2);
    world.check("Started WftScheduled WftStarted WftFailed");
}

#[test]
fn a_list_that_cannot_be_meant_changes_nothing() {
    let mut world = World::taken();
    assert!(refusal(world.complete([done(), timer("t", 1)])).contains("must be the last command"));
    world.check("Started WftScheduled WftStarted");
    world.complete([done()]).unwrap();
}

#[test]
fn fields_of_a_completion_that_are_not_built_are_refused() {
    let mut world = World::taken();
    let reply = world.complete_with(|completion| completion.versioning_behavior = 1);
    assert_eq!(refusal(reply), "InvalidArgument: versioning_behavior is not supported");
    let reply = world.complete_with(|completion| completion.messages = [Default::default()].into());
    assert_eq!(refusal(reply), "InvalidArgument: messages is not supported");
}

#[test]
fn readers_see_a_transient_task() {
    let mut world = World::taken();
    world.fail_task().unwrap();
    assert_eq!(names(&request::view::view(world.cluster.state()).transient), "5 WorkflowTaskScheduled");
    world.take();
    let view = request::view::view(world.cluster.state());
    assert_eq!(names(&view.transient), "5 WorkflowTaskScheduled, 6 WorkflowTaskStarted");
    assert_eq!(view.next_event_id, EventId(5));
    world.terminate().unwrap();
    let view = request::view::view(world.cluster.state());
    assert_eq!((view.transient.len(), view.last_batch, view.is_open), (0, EventId(5), false));
}

fn heartbeat(completion: &mut RespondWorkflowTaskCompletedRequest) {
    completion.force_create_new_workflow_task = true;
    completion.return_new_workflow_task = true;
}

fn names(events: &[HistoryEvent]) -> std::string::String {
    let name =
        |event: &HistoryEvent| format!("{} {:?}", event.event_id, EventType::try_from(event.event_type).unwrap());
    events.iter().map(name).collect::<Vec<_>>().join(", ").to_string()
}
