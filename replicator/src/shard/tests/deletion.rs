//! Runs that callers delete: gone at once for callers, gone in every cluster, and not brought back by what comes late.

use std::{format, string::ToString, vec, vec::Vec};

use super::world::{A, B, C, World, activity, done, workflow};
use crate::{
    ids::RunId,
    shard::io::{Call, Failure, Request},
    task::Category,
};

/// A run that is over and that every cluster has.
fn over(clusters: usize) -> (World, RunId) {
    let mut world = World::new(clusters);
    let run = world.start(A, 0);
    world.signal(A, "one");
    world.work(A, vec![done()]);
    world.deliver_all();
    (world, run)
}

fn is_missing(world: &mut World, cluster: usize, run: Option<RunId>) -> bool {
    matches!(world.call(cluster, run, Call::Describe), Err(Failure::NotFound(_)))
}

#[test]
fn an_open_run_is_terminated_and_gone() {
    let mut world = World::new(1);
    let run = world.start(A, 0);
    world.delete(A, None);
    assert!(is_missing(&mut world, A, None) && is_missing(&mut world, A, Some(run)) && !world.has(A, run));
    assert!(matches!(world.call(A, None, Call::Delete), Err(Failure::NotFound(_))));
    assert!(matches!(world.call(A, Some(run), Call::Delete), Err(Failure::NotFound(_))));
    assert_eq!(world.clusters[A].store.categories(), "[]", "no task is left, and no peer that could bring it back");
    let next = world.start(A, 0);
    assert_eq!(world.phase(A, next), "running");
}

#[test]
fn a_deletion_that_a_crash_interrupted_is_finished() {
    let mut world = World::new(1);
    let run = world.start(A, 0);
    world.clusters[A].store.fails_after(1);
    assert!(world.call(A, None, Call::Delete).is_ok(), "it is durable that it will be done");
    assert!(world.has(A, run));
    world.clusters[A].store.works();
    world.restart(A);
    assert!(!world.has(A, run) && is_missing(&mut world, A, Some(run)));
}

#[test]
fn every_cluster_deletes_what_one_was_asked_to() {
    let (mut world, run) = over(3);
    world.delete(A, None);
    world.deliver_all();
    for cluster in [A, B, C] {
        assert!(!world.has(cluster, run), "cluster {cluster}");
        assert_eq!(world.current(cluster).map(|state| state.run.run), None);
    }
    assert!(world.complaints().is_empty(), "{:?}", world.complaints());
}

/// A peer hears of the end of an open run and of its deletion, in whichever order, repeated, and once more after it is gone.
#[test]
fn nothing_that_comes_late_brings_a_deleted_run_back() {
    let scenario = || {
        let mut world = World::new(2);
        let run = world.start(A, 0);
        world.signal(A, "one");
        world.delete(A, None);
        world.flush();
        (world, run)
    };
    let count = scenario().0.wires.len();
    assert!(count >= 3, "the start, the end, the deletion");
    for order in super::world::permutations(count) {
        let (mut world, run) = scenario();
        let wires: Vec<_> = std::mem::take(&mut world.wires);
        order.iter().for_each(|index| world.deliver(&wires[*index]));
        world.tick(3_000);
        assert!(!world.has(B, run), "{order:?}");
        world.restart(B);
        wires.iter().for_each(|wire| world.deliver(wire));
        world.tick(400_000);
        assert!(!world.has(B, run) && world.clusters[B].shard.quarantined().count() == 0, "{order:?}");
    }
}

/// The store of these worlds looks whether the tasks in the queues are those that the runs know.
#[test]
fn a_deletion_that_overtakes_the_end_of_a_run_leaves_no_task_of_its_activities() {
    let mut world = World::new(2);
    let run = world.start(A, 0);
    world.work(A, vec![activity("one")]);
    world.deliver_all();
    world.delete(A, None);
    world.flush();
    let wires = std::mem::take(&mut world.wires);
    wires.iter().rev().for_each(|wire| world.deliver(wire));
    assert!(!world.has(B, run));
}

