//! What becomes of tasks and attempts when another branch wins, and when a cluster is promoted; and what that costs.

use std::{string::String, vec, vec::Vec};

use super::world::{A, B, World, activity, timer};
use crate::{
    ids::EventId,
    task::{TaskKind, TimerTask},
    workflow::dispatch::dispatch,
};

/// Timers of `cluster`, as `UserTimer` and the like, in order.
fn timers(world: &World, cluster: usize) -> Vec<String> {
    let tasks = world.clusters[cluster].store.tasks.values();
    let timers = tasks.filter_map(|task| match &task.kind {
        TaskKind::Timer(TimerTask::UserTimer) => Some("timer".into()),
        TaskKind::Timer(TimerTask::ActivityTimeout) => Some("activity".into()),
        _ => None,
    });
    timers.collect()
}

/// Every task of the losing branch is without effect: a worker that has one finds it gone, a timer finds nothing due.
#[test]
fn tasks_of_a_losing_branch_have_no_effect() {
    let mut world = World::new(2);
    let run = world.start(A, 0);
    world.deliver_all();
    world.failover(B, &[B]);
    world.work(A, vec![timer("t", 60), activity("x")]);
    let late = world.try_start_activity(A).unwrap().expect("it starts");
    let stale: Vec<_> = world.clusters[A].store.tasks.values().cloned().collect();
    assert_eq!(timers(&world, A), ["timer", "activity"]);
    let held = world.poll(B);
    world.deliver_to(A);
    let state = world.state(A, run);
    assert_eq!((timers(&world, A).len(), state.activities.table.len(), state.timers.table.len()), (0, 0, 0));
    assert!(stale.iter().all(|task| dispatch(&state, task).is_none()));
    drop(late);
    world.deliver_all();
    world.agree();
    // The winner goes on.
    world.complete(B, &held, vec![]).expect("its own task is whole");
}

/// An attempt that was told before the branches parted is kept; one that was made on the losing branch is not.
#[test]
fn attempts_of_activities_go_with_their_branch() {
    let mut world = World::new(2);
    let run = world.start(A, 0);
    world.work(A, vec![activity("before"), activity("after")]);
    world.try_start_activity(A).unwrap().expect("the first starts");
    world.deliver_all();
    world.failover(B, &[B]);
    world.signal(A, "lost");
    world.try_start_activity(A).unwrap().expect("the second starts");
    world.signal(B, "won");
    world.deliver_all();
    world.agree();
    let state = world.state(A, run);
    let started: Vec<_> = state.activities.table.iter().map(|(_, activity)| activity.started.is_some()).collect();
    assert_eq!(started, [true, false]);
}

/// CT-10. The active cluster dies; its timers and timeouts are due long since when the other is promoted (TK-11).
#[test]
fn ct_10_a_promoted_cluster_does_all_that_was_due_meanwhile() {
    let mut world = World::new(2);
    let run = world.start(A, 0);
    world.work(A, vec![timer("t", 60)]);
    world.deliver_all();
    world.tick_far(3600);
    assert_eq!(world.story(B, run).matches("TimerFired").count(), 0, "a standby waits");
    world.failover(B, &[B]);
    assert_eq!(world.story(B, run).matches("TimerFired").count(), 1);
}

/// A rebuild reads each event of the winning branch once.
#[test]
fn the_cost_of_a_rebuild_is_the_length_of_the_branch() {
    for length in [10, 200] {
        let mut world = World::new(2);
        let run = world.start(A, 0);
        for n in 0..length {
            world.signal(A, &std::format!("s{n}"));
        }
        world.deliver_all();
        world.failover(B, &[B]);
        world.poll(A);
        world.poll(B);
        world.flush();
        world.clusters[A].store.batches_read = 0;
        world.deliver_to(A);
        assert_eq!(world.state(A, run).next_event_id(), EventId(length + 4));
        let read = i64::try_from(world.clusters[A].store.batches_read).unwrap();
        assert_eq!(read, length + 1, "the start and each signal");
    }
}
