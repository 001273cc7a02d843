//! This crate opens no socket, starts no thread, and reads no clock but that of a paused runtime.
//!
//! It runs the real code of whole clusters (`cluster`) in a world that a seed draws: a network of byte streams in memory,
//! disks that are slow, fail and forget what was not synced, clocks that are wrong, processes that die. Clients, workers
//! and operators speak the public API. Checkers stand outside, most of them those of `simulations`.
//!
//! Modules in reading order.

pub mod plan;

pub mod ledger;

pub mod store;

pub mod network;
mod wire;

mod datagrams;
mod host;

mod client;
mod operator;
mod people;
mod worker;

mod machines;
mod rest;
mod world;

pub mod run;
