//! Tasks about a namespace whose record is not here.

use super::world::{A, B, World, activity, topology};
use crate::{
    ids::ShardId,
    shard::{Shard, io::Report},
};

/// `b` has just begun for the first time and knows no namespace.
fn without_namespace() -> World {
    let mut world = World::new(2);
    world.clusters[B].store = Default::default();
    world.clusters[B].shard = Shard::new(ShardId(1), topology(B, 2), 77);
    world.clusters[B].shard.acquire();
    world.settle(B);
    world.open_streams(B);
    world
}

/// `b` knows no namespace, and `a` has told it so many tasks.
fn told(signals: usize) -> World {
    let mut world = without_namespace();
    world.start(A, 0);
    for number in 0..signals {
        world.signal(A, &std::format!("signal {number}"));
        world.flush();
    }
    for wire in std::mem::take(&mut world.wires) {
        world.deliver(&wire);
    }
    world
}

fn forsaken(world: &World) -> usize {
    world.clusters[B].reports.iter().filter(|report| matches!(report, Report::Forsaken { .. })).count()
}

#[test]
fn they_wait_for_the_record_which_is_on_its_way() {
    let mut world = told(3);
    assert_eq!(world.clusters[B].acked.get(&A), None);
    world.hear(&[B]);
    world.agree();
    assert_eq!(forsaken(&world), 0);
}

#[test]
fn they_do_not_hold_back_others_for_ever() {
    let mut world = told(3);
    world.tick(6_000);
    assert!(world.clusters[B].acked[&A] > 0, "the stream goes on");
    assert_eq!(forsaken(&world), 1, "and operators know");
    // It is told everything when the namespace is known.
    world.hear(&[B]);
    assert_eq!(world.clusters[B].shard.seeding().count(), 1);
}

#[test]
fn they_do_not_fill_the_memory() {
    let world = told(300);
    assert_eq!(forsaken(&world), 1);
}

/// What was told before them may have been the attempt of an activity, of which no event tells.
#[test]
fn what_they_make_of_a_run_is_not_compared() {
    let mut world = without_namespace();
    world.start(A, 0);
    world.work(A, std::vec![activity("pack")]);
    world.try_start_activity(A).expect("it waits").expect("it starts");
    world.try_end_activity(A, 0).expect("it runs").expect("it shows its life");
    world.flush();
    world.wires.clear();
    world.signal(A, "one");
    world.flush();
    for wire in std::mem::take(&mut world.wires) {
        world.deliver(&wire);
    }
    world.hear(&[B]);
    world.deliver_all();
    assert!(world.current(B).is_some());
    assert!(world.complaints().is_empty(), "{:?}", world.complaints());
}
