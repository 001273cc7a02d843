//! This crate decides nothing. It moves values between [`replicator::shard::Shard`] and the world: requests and replies,
//! reads and writes of the store, dispatches to matching, frames to and from peers, and the clock.
//!
//! [`History`] is the handle for the rest of the process. One `driver` task owns each shard that `shards` holds; `streams` dials peers and
//! answers theirs; `recent` keeps what was just written, so that it is not read again; `watches` wakes those who wait for
//! a run to change; `room` is what the shards of a host have of its memory; `quarantine` is what operators ask of shards.

mod driver;
mod endpoint;
mod history;
mod quarantine;
mod recent;
mod room;
mod shards;
mod streams;
mod watches;

pub use endpoint::Endpoint;
pub use history::{Claim, Events, History, Occasion, Ports, TaskSink};
pub use room::Memory;
pub use watches::{Ended, RunWatch};
