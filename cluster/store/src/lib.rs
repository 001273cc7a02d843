//! What a cluster remembers.
//!
//! This crate never decides: it compares what it is told to compare and writes what it is told to write. It reads no
//! clock, draws no id, spawns no task of its own accord, keeps no decoded state of a run and looks into no record that
//! it is handed; and it never acknowledges what could still be lost.
//!
//! [`Store`] is the contract. Operations and outcomes are data of the core ([`replicator::shard::io`]), so that every
//! store can answer them. [`sqlite::open`] answers them from one file, or from memory, [`postgres::open`] and
//! [`mysql::open`] from a server that several hosts may share. [`visibility::filter`] is the
//! language of lists and counts, the same for every store. [`conformance`] is the contract as a program.

pub mod contract;

pub mod visibility;

mod group;
mod page;
mod plan;
mod select;
mod stored_task;
mod table;

mod server;

pub mod mysql;
pub mod postgres;
pub mod sqlite;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use server::{Address, ServerStore, Tls};

pub use contract::{
    Answer, ClusterRecord, Failed, HistoryError, HistoryPage, Identity, MemberRecord, NamespaceRecord, NamespaceTable,
    NamespaceWrite, NamespacesWritten, Node, ScannedRun, Spawner, Store, StoredBatch, Unavailable,
};
