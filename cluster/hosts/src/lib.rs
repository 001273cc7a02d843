//! This crate answers no call and decides none. It says on which host of the cluster a workflow, a task queue or a duty is,
//! and carries calls there: as the same bytes to the same method, as between clusters, or as one of the few that hosts have
//! for each other ([`proto::meridian::internal::v1`]).
//!
//! Who is there comes from [`membership`], which may be wrong for a moment. So whoever is asked in vain says so
//! ([`Trouble`]), and whoever asks asks again where the ring points to then.

pub mod calls;
mod codec;
mod host;
mod keys;
mod partitions;
mod rings;
mod trouble;
pub mod wire;

pub use membership::Service;

pub use crate::{
    codec::BytesCodec,
    host::{Dial, Host, WORKFLOW_SERVICE},
    partitions::{PartitionCounts, Partitions, ROOT},
    rings::{Hosts, Owner},
    trouble::{MOVED, Trouble, WANTED_AT, is_moved, wanted_at},
};
