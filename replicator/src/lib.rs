//! This crate never reads a clock, never draws chance, never waits, never touches a disk or a wire, and iterates nothing
//! whose order is not defined. Time, chance, storage and network come in as arguments and go out as values.
//!
//! It holds every decision that two clusters must agree on: which cluster may write, what an event does to a workflow,
//! which tasks follow, what another cluster is told, and what is made of what another cluster tells. One
//! [`shard::Shard`] is the protocol's endpoint; everything else is a part of it.
//!
//! Modules in reading order, each standing on those above it.

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod defects;
pub mod entropy;
mod fingerprint;
pub mod ids;
pub mod time;

pub mod history;
pub mod version;

pub mod task;

pub mod namespace;
pub mod workflow;

pub mod ndc;

pub mod queue;
pub mod stream;

pub mod shard;
