//! One host of a cluster.

use std::net::SocketAddr;

use config::Services;
use replicator::time::Timestamp;
use uuid::Uuid;

/// One process of a cluster, with whatever services it runs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member {
    /// This life of the process: another one after each start.
    pub id: Uuid,
    /// What operators call the machine.
    pub host: String,
    /// Where the other members call it: `host:port` of its internal gRPC. One address, whatever services it runs; it keeps
    /// it over a restart, so that it is given the same keys again.
    pub address: String,
    /// Where it hears gossip.
    pub gossip: SocketAddr,
    /// What it runs.
    pub services: Services,
    /// When this life began.
    pub started: Timestamp,
    /// It is about to go: it is still there and still answers, and is given no keys any more.
    pub is_draining: bool,
}
