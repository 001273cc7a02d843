//! Timers of the workflow, and what becomes due of the run itself (api 6.1, 6.12).

use super::world::*;

#[test]
fn timers_fire_in_order() {
    let mut world = World::taken();
    world.complete([timer("late", 60), timer("early", 30), timer("also early", 30)]).unwrap();
    world.pass(30);
    let head = "Started WftScheduled WftStarted WftCompleted TimerStarted TimerStarted TimerStarted";
    world.check(&std::format!("{head} TimerFired TimerFired WftScheduled"));
    assert_eq!((fired(&world, 8), fired(&world, 9)), (6, 7));
    world.pass(60);
    world.check(&std::format!("{head} TimerFired TimerFired WftScheduled TimerFired"));
}

#[test]
fn a_timer_of_no_length_fires_at_once() {
    let mut world = World::taken();
    world.complete([timer("t", 0)]).unwrap();
    world.pass(0);
    world.check("Started WftScheduled WftStarted WftCompleted TimerStarted TimerFired WftScheduled");
}

#[test]
fn a_cancelled_timer_does_not_fire() {
    let mut world = World::taken();
    world.complete([timer("t", 30), cancel_timer("t")]).unwrap();
    world.pass(60);
    world.check("Started WftScheduled WftStarted WftCompleted TimerStarted TimerCanceled");
}

#[test]
fn a_timer_that_fired_unseen_can_be_cancelled() {
    let mut world = World::taken();
    world.complete([timer("t", 5)]).unwrap();
    world.signal("1").unwrap();
    world.take();
    world.pass(5);
    world.complete([cancel_timer("t"), done()]).unwrap();
    world.check(
        "Started WftScheduled WftStarted WftCompleted TimerStarted Signaled WftScheduled WftStarted WftCompleted \
         TimerCanceled Completed",
    );
}

#[test]
fn a_run_that_takes_too_long_times_out() {
    let mut world = World::started_with(|start| start.workflow_run_timeout = seconds(20));
    world.take();
    world.signal("1").unwrap();
    world.complete([timer("t", 60)]).unwrap();
    world.take();
    world.signal("2").unwrap();
    world.pass(20);
    // The workflow task ran into its own timeout before.
    world.check(
        "Started WftScheduled WftStarted WftCompleted TimerStarted Signaled WftScheduled WftStarted WftTimedOut \
         Signaled WftScheduled TimedOut",
    );
}

#[test]
fn a_run_that_times_out_ends_its_started_task() {
    let mut world = World::started_with(|start| start.workflow_run_timeout = seconds(5));
    world.pass(1);
    world.take();
    world.pass(4);
    world.check("Started WftScheduled WftStarted WftFailed TimedOut");
}

#[test]
fn a_chain_that_takes_too_long_times_out_whatever_its_policy() {
    let mut world = World::started_with(|start| {
        start.workflow_execution_timeout = seconds(20);
        start.retry_policy = attempts(0);
    });
    world.pass(20);
    world.check("Started WftScheduled TimedOut");
}

#[test]
fn a_closed_run_is_deleted_in_time() {
    let mut world = World::taken();
    world.complete([done()]).unwrap();
    world.pass(86_399);
    assert!(world.deleted.is_empty());
    world.pass(1);
    assert_eq!(world.deleted, [world.run(0)]);
}

fn fired(world: &World, event: i64) -> i64 {
    use crate::history::event::Attributes;
    match &world.event(event).attributes {
        Some(Attributes::TimerFiredEventAttributes(fired)) => fired.started_event_id,
        other => panic!("no timer fired: {other:?}"),
    }
}
