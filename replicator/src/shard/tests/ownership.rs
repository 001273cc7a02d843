//! A shard goes to another host: what is under way is answered, what waits is not looked at, and nothing is lost.

use std::vec;

use super::world::{A, B, World, signal_call, topology, workflow};
use crate::{
    ids::ShardId,
    shard::{
        HandoverProgress, Shard,
        io::{Load, Report, Request, RequestId},
    },
};

/// A signal on its way to the store is written and answered; one that waits behind it is the next host's.
#[test]
fn what_is_under_way_is_written_and_nothing_else_is_decided() {
    let mut world = World::new(1);
    let run = world.start(A, 0);
    world.slow(A, true);
    let first = signal(&mut world, "first");
    let second = signal(&mut world, "second");
    world.clusters[A].shard.release();
    world.settle(A);
    assert!(world.clusters[A].shard.is_writing());
    world.written(A);
    world.tick(10_000);
    assert!(!world.clusters[A].shard.is_writing());
    assert!(matches!(world.reply(A, first), Some(Ok(_))));
    assert_eq!(world.reply(A, second), None);

    world.restart(A);
    world.signal(A, "third");
    assert_eq!(world.signals(A, run), "first third");
}

/// One that nobody has yet is let go as well: what it had asked for comes too late.
#[test]
fn a_shard_that_is_being_taken_can_be_let_go() {
    let mut world = World::new(1);
    world.start(A, 0);
    world.clusters[A].shard.acquire();
    world.clusters[A].shard.release();
    world.settle(A);
    let asked = signal(&mut world, "late");
    world.tick(10_000);
    assert!(!world.clusters[A].shard.is_ready() && !world.clusters[A].shard.is_writing());
    assert_eq!(world.reply(A, asked), None);
}

/// Another host takes a quiet shard, schedules a task and is gone. Whoever had it before writes nothing, hears nothing of the
/// task, and still learns of it.
#[test]
fn a_quiet_shard_learns_that_another_host_had_it() {
    for how in ["by itself", "told"] {
        let mut world = World::new(1);
        let run = world.start(A, 0);
        let task = world.poll(A);
        let mut quiet = Shard::new(ShardId(1), topology(0, 1), 7).with_rivals();
        std::mem::swap(&mut quiet, &mut world.clusters[A].shard);
        world.open(A);
        // The other host, which takes it.
        std::mem::swap(&mut quiet, &mut world.clusters[A].shard);
        world.open(A);
        world.complete(A, &task, vec![]).expect("it is its task");
        world.signal(A, "first");
        std::mem::swap(&mut quiet, &mut world.clusters[A].shard);
        world.clusters[A].offers.clear();
        match how {
            "told" => {
                let now = world.now;
                world.clusters[A].shard.doubt(now);
                world.settle(A);
            }
            _ => world.tick(6_000),
        }
        assert_eq!(world.clusters[A].offers.len(), 1, "{how}: the task that the signal wants");
        world.signal(A, "second");
        assert_eq!(world.signals(A, run), "first second");
    }
}

/// A namespace is being handed over, and everything that this host knows of is on the other side. But another host has the
/// shard and may have written: that everything is there is not said.
#[test]
fn only_who_has_the_shard_says_that_it_is_drained() {
    for is_taken in [false, true] {
        let mut world = World::new(2);
        world.clusters[A].shard = Shard::new(ShardId(1), topology(0, 2), 7).with_rivals();
        world.open(A);
        world.stream();
        world.start(A, 0);
        world.exchange();
        let reports = world.clusters[A].reports.len();
        if is_taken {
            // By another host, of which this one does not hear.
            let _ = world.clusters[A].store.load(Load::AcquireShard { leaps: false });
        }
        world.pause(B, 15);
        let lost = |report: &Report| matches!(report, Report::OwnershipLost { .. });
        let is_lost = world.clusters[A].reports[reports..].iter().any(lost);
        // Who learns by it that the shard was another's takes it again, and says so when it is true.
        assert_eq!((is_lost, world.progress()), (is_taken, vec![HandoverProgress::Drained]));
    }
}

/// Matching has lost a task: it is offered again, as it was.
#[test]
fn what_matching_forgot_is_offered_again() {
    let mut world = World::new(1);
    world.start(A, 0);
    let offers = std::mem::take(&mut world.clusters[A].offers);
    assert_eq!(offers.len(), 1);
    let now = world.now;
    world.clusters[A].shard.offer_again(now);
    world.settle(A);
    assert_eq!(world.clusters[A].offers, offers);
    assert!(world.try_poll(A).is_some());
    let now = world.now;
    world.clusters[A].offers.clear();
    world.clusters[A].shard.offer_again(now);
    world.settle(A);
    assert_eq!(world.clusters[A].offers, vec![], "a started task is nobody else's");
}

fn signal(world: &mut World, name: &str) -> RequestId {
    world.ask(A, Request { workflow: workflow(), run: None, call: signal_call(name) })
}
