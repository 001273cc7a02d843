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
    /// What it says of its part.
    pub presence: Presence,
}

impl Member {
    /// It is still there and still answers, and is given no keys any more.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.presence != Presence::Whole
    }
}

/// What a member says of its part in the cluster.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Presence {
    /// It takes what it is given.
    Whole,
    /// It is to be given nothing, for as long as an operator wants.
    Draining,
    /// The same, for it is about to stop: what others wait for on its behalf is to end.
    Leaving,
}
