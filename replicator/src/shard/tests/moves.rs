//! A namespace moves, or a shard does, while something is under way.

use std::{mem, vec, vec::Vec};

use proto::temporal::api::workflowservice::v1::{SignalWorkflowExecutionRequest, TerminateWorkflowExecutionRequest};

use super::world::{A, B, World, activity, go_on, topology, workflow};
use crate::{
    ids::ShardId,
    shard::{
        Shard,
        io::{Call, Failure, Report, Request, RequestId},
    },
};

/// A signal that was acknowledged waits for a started workflow task. Its run is not in memory when the namespace moves, or
/// the move is first heard of at the next start. It is written under the version that it was taken under, and told.
#[test]
fn what_is_kept_back_is_written_though_nobody_has_it_in_memory() {
    for is_heard_late in [false, true] {
        let mut world = World::new(2);
        let run = world.start(A, 0);
        let _held = world.poll(A);
        world.signal(A, "kept");
        world.deliver_all();
        if is_heard_late {
            world.failover(B, &[B]);
            world.restart(A);
        } else {
            world.restart(A);
            world.failover(B, &[A, B]);
        }
        world.deliver_all();
        assert_eq!(world.signals(B, run), "kept", "heard late: {is_heard_late}");
        assert_eq!(world.tree(B, run).matches('|').count(), 0, "nothing diverged");
        world.agree();
    }
}

/// A signal waits for a started workflow task of which no event tells, for it is not the first attempt. The task times out,
/// and the disk does not take that. Meanwhile the other cluster, promoted, makes an attempt of an activity and goes on. Both are
/// heard at once, and only then of the failover. What waited is told.
#[test]
fn what_is_kept_back_is_told_though_an_attempt_is_heard_with_what_follows_it() {
    let mut world = World::new(2);
    world.stream();
    let run = world.start(A, 0);
    world.work(A, vec![activity("pack")]);
    world.signal(A, "first");
    world.poll(A);
    world.tick_far(11);
    world.poll(A);
    world.exchange();
    world.link(false);
    world.signal(A, "kept");
    world.failover(B, &[B]);
    world.try_start_activity(B).unwrap().unwrap();
    world.signal(B, "later");
    world.clusters[A].store.fails_after(0);
    world.tick_far(11);
    world.link(true);
    while world.deliver_frame() {}
    world.hear(&[A]);
    world.clusters[A].store.works();
    world.exchange();
    assert_eq!((world.tree(B, run), world.tree(B, run).matches('|').count()), (world.tree(A, run), 1));
    world.agree();
}

/// A host goes on with what it knew of a workflow while the next one has the shard, and reads a run that the next one
/// wrote. It finds out that it lost the shard, and has harmed nobody.
#[test]
fn a_host_that_lost_its_shard_is_not_misled_by_what_the_next_one_wrote() {
    let mut world = World::new(2);
    world.start(A, 0);
    world.deliver_all();
    let lost = mem::replace(&mut world.clusters[B].shard, Shard::new(ShardId(1), topology(B, 2), 77));
    world.open(B);
    world.work(A, vec![go_on()]);
    world.deliver_all();
    world.signal(A, "late");
    world.clusters[B].shard = lost;
    world.deliver_all();
    world.tick(500);
    world.deliver_all();
    world.agree();
}

/// Whoever was promoted has started an activity, of which no event tells, and then hears what came before. That the other
/// cluster does not know of the start is no disagreement about the events.
#[test]
fn attempts_under_another_version_are_not_compared() {
    let mut world = World::new(2);
    world.start(A, 0);
    world.work(A, vec![activity("x")]);
    world.deliver_all();
    world.failover(B, &[B]);
    world.try_start_activity(B).unwrap().expect("it starts");
    world.signal(A, "before");
    world.deliver_to(B);
    assert!(world.complaints().is_empty());
}

/// A worker completes a task of a run that has lost to another one since, at the cluster that knows: nothing is written.
/// A worker that began under the version before is alive under this one. The other side, which does not know of that, tells
/// what came before.
#[test]
fn a_sign_of_life_under_another_version_is_not_compared() {
    let mut world = World::new(2);
    world.start(A, 0);
    world.work(A, vec![activity("pack")]);
    world.try_start_activity(A).unwrap().unwrap();
    world.deliver_all();
    world.failover(B, &[B]);
    world.signal(A, "late");
    world.tick(100);
    world.try_end_activity(B, 0).unwrap().unwrap();
    world.deliver_to(B);
    assert_eq!(world.complaints(), Vec::<&Report>::new());
    let version =
        |world: &World, cluster| world.current(cluster).unwrap().activities.table.iter().next().unwrap().1.version.0;
    assert_eq!((version(&world, A), version(&world, B)), (1, 2));
}

