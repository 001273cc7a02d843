//! What a run owes to the version of its namespace (MU-6).

use super::{signals::cause, world::*};
use crate::{
    shard::io::{Call, Failure},
    version::FailoverVersion,
    workflow::failover,
};
use proto::temporal::api::enums::v1::WorkflowTaskFailedCause as Cause;
use std::string::ToString;

#[test]
fn a_started_task_of_an_older_version_fails_before_anything_new_is_written() {
    let mut world = World::taken();
    world.raise_version();
    world.signal("1").unwrap();
    world.check("Started WftScheduled WftStarted WftFailed WftScheduled Signaled");
    assert_eq!(cause(&world, 4), Cause::FailoverCloseCommand);
    assert_eq!((world.event(3).version, world.event(4).version), (1, 11));
    assert_eq!(refusal(world.complete([])), "NotFound: Workflow task not found.");
}

#[test]
fn a_completion_from_before_the_failover_comes_too_late() {
    let mut world = World::taken();
    world.raise_version();
    assert_eq!(refusal(world.complete([])), "NotFound: Workflow task not found.");
    world.check("Started WftScheduled WftStarted WftFailed WftScheduled");
    world.take();
    world.complete([done()]).unwrap();
}

#[test]
fn a_transient_task_of_an_older_version_is_told_afresh() {
    let mut world = World::taken();
    world.fail_task().unwrap();
    world.raise_version();
    let task = world.take();
    assert_eq!((task.claim.attempt, task.claim.version), (1, FailoverVersion(11)));
    world.check("Started WftScheduled WftStarted WftFailed WftScheduled WftStarted");
}

#[test]
fn a_scheduled_task_starts_under_the_new_version() {
    let mut world = World::started();
    world.raise_version();
    world.take();
    assert_eq!((world.event(2).version, world.event(3).version), (1, 11));
    world.complete([done()]).unwrap();
}

#[test]
fn an_activity_goes_on_across_a_failover() {
    let mut world = World::taken();
    world.complete([activity("a")]).unwrap();
    let task = world.take_activity("a");
    world.raise_version();
    world.complete_activity(claim(&task)).unwrap();
    world.check("Started WftScheduled WftStarted WftCompleted ActScheduled ActStarted ActCompleted WftScheduled");
}

#[test]
fn what_waits_is_written_before_another_cluster_takes_over() {
    let mut world = World::taken();
    world.signal("1").unwrap();
    world.cluster.namespace.active = "b".into();
    world.cluster.namespace.failover_version = FailoverVersion(12);
    let run = world.run(0);
    world.step(|draft| {
        let mut transition = draft.transition(run).unwrap();
        transition.version = FailoverVersion(1);
        assert!(failover::demote(&mut transition));
    });
    world.check("Started WftScheduled WftStarted WftFailed Signaled WftScheduled");
    assert_eq!(world.last().version, 1);
}

#[test]
fn a_cluster_that_is_not_active_refuses_to_write_and_answers_readers() {
    let mut world = World::taken();
    world.complete([]).unwrap();
    world.cluster.namespace.active = "b".into();
    let refusal =
        Failure::NotActive { namespace: "shop".to_string(), current: "a".to_string(), active: "b".to_string() };
    assert_eq!(world.signal("1"), Err(refusal.clone()));
    assert_eq!(world.start_with(|_| {}), Err(refusal));
    assert!(world.ask(Call::View).is_ok() && world.ask(Call::Describe).is_ok());
    assert!(matches!(world.query().1, Some(Ok(_))));
}