/// T#11411: a deletion from before a failover does not remove what the cluster that is active now has written since.
#[test]
fn a_stale_deletion_deletes_nothing_that_is_newer() {
    let mut world = World::new(2);
    let run = world.start(A, 0);
    world.deliver_all();
    world.failover(B, &[B]);
    world.delete(A, None);
    world.signal(B, "one");
    world.deliver_to(B);
    assert_eq!((world.phase(B, run), world.signals(B, run)), ("running".into(), "one".into()));
    // Whoever deleted it has it again, whole.
    world.deliver_all();
    world.hear(&[A]);
    world.signal(B, "two");
    world.deliver_all();
    assert_eq!((world.phase(A, run), world.signals(A, run)), ("running".into(), "one two".into()));
    assert_eq!(world.story(A, run), world.story(B, run));
}

/// A run was to be deleted, and its row was not removed yet when the news came that another cluster, which did not know, had
/// gone on with it. It is there for callers again, and nothing is started beside it.
#[test]
fn a_run_that_went_on_elsewhere_is_not_deleted_any_more() {
    let mut world = World::new(2);
    let run = world.start(A, 0);
    world.deliver_all();
    world.failover(B, &[B]);
    world.signal(B, "one");
    world.flush();
    world.slow(A, true);
    world.ask(A, Request { workflow: workflow(), run: None, call: Call::Delete });
    world.hear(&[A]);
    world.deliver_to(A);
    world.slow(A, false);
    world.written(A);
    assert_eq!((world.phase(A, run), world.signals(A, run)), ("running".into(), "one".into()));
    world.failover(A, &[A, B]);
    let start = world.start_call(0);
    assert!(matches!(world.call(A, None, start), Err(Failure::AlreadyStarted { .. })));
    world.tick(60_000);
    world.deliver_all();
    world.agree();
    assert!(world.has(A, run));
}

/// Two regions begin one workflow, and the run that wins is deleted. Where the other one was not known it goes on. Where it
/// had lost it goes on, too, as soon as that is heard.
#[test]
fn the_run_that_lost_to_a_deleted_one_goes_on_everywhere() {
    let mut world = World::new(3);
    let lost = world.start(A, 0);
    world.deliver_to(C);
    world.failover(B, &[B]);
    let won = world.start(B, 0);
    world.flush();
    let to_c = |wire: &super::world::Wire| wire.to == C;
    let (to_c, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut world.wires).into_iter().partition(to_c);
    to_c.iter().for_each(|wire| world.deliver(wire));
    assert_eq!((world.phase(C, lost), world.phase(C, won)), ("zombie".into(), "running".into()));
    world.delete(B, None);
    world.deliver_to(C);
    assert!(!world.has(C, won));
    // Now `b` hears of the run that `a` has begun, and goes on with it.
    rest.iter().filter(|wire| wire.to == B).for_each(|wire| world.deliver(wire));
    world.signal(B, "one");
    world.deliver_to(C);
    assert_eq!((world.phase(B, lost), world.phase(C, lost)), ("running".into(), "running".into()));
    assert_eq!(world.current(C).map(|state| state.run.run), Some(lost));
}

/// What was deleted under one version and went on under a higher one comes back whole; nothing is left half.
#[test]
fn newer_events_of_a_deleted_run_bring_all_of_it_back() {
    let mut world = World::new(3);
    let run = world.start(A, 0);
    world.deliver_all();
    world.failover(B, &[B]);
    world.signal(B, "one");
    world.delete(A, None);
    // `c` hears of the deletion first.
    world.flush();
    let (of_b, of_a): (Vec<_>, Vec<_>) = std::mem::take(&mut world.wires).into_iter().partition(|wire| wire.from == B);
    of_a.iter().for_each(|wire| world.deliver(wire));
    assert!(!world.has(C, run));
    of_b.iter().for_each(|wire| world.deliver(wire));
    world.deliver_all();
    assert_eq!((world.phase(C, run), world.signals(C, run)), ("running".into(), "one".into()));
    assert_eq!(world.fetches.last().map(|fetch| fetch.starts_with("-..")), Some(true), "{:?}", world.fetches);
}

