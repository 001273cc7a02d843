//! Events that are too large for a message: told by reference, and fetched.

use proto::{meridian::replication::v1::Omitted, temporal::server::api::replication::v1::replication_task::Attributes};

use super::world::{A, B, Wire, World, go_on};

/// The same task as it is told when its events are too large.
fn by_reference(wire: &Wire) -> Wire {
    let mut wire = wire.clone();
    let Some(Attributes::HistoryTaskAttributes(history)) = &mut wire.task.attributes else { panic!("a history task") };
    let events = history.events.take().expect("one batch");
    let batch = crate::history::HistoryBatch::received(events.data).expect("a batch");
    let omitted = Omitted { first_event_id: batch.first().0, next_event_id: batch.last().next().0, bytes: 1 << 30 };
    wire.task.meridian.as_mut().expect("ours").omitted = Some(omitted);
    wire
}

fn deliver(world: &mut World, pick: impl Fn(usize) -> bool) {
    world.flush();
    for (index, wire) in std::mem::take(&mut world.wires).into_iter().enumerate() {
        world.deliver(&if pick(index) { by_reference(&wire) } else { wire });
    }
}

#[test]
fn what_is_told_by_reference_is_fetched_and_nothing_else_waits() {
    for large in 0..4 {
        let mut world = World::new(2);
        world.start(A, 0);
        for name in ["one", "two", "three"] {
            world.signal(A, name);
            world.flush();
        }
        deliver(&mut world, |index| index == large);
        assert_eq!(world.fetches.len(), 1, "task {large}");
        world.agree();
    }
}

#[test]
fn the_run_that_follows_in_the_same_transaction_is_not_forgotten() {
    let mut world = World::new(2);
    world.start(A, 0);
    world.work(A, std::vec![go_on()]);
    deliver(&mut world, |_| true);
    world.agree();
    assert_eq!(world.picture(B).len(), 2);
}

/// Whether it is too large for the fetch as well, or the peer is away: its run waits alone, with the cause.
#[test]
fn what_cannot_be_fetched_is_kept_aside() {
    let mut world = World::new(2);
    world.start(A, 0);
    world.deliver_all();
    world.signal(A, "large");
    world.peers_answer = false;
    deliver(&mut world, |_| true);
    let kept: std::vec::Vec<_> = world.clusters[B].shard.quarantined().map(|kept| kept.reason).collect();
    assert_eq!(kept, ["the events before it cannot be fetched: the peer is not connected"]);
    world.peers_answer = true;
    world.tick(5_000);
    world.agree();
}