/// What a run with a branch that lost made of attempts is not what a cluster makes of them that never had the branch.
#[test]
fn a_run_that_was_written_on_both_sides_is_told_without_a_digest_while_activities_are_pending() {
    for is_pending in [false, true] {
        let mut world = World::new(2);
        world.start(A, 0);
        world.work(A, if is_pending { vec![activity("pack")] } else { vec![] });
        world.deliver_all();
        world.failover(B, &[B]);
        world.signal(A, "lost");
        world.signal(B, "won");
        world.deliver_all();
        world.failover(A, &[A, B]);
        world.deliver_all();
        world.signal(A, "next");
        world.flush();
        let extensions = world.wires.iter().filter_map(|wire| wire.task.meridian.as_ref());
        let digests: Vec<bool> = extensions.map(|told| !told.state_digest.is_empty()).collect();
        assert_eq!(digests, [!is_pending], "pending: {is_pending}");
    }
}

#[test]
fn whoever_hears_of_a_newer_attempt_starts_none_under_an_older_version() {
    let mut world = World::new(2);
    world.start(A, 0);
    world.work(A, vec![activity("pack")]);
    world.deliver_all();
    // `b` has the namespace now, and gives the first attempt away, which fails; `a` has not heard of the failover.
    world.failover(B, &[B]);
    world.try_start_activity(B).unwrap().unwrap();
    world.try_end_activity(B, 2).unwrap().unwrap();
    world.deliver_all();
    world.tick(2_000);
    assert_eq!(world.current(A).unwrap().activities.table.iter().next().unwrap().1.attempt, 2);
    let refused = world.try_start_activity(A).unwrap();
    assert!(matches!(refused, Err(Failure::NotActive { ref active, .. }) if active == "b"), "{refused:?}");
}

#[test]
fn a_late_completion_changes_no_zombie() {
    let mut world = World::new(2);
    let run = world.start(A, 0);
    world.deliver_all();
    world.failover(B, &[B]);
    world.work(A, vec![go_on()]);
    // A run that follows at once begins a little later.
    world.tick_far(2);
    let late = world.poll(A);
    world.signal(B, "won");
    world.deliver_to(B);
    let next = late.view.run.run;
    assert_ne!(next, run);
    assert_eq!((world.phase(B, next), world.tree(B, next)), ("zombie".into(), "*3@1".into()));
    world.complete(B, &late, vec![]).expect_err("there is no such task");
    assert_eq!(world.tree(B, next), "*3@1");
    world.deliver_all();
    world.agree();
}

/// The last news of a run is on its way to the store when the namespace comes here. The task that it brings is offered.
#[test]
fn what_was_being_written_when_the_namespace_came_is_offered() {
    let mut world = World::new(2);
    let run = world.start(A, 0);
    world.flush();
    world.clusters[B].held = Some(vec![]);
    world.deliver_to(B);
    world.failover(B, &[B]);
    assert_eq!(world.clusters[B].offers.len(), 0, "nothing is durable yet");
    world.release(B);
    assert_eq!(world.clusters[B].offers.iter().map(|offer| offer.run.run).collect::<Vec<_>>(), [run]);
}

/// A task is to be offered once more while a write is under way, and somebody ends the run: both are decided in one turn.
#[test]
fn nothing_is_offered_that_ended_in_the_same_turn() {
    let mut world = World::new(2);
    world.start(A, 0);
    let ask = |world: &mut World, id, call| {
        let request = Request { workflow: workflow(), run: None, call };
        world.clusters[A].shard.handle_request(world.now, RequestId(id), request);
        world.settle(A);
    };
    world.clusters[A].held = Some(vec![]);
    ask(&mut world, 901, Call::Signal(SignalWorkflowExecutionRequest::default().into()));
    // Back under a newer version: everything that waits is offered again.
    world.failover(B, &[]);
    world.failover(A, &[A]);
    ask(&mut world, 902, Call::Terminate(TerminateWorkflowExecutionRequest::default().into()));
    world.clusters[A].offers.clear();
    world.release(A);
    assert_eq!(world.clusters[A].offers, []);
    assert!(world.current(A).is_some_and(|state| !state.is_open()));
}

/// A task is to be offered once more, and shares its turn with a write that the store does not take.
#[test]
fn what_was_to_be_offered_beside_a_write_that_failed_is_offered_later() {
    let mut world = World::new(2);
    let run = world.start(A, 0);
    let signal = |world: &mut World, id| {
        let call = Call::Signal(SignalWorkflowExecutionRequest::default().into());
        let request = Request { workflow: workflow(), run: None, call };
        world.clusters[A].shard.handle_request(world.now, RequestId(id), request);
        world.settle(A);
    };
    world.clusters[A].held = Some(vec![]);
    signal(&mut world, 901);
    // Back under a newer version: everything that waits is offered again.
    world.failover(B, &[]);
    world.failover(A, &[A]);
    signal(&mut world, 902);
    world.clusters[A].offers.clear();
    world.clusters[A].store.writes_left = Some(0);
    world.release(A);
    world.tick(1_000);
    world.clusters[A].store.writes_left = None;
    world.tick(1_000);
    assert_eq!(world.clusters[A].offers.iter().map(|offer| offer.run.run).collect::<Vec<_>>(), [run]);
}
