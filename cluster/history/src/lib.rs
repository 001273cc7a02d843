//! This crate decides nothing. It moves values between [`replicator::shard::Shard`] and the world: requests and replies,
//! reads and writes of the store, dispatches to matching, frames to and from peers, and the clock.

pub mod history;

pub use history::{Events, History, RunWatch};
