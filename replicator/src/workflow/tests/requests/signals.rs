//! Signals, cancel requests and terminations, and what waits for a started workflow task (api 3.6).

use super::world::*;
use crate::shard::io::{Call, Response};
use proto::temporal::api::{
    enums::v1::WorkflowTaskFailedCause as Cause, workflowservice::v1::TerminateWorkflowExecutionRequest,
};
use std::{format, string::ToString};

#[test]
fn a_signal_schedules_a_task_unless_one_is_pending() {
    let mut world = World::started();
    world.signal("1").unwrap();
    world.check("Started WftScheduled Signaled");
    world.take();
    world.complete([]).unwrap();
    world.signal("2").unwrap();
    world.check("Started WftScheduled Signaled WftStarted WftCompleted Signaled WftScheduled");
}

#[test]
fn a_signal_waits_for_the_started_task() {
    let mut world = World::taken();
    world.signal("1").unwrap();
    world.check("Started WftScheduled WftStarted");
    world.complete([marker("m")]).unwrap();
    world.check("Started WftScheduled WftStarted WftCompleted MarkerRecorded Signaled WftScheduled");
}

#[test]
fn the_same_signal_counts_once() {
    let mut world = World::started();
    world.signal("1").unwrap();
    world.signal("1").unwrap();
    world.signal("").unwrap();
    world.signal("").unwrap();
    world.take();
    world.signal("2").unwrap();
    world.signal("2").unwrap();
    world.complete([]).unwrap();
    world.check("Started WftScheduled Signaled Signaled Signaled WftStarted WftCompleted Signaled WftScheduled");
}

#[test]
fn the_event_carries_the_request_id_of_a_signal() {
    use crate::history::event::Attributes;
    let mut world = World::started();
    world.signal("abc").unwrap();
    let Some(Attributes::WorkflowExecutionSignaledEventAttributes(signal)) = &world.last().attributes else {
        panic!("no signal: {:?}", world.last());
    };
    assert_eq!(signal.request_id, "abc");
}

#[test]
fn too_many_signals_are_refused() {
    let mut world = World::started();
    let run = world.run(0);
    world.step(|draft| {
        let mut transition = draft.transition(run).unwrap();
        (0..10_000).for_each(|_| transition.signal(""));
    });
    assert_eq!(refusal(world.signal("1")), "InvalidArgument: exceeded workflow execution limit for signal events");
}

#[test]
fn when_too_much_waits_the_task_fails() {
    let mut world = World::taken();
    for n in 0..100 {
        world.signal(&n.to_string()).unwrap();
    }
    world.check("Started WftScheduled WftStarted");
    world.signal("one more").unwrap();
    world.check(&format!("Started WftScheduled WftStarted WftFailed{} WftScheduled", " Signaled".repeat(101)));
}

#[test]
fn a_run_is_asked_to_cancel_once() {
    let mut world = World::taken();
    world.cancel().unwrap();
    world.cancel().unwrap();
    world.complete([]).unwrap();
    world.cancel().unwrap();
    world.check("Started WftScheduled WftStarted WftCompleted CancelRequested WftScheduled");
}

#[test]
fn a_started_task_does_not_hold_up_a_termination() {
    let mut world = World::taken();
    world.signal("1").unwrap();
    world.terminate().unwrap();
    world.check("Started WftScheduled WftStarted WftFailed Signaled Terminated");
    assert_eq!(refusal(world.complete([])), "NotFound: Workflow task not found.");
}

#[test]
fn a_closed_run_is_asked_in_vain() {
    let mut world = World::started();
    world.terminate().unwrap();
    let completed = "NotFound: workflow execution already completed";
    assert_eq!(refusal(world.signal("1")), completed);
    assert_eq!(refusal(world.terminate()), completed);
    assert_eq!(refusal(world.ask(Call::ResetSticky)), completed);
    assert_eq!(world.cancel(), Ok(Response::Done));
}

#[test]
fn a_missing_run_is_not_found() {
    let mut world = World::new();
    assert_eq!(refusal(world.signal("1")), "NotFound: workflow not found for ID: order-7");
    assert_eq!(refusal(world.cancel()), "NotFound: workflow not found for ID: order-7");
    assert_eq!(refusal(world.ask(Call::Describe)), "NotFound: workflow not found for ID: order-7");
    world.start_with(|_| {}).unwrap();
    let run = crate::entropy::Entropy::new(99).run_id();
    let reply = world.ask_run(Some(run), Call::View).unwrap();
    let text = format!("NotFound: workflow execution not found for workflow ID \"order-7\" and run ID \"{run}\"");
    assert_eq!(refusal(reply), text);
}

#[test]
fn a_chain_is_named_by_its_first_run() {
    let mut world = World::started();
    let terminate = |first: std::string::String| {
        let request = TerminateWorkflowExecutionRequest { first_execution_run_id: first, ..Default::default() };
        Call::Terminate(request.into())
    };
    let other = crate::entropy::Entropy::new(99).run_id().to_string();
    assert_eq!(refusal(world.ask(terminate(other))), "NotFound: workflow execution not found");
    let first = world.run(0).to_string();
    assert_eq!(world.ask(terminate(first)), Ok(Response::Done));
}

#[test]
fn a_closing_command_must_know_of_everything() {
    let mut world = World::taken();
    world.signal("1").unwrap();
    assert_eq!(refusal(world.complete([done()])), "InvalidArgument: UnhandledCommand");
    world.check("Started WftScheduled WftStarted WftFailed Signaled WftScheduled");
    assert_eq!(cause(&world, 4), Cause::UnhandledCommand);
    world.take();
    world.complete([done()]).unwrap();
    world.check("Started WftScheduled WftStarted WftFailed Signaled WftScheduled WftStarted WftCompleted Completed");
}

pub(super) fn cause(world: &World, event: i64) -> Cause {
    use crate::history::event::Attributes;
    match &world.event(event).attributes {
        Some(Attributes::WorkflowTaskFailedEventAttributes(failed)) => failed.cause(),
        other => panic!("no failed workflow task: {other:?}"),
    }
}
