//! Certificates of a cluster: read, used, and read again while connections live on.
//!
//! What a configuration names is read at the start, and every mistake is told by its key. Later it is looked at again and
//! again: what is new is used for new connections, and what cannot be used changes nothing. A connection keeps what it
//! began with.
//!
//! This crate opens no listener, dials nobody and spawns nothing by itself, and it reads no clock but the one by which
//! certificates are valid. It does not know what is said over its connections.

mod certificate;
mod client;
mod handshakes;
mod live;
mod material;
mod quiet;
mod refusal;
mod server;

pub use crate::{
    certificate::Names,
    client::{Client, Clients, TlsStream},
    handshakes::{Caller, Handshakes, Refused, Secured, Spawner, Task},
    live::{Expiry, Live, Refreshed},
    quiet::Quiet,
    refusal::{Reason, reason},
    server::Server,
};
