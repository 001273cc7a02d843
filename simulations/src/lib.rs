//! This crate never starts a thread, never reads a clock, and iterates nothing whose order is not defined: a seed is the
//! whole truth about a run.
//!
//! It holds many clusters in one thread, each of real shards (`replicator::shard::Shard`) in a false world: network,
//! stores, matching, workers, clients, operators and clocks. A [`plan::Plan`] drawn from a seed says what the world is
//! like and what goes wrong in it. Checkers stand outside and keep their own small model of the truth.
//!
//! Modules in reading order.

pub mod random;

pub mod plan;
pub mod program;
pub mod swarm;
pub mod written;

mod agenda;
mod bank;
pub mod coverage;
pub mod trace;

pub mod matching;
pub mod network;
pub mod store;

pub mod checkers;
pub mod world;

pub mod run;
pub mod scenario;
pub mod shrink;

pub mod report;

pub use replicator::defects;
