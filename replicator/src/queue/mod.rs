//! Tasks of the shard that wait: for a worker, for their time, or for this cluster to become active.

pub mod queues;

pub use queues::Queues;
