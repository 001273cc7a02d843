//! What one frame tells of a workflow is decided together.

use std::vec::Vec;

use proto::temporal::server::api::replication::v1::replication_task::Attributes;

use super::world::{A, B, World};
use crate::shard::io::Frame;

/// A run that was started and signalled while the peer was away, in one frame.
fn told_at_once() -> (World, crate::ids::RunId) {
    let mut world = World::new(2);
    world.stream();
    world.link(false);
    let run = world.start(A, 0);
    for name in ["x", "y", "z"] {
        world.signal(A, name);
    }
    world.link(true);
    (world, run)
}

#[test]
fn a_frame_is_one_write_for_each_of_its_workflows() {
    for is_known in [false, true] {
        let (mut world, run) = told_at_once();
        if is_known {
            world.exchange();
            world.link(false);
            ["1", "2", "3"].iter().for_each(|name| world.signal(A, name));
            world.link(true);
        }
        world.clusters[B].held = Some(Vec::new());
        while world.deliver_frame() {}
        let writes = world.clusters[B].held.as_ref().map(Vec::len);
        assert_eq!(writes, Some(1), "the workflow was known before: {is_known}");
        world.release(B);
        world.exchange();
        assert_eq!(world.signals(B, run), world.signals(A, run));
        world.agree();
    }
}

/// The store of a standby is full while a run is told of again and again. It is tried ten times a second, not once more for
/// everything that was told; and all of it is there when there is room.
#[test]
fn what_cannot_be_written_is_tried_again_at_a_steady_pace() {
    let mut world = World::new(2);
    let run = world.start(A, 0);
    world.deliver_all();
    world.clusters[B].store.writes_left = Some(0);
    let begin = world.now;
    for number in 0..30 {
        world.signal(A, &std::format!("{number}"));
        world.deliver_all();
    }
    world.tick(1_000);
    let (refused, tenths) = (world.clusters[B].store.refused, world.now.since(begin).as_millis() / 100);
    assert!((1..=tenths + 1).contains(&(refused as u128)), "{refused} tries in {tenths} tenths of a second");
    world.clusters[B].store.writes_left = None;
    world.tick(200);
    world.deliver_all();
    assert_eq!(world.signals(B, run), world.signals(A, run));
    world.agree();
}

/// What cannot be read is kept aside with what follows it; what was told before it is not.
#[test]
fn what_a_frame_tells_before_a_damaged_task_does_not_wait_behind_it() {
    let (mut world, run) = told_at_once();
    world.exchange();
    world.link(false);
    ["before", "damaged", "after"].iter().for_each(|name| world.signal(A, name));
    world.link(true);
    for (_, to, frame) in &mut world.frames {
        if let (B, Frame::Tasks(messages)) = (*to, frame) {
            let damaged = messages.replication_tasks[1].attributes.as_mut();
            let Some(Attributes::HistoryTaskAttributes(attributes)) = damaged else { panic!("no events") };
            (attributes.events, attributes.events_batches) = (None, Vec::new());
        }
    }
    while world.deliver_frame() {}
    assert_eq!(world.signals(B, run), "x y z before");
    assert_eq!(world.clusters[B].shard.quarantined().count(), 2);
}
