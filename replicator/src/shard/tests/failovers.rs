//! What is told when a namespace moves while writes are under way.

use super::world::{A, B, World, name, signal_call, workflow};
use crate::{
    ids::ClusterId,
    shard::{
        Standing,
        io::{Failure, Request},
    },
    version::FailoverVersion,
};

/// A write of one namespace is slow, those of another overtake it. The other one moves. That it has settled must not be told
/// before what it wrote, and that cannot be told yet: a lower task id is still under way.
#[test]
fn a_namespace_settles_behind_everything_it_wrote() {
    let mut world = World::new(2);
    world.stream();
    let other = world.another_namespace();
    let run = world.start(A, 0);
    world.exchange();
    world.slow(A, true);
    let start = world.start_call(0);
    world.ask(A, Request { workflow: other, run: None, call: start });
    world.slow(A, false);
    world.signal(A, "late");
    world.failover(B, &[A]);
    assert_eq!(world.settled_on_the_way(), 0);
    world.written(A);
    world.exchange();
    assert_eq!(world.signals(B, run), "late");
}

/// `a` has heard that the namespace moved to `b`, and whoever moved it is gone before he told `b`.
#[test]
fn a_cluster_that_hears_that_a_namespace_settled_asks_where_it_is() {
    let mut world = World::new(2);
    world.stream();
    world.failover(B, &[A]);
    world.exchange();
    assert_eq!(world.clusters[B].asked, [ClusterId(1)]);
}

/// A namespace comes, and is gone again before the cluster that was active has said that it has settled. Who asked meanwhile is
/// told where it is, at once.
#[test]
fn who_waits_for_a_namespace_that_does_not_stay_is_told() {
    let mut world = World::new(2);
    world.stream();
    world.start(A, 0);
    world.exchange();
    moves(&mut world, B, 2);
    let asked = world.ask(B, Request { workflow: workflow(), run: None, call: signal_call("early") });
    assert_eq!(world.reply(B, asked), None, "it is not known yet what a wrote");
    moves(&mut world, A, 11);
    let told = world.reply(B, asked);
    assert!(matches!(&told, Some(Err(Failure::NotActive { active, .. })) if active == "a"), "{told:?}");
}

/// `b` hears that the namespace is active in a cluster. No time passes.
fn moves(world: &mut World, to: usize, version: i64) {
    world.namespace.active = name(to).into();
    world.namespace.failover_version = FailoverVersion(version);
    let namespace = world.namespace.clone();
    world.clusters[B].shard.handle_namespace(world.now, namespace);
    world.settle(B);
}

/// A signal waits behind a started workflow task, and the process dies. It was acknowledged, so the new side gets it.
#[test]
fn what_was_kept_back_is_told_after_a_restart_too() {
    let mut world = World::new(2);
    let run = world.start(A, 0);
    world.poll(A);
    world.signal(A, "kept");
    world.restart(A);
    world.failover(B, &[A]);
    world.deliver_all();
    assert_eq!(world.signals(B, run), "kept");
}

/// A namespace was local when a run began, and is shared with another cluster later (NS-20). The other one comes to have the
/// run, whose first events carry version 0, when it changes.
#[test]
fn a_run_of_a_namespace_that_was_local_goes_to_the_other_side() {
    let mut world = World::new(2);
    world.stream();
    let workflow = world.local_namespace();
    let call = world.start_call(0);
    world.ask(A, Request { workflow: workflow.clone(), run: None, call });
    world.promote_namespace(&workflow);
    world.ask(A, Request { workflow: workflow.clone(), run: None, call: signal_call("shared") });
    world.exchange();
    let states = |cluster: usize| world.clusters[cluster].store.states(&workflow);
    let digests =
        |cluster| states(cluster).iter().map(crate::workflow::MutableState::digest).collect::<std::vec::Vec<_>>();
    assert_eq!((states(A).len(), digests(A)), (1, digests(B)));
}

/// What a peer lacks is what would be lost now: what it has not acknowledged, and what waits behind a workflow task.
#[test]
fn what_a_peer_lacks_is_counted() {
    let mut world = World::new(2);
    world.stream();
    world.start(A, 0);
    world.exchange();
    check_lacks(&world, (0, 0));
    world.link(false);
    world.signal(A, "one");
    world.signal(A, "two");
    check_lacks(&world, (2, 1));
    let standing = lacks(&world);
    assert!(!standing.is_open && standing.stored.is_none() && standing.acked < standing.next);
    world.poll(A);
    world.signal(A, "behind a task");
    check_lacks(&world, (4, 1));
    // The link is back, and what waits behind the task still would be lost.
    world.link(true);
    world.exchange();
    check_lacks(&world, (1, 1));
    // After a restart the store has to tell.
    world.link(false);
    world.restart(A);
    world.link(true);
    world.exchange();
    assert_eq!(lacks(&world).stored, None);
}

fn lacks(world: &World) -> Standing {
    world.clusters[A].shard.standings().next().expect("the other cluster")
}

#[track_caller]
fn check_lacks(world: &World, expected: (u64, usize)) {
    let exposures = lacks(world).exposures;
    let exposure = exposures.values().next().cloned().unwrap_or_default();
    assert_eq!((exposure.events, exposure.workflows.len()), expected);
}
