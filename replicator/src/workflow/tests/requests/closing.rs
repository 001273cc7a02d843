//! How runs close, and which runs follow (api 6.12, 6.14).

use super::world::*;
use crate::{history::event::Attributes, time::duration};
use proto::temporal::api::{
    enums::v1::{ContinueAsNewInitiator, RetryState},
    history::v1::WorkflowExecutionStartedEventAttributes,
};
use std::string::ToString;

#[test]
fn a_workflow_closes_as_it_says() {
    for (command, event) in [(done(), "Completed"), (fail(), "Failed"), (canceled(), "Canceled")] {
        let mut world = World::taken();
        world.complete([command]).unwrap();
        world.check(&std::format!("Started WftScheduled WftStarted WftCompleted {event}"));
        assert!(!world.cluster.state().is_open());
    }
}

#[test]
fn a_workflow_continues_as_new() {
    let mut world = World::started_with(|start| {
        start.workflow_execution_timeout = seconds(100);
        start.workflow_run_timeout = seconds(50);
        start.retry_policy = attempts(3);
        start.memo = Some(Default::default());
    });
    world.pass(2);
    world.take();
    world.complete([continue_as_new(|command| command.input = Some(payloads("again")))]).unwrap();
    world.check(
        "Started WftScheduled WftStarted WftCompleted ContinuedAsNew
         Started WftScheduled",
    );
    let started = second_start(&world);
    assert_eq!(started.continued_execution_run_id, world.run(0).to_string());
    assert_eq!(started.first_execution_run_id, world.run(0).to_string());
    assert_eq!(started.initiator(), ContinueAsNewInitiator::Workflow);
    assert_eq!(started.input, Some(payloads("again")));
    assert_eq!(started.workflow_type.as_ref().unwrap().name, "order");
    assert_eq!(duration(started.workflow_run_timeout.as_ref()).as_secs(), 50);
    assert_eq!(started.attempt, 1);
    // What the command does not say is not carried over, but the end of the chain is.
    assert_eq!((&started.retry_policy, &started.memo), (&None, &None));
    let expiration = world.cluster.runs[&world.run(0)].state.execution.start.execution_expiration();
    assert_eq!(world.cluster.state().execution.start.execution_expiration(), expiration);
}

#[test]
fn a_run_of_no_length_makes_the_next_one_wait() {
    let mut world = World::taken();
    world.complete([continue_as_new(|_| {})]).unwrap();
    world.check(
        "Started WftScheduled WftStarted WftCompleted ContinuedAsNew
         Started",
    );
    world.pass(1);
    world.check(
        "Started WftScheduled WftStarted WftCompleted ContinuedAsNew
         Started WftScheduled",
    );
}

#[test]
fn a_failed_workflow_is_retried() {
    let mut world = World::started_with(|start| start.retry_policy = attempts(2));
    world.take();
    world.complete([fail()]).unwrap();
    world.check(
        "Started WftScheduled WftStarted WftCompleted Failed
         Started",
    );
    let started = second_start(&world);
    assert_eq!((started.attempt, started.initiator()), (2, ContinueAsNewInitiator::Retry));
    assert_eq!(started.continued_failure, Some(failure("boom")));
    assert_eq!(duration(started.first_workflow_task_backoff.as_ref()).as_secs(), 1);
    assert_eq!(failed(&world, 0), (RetryState::InProgress, world.run(1).to_string()));
    world.pass(1);
    world.take();
    world.complete([fail()]).unwrap();
    world.check(
        "Started WftScheduled WftStarted WftCompleted Failed
         Started WftScheduled WftStarted WftCompleted Failed",
    );
    assert_eq!(failed(&world, 1), (RetryState::MaximumAttemptsReached, "".to_string()));
}

#[test]
fn a_workflow_without_a_policy_is_not_retried() {
    let mut world = World::taken();
    world.complete([fail()]).unwrap();
    assert_eq!(failed(&world, 0), (RetryState::RetryPolicyNotSet, "".to_string()));
}

#[test]
fn a_run_that_timed_out_is_retried() {
    let mut world = World::started_with(|start| {
        start.workflow_run_timeout = seconds(2);
        start.retry_policy = attempts(2);
    });
    world.take();
    world.pass(2);
    world.check(
        "Started WftScheduled WftStarted WftFailed TimedOut
         Started",
    );
    assert_eq!(second_start(&world).continued_failure.as_ref().unwrap().message, "workflow timeout");
    world.pass(3);
    world.check(
        "Started WftScheduled WftStarted WftFailed TimedOut
         Started WftScheduled TimedOut",
    );
}

fn second_start(world: &World) -> &WorkflowExecutionStartedEventAttributes {
    match &world.second(1).attributes {
        Some(Attributes::WorkflowExecutionStartedEventAttributes(started)) => started,
        other => panic!("not started: {other:?}"),
    }
}

fn failed(world: &World, run: usize) -> (RetryState, std::string::String) {
    let event = if run == 0 { world.event(5) } else { world.second(5) };
    match &event.attributes {
        Some(Attributes::WorkflowExecutionFailedEventAttributes(failed)) => {
            (failed.retry_state(), failed.new_execution_run_id.clone())
        }
        other => panic!("not failed: {other:?}"),
    }
}
