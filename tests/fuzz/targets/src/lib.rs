//! This crate mutates nothing, measures nothing and knows no fuzzer: it holds the ways in from outside, each as a function
//! of the bytes that arrive. Whatever they are, the function returns; what it panics about is a finding.
//!
//! - [`token`], [`filter`], [`config`]: what callers and operators write.
//! - [`gossip`]: what other hosts send, and whoever else reaches their port.
//! - [`frame`], [`shard`], [`namespace_task`]: what peers send, the second with the [`world`] around it.
//! - [`history`], [`branch`]: what peers send and the store keeps.
//! - [`run_row`], [`task_row`], [`namespace_row`]: what only the store keeps.
//!
//! `tests/corpora.rs` gives them every file of `tests/fuzz/corpus`; the fuzzers of `tests/fuzz` go on from there.

pub mod chunks;
pub mod world;

mod frames;
mod gossip;
mod history;
mod rows;
mod text;
mod token;

pub use self::{
    frames::{Step, frame, namespace_task, shard},
    gossip::{CLUSTER, gossip, member},
    history::history,
    rows::{KINDS, branch, namespace_row, run_row, task_row},
    text::{config, filter},
    token::token,
};

/// A target: takes any bytes.
pub type Target = fn(&[u8]);

/// Every target by its name, which is that of its fuzzer and of its folder of `tests/fuzz/corpus`.
pub const TARGETS: [(&str, Target); 12] = [
    ("branch", branch),
    ("config", config),
    ("filter", filter),
    ("frame", frame),
    ("gossip", gossip),
    ("history", history),
    ("namespace_row", namespace_row),
    ("namespace_task", namespace_task),
    ("run_row", run_row),
    ("shard", shard),
    ("task_row", task_row),
    ("token", token),
];
