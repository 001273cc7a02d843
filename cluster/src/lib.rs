//! This crate decides nothing that two clusters must agree on; that is the core, `replicator`. It is one running cluster:
//! the world around the core, put together from the crates below `cluster/`, and the command line.
//!
//! A [`Cluster`] is everything but its sockets, so that a simulator can run it; [`process`] gives clusters sockets,
//! signals and an end.

mod failed;
pub mod ports;

pub mod logs;
pub mod metrics;
#[cfg(feature = "otel")]
pub mod telemetry;

mod draining;
mod dynamic;
mod failover;
mod joining;
mod operations;
mod persistence;
mod reflection;
mod security;
mod status;
mod storage;

mod cluster;

mod hosts;
mod http;
pub mod listen;
mod signals;

pub mod dev;
pub mod process;

pub mod cli;

pub use crate::{cluster::Cluster, ports::Ports};