/// CT-15: in Temporal the answer deletes the run (ND-37).
#[test]
fn ct_15_a_peer_that_has_not_the_run_deletes_nothing() {
    let mut world = World::new(2);
    let run = world.start(A, 0);
    world.deliver_all();
    world.signal(A, "one");
    world.flush();
    world.wires.clear();
    world.signal(A, "two");
    world.flush();
    world.clusters[A].store.forget(&crate::ids::RunKey { workflow: workflow(), run });
    let wires: Vec<_> = std::mem::take(&mut world.wires);
    wires.iter().for_each(|wire| world.deliver(wire));
    world.tick(3_000);
    assert!(world.has(B, run));
    assert_eq!(world.story(B, run), "1@1:Started 2@1:TaskScheduled");
    assert_eq!(world.clusters[B].shard.quarantined().count(), 1, "what cannot be applied is kept");
}

/// A run made by a reset reads on, whichever of the two is deleted, in every cluster.
#[test]
fn a_shared_beginning_outlives_the_run_it_was_written_in() {
    for delete_base in [true, false] {
        let mut world = World::new(2);
        let run = world.start(A, 0);
        world.work(A, vec![]);
        world.signal(A, "one");
        world.deliver_all();
        let new = world.reset(A, run, 4);
        world.deliver_all();
        let story = world.story(A, if delete_base { new } else { run });
        world.delete(A, Some(if delete_base { run } else { new }));
        world.deliver_all();
        for cluster in [A, B] {
            assert_eq!((world.has(cluster, run), world.has(cluster, new)), (!delete_base, delete_base));
            assert_eq!(world.story(cluster, if delete_base { new } else { run }), story);
        }
    }
}

/// A reset of a run that a peer was told to delete before: the peer fetches what it shares.
#[test]
fn a_run_made_by_a_reset_of_a_deleted_one_is_fetched_whole() {
    let mut world = World::new(2);
    let run = world.start(A, 0);
    world.work(A, vec![]);
    world.deliver_all();
    let new = world.reset(A, run, 4);
    world.delete(A, Some(run));
    world.flush();
    let text = new.to_string();
    let (of_new, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut world.wires)
        .into_iter()
        .partition(|wire| format!("{:?}", wire.task.attributes).contains(&text));
    rest.iter().chain(&of_new).for_each(|wire| world.deliver(wire));
    world.deliver_all();
    assert_eq!((world.has(B, run), world.phase(B, new)), (false, "running".into()));
    assert_eq!(world.story(A, new), world.story(B, new));
}

/// What was kept in quarantine goes with the run, and a deletion does not wait behind it.
#[test]
fn a_deletion_overtakes_what_is_in_quarantine() {
    let (mut world, run) = over(2);
    world.delete(A, None);
    world.flush();
    let mut wires: Vec<_> = std::mem::take(&mut world.wires);
    let mut bad = wires[0].clone();
    bad.task.source_task_id -= 1;
    bad.task.raw_task_info.as_mut().unwrap().run_id = run.to_string();
    bad.task.task_type = proto::temporal::server::api::enums::v1::ReplicationTaskType::SyncHsmTask.into();
    world.deliver(&bad);
    assert_eq!(world.clusters[B].shard.quarantined().count(), 1);
    wires.drain(..).for_each(|wire| world.deliver(&wire));
    assert!(!world.has(B, run));
}

/// A tombstone stands as long as the run would have been kept.
#[test]
fn tombstones_do_not_stand_for_ever() {
    let (mut world, _) = over(2);
    world.delete(A, None);
    world.deliver_all();
    let tombstones = |world: &World, cluster: usize| {
        world.clusters[cluster].store.tasks.keys().filter(|(category, _)| *category == Category::Tombstone).count()
    };
    assert_eq!((tombstones(&world, A), tombstones(&world, B)), (1, 1));
    world.tick_far(2 * 86_400);
    assert_eq!((tombstones(&world, A), tombstones(&world, B)), (0, 0));
}
