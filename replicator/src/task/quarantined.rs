//! What a peer told and this cluster could not apply: kept until it can, or until an operator lets it go.
//!
//! It rests in a queue of its own, so that it is as durable as what was applied: the watermark of its stream may pass it.

use alloc::string::String;

use bytes::Bytes;

use crate::{
    ids::{ClusterId, ShardId, TaskId},
    time::Timestamp,
};

/// A peer's task that was not applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Quarantined {
    /// The peer.
    pub cluster: ClusterId,
    /// Its shard.
    pub shard: ShardId,
    /// Id of the task there.
    pub source: TaskId,
    /// The task as it was told: an encoded `temporal.server.api.replication.v1.ReplicationTask`.
    pub told: Bytes,
    /// Why it could not be applied; empty when it waits behind another task of its run.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}
