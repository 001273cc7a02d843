//! The shard: the protocol's endpoint, one state machine.

pub mod io;
