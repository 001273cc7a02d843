//! Keys of the rings. All hosts of a cluster, of whatever age, must agree on an owner, so these may never change.

use replicator::ids::{NamespaceId, ShardId};

/// Of a history shard.
pub(crate) fn shard(shard: ShardId) -> [u8; 4] {
    shard.0.to_be_bytes()
}

/// Of all task queues of one name. The queue of a single worker goes with the queue that it falls back to.
pub(crate) fn queue(namespace: NamespaceId, normal: &str) -> Vec<u8> {
    [namespace.0.as_bytes(), normal.as_bytes()].concat()
}
