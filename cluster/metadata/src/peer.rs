//! A peer and the way to it.

use std::time::Duration;

use proto::temporal::server::api::adminservice::v1::admin_service_client::AdminServiceClient;
use replicator::{ids::ClusterId, version::ClusterName};
use tonic::transport::{Channel, Endpoint};

/// A connected remote cluster.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its name.
    pub name: ClusterName,
    /// Its id on the wire.
    pub id: ClusterId,
    /// Where it is reached: what an operator gave, never what it says of itself.
    pub address: String,
    /// How many shards it has.
    pub shard_count: u32,
    /// The way there, shared by everything that goes there.
    pub channel: Channel,
}

impl Peer {
    /// Its admin service. Answers may be as long as those of a Temporal cluster are allowed to be.
    #[must_use]
    pub fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.channel.clone()).max_decoding_message_size(LONGEST_ANSWER)
    }
}

/// A channel over TCP without TLS that connects when it is first used and notices a dead peer.
#[must_use]
pub fn dial(address: &str) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}"));
    // What an address must be is checked before it is kept; this one leads nowhere, and says so when used.
    let endpoint = endpoint.unwrap_or_else(|_| Endpoint::from_static("http://address.invalid:1"));
    endpoint
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .connect_lazy()
}

/// Whether an address can be dialled at all: a host and a port.
pub(crate) fn is_address(text: &str) -> bool {
    let parts = text.parse::<tonic::codegen::http::uri::Authority>();
    parts.is_ok_and(|parts| !parts.host().is_empty() && parts.port_u16().is_some() && !text.contains('@'))
}

/// A peer that does not answer the phone within this time is down.
const CONNECT: Duration = Duration::from_secs(5);

/// Temporal's frontends refuse pings that come more often than every ten seconds.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What Temporal lets a peer receive.
const LONGEST_ANSWER: usize = 128 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for address in ["127.0.0.1:7233", "localhost:1", "[::1]:7233", "b.example.com:443"] {
            assert!(is_address(address), "{address}");
        }
        for address in ["", "host", ":7233", "host:port", "http://host:1", "host:1/path", "u@host:1", "a b:1"] {
            assert!(!is_address(address), "{address}");
        }
    }
}
