//! Clusters that cut their workflows into different numbers of shards.

use std::boxed::Box;

use proto::temporal::server::api::replication::v1::SyncReplicationState;

use super::world::{A, B, World, stream, topology, workflow};
use crate::{
    ids::{ClusterId, ShardId, shard_of},
    shard::io::{Frame, StreamEvent, StreamKey, StreamRole},
    task::Category,
};

/// A cluster of one shard shares a stream with each of the four of another. Only the one that has the workflow is told,
/// and one that is told all the same takes no notice.
#[test]
fn a_workflow_goes_to_the_one_shard_that_has_it() {
    assert_ne!(shard_of(workflow().namespace, &workflow().workflow, 4), ShardId(1), "the false world has first shards");
    for sender_knows in [true, false] {
        let mut world = World::new(2);
        for cluster in [A, B].into_iter().filter(|cluster| *cluster == B || sender_knows) {
            let mut topology = topology(cluster, 2);
            topology.set_shards(ClusterId(1), 1);
            topology.set_shards(ClusterId(2), 4);
            world.clusters[cluster].shard.handle_topology(topology);
        }
        world.start(A, 0);
        world.flush();
        assert_eq!(world.wires.is_empty(), sender_knows);
        world.deliver_all();
        world.tick(100);
        assert!(world.current(B).is_none() && world.complaints().is_empty());
    }
}

/// What one shard of a peer has is not let go before its other shards have theirs, were they ever heard of or not.
#[test]
fn a_shard_of_a_peer_that_was_never_heard_of_holds_everything_back() {
    let mut world = World::new(2);
    let mut counts = topology(A, 2);
    counts.set_shards(ClusterId(1), 1);
    counts.set_shards(ClusterId(2), 2);
    world.clusters[A].shard.handle_topology(counts);
    world.start(A, 0);
    world.flush();
    let kept = |world: &World| {
        let categories = world.clusters[A].store.tasks.keys().map(|(category, _)| *category);
        categories.filter(|category| *category == Category::Replication).count()
    };
    let before = kept(&world);
    let ack = || {
        let state = SyncReplicationState { inclusive_low_watermark: i64::MAX, ..SyncReplicationState::default() };
        StreamEvent::Frame(Box::new(Frame::Ack(state)))
    };
    let first = stream(B, StreamRole::Source);
    let second = StreamKey { shard: ShardId(2), ..first };
    let now = world.now;
    world.clusters[A].shard.handle_stream(now, first, ack());
    world.tick(3000);
    assert_eq!(kept(&world), before);
    world.clusters[A].shard.handle_stream(now, second, StreamEvent::Opened);
    world.settle(A);
    world.clusters[A].shard.handle_stream(now, second, ack());
    world.tick(3000);
    assert_eq!(kept(&world), 0);
}
