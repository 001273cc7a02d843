//! A peer and the way to it.

use proto::temporal::server::api::adminservice::v1::admin_service_client::AdminServiceClient;
use replicator::{ids::ClusterId, version::ClusterName};
use tonic::{service::interceptor::InterceptedService, transport::Channel};

use crate::introduction::Introduction;

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
    /// What it is told of this cluster with every call.
    pub introduction: Introduction,
}

impl Peer {
    /// Its admin service. Answers may be as long as those of a Temporal cluster are allowed to be.
    #[must_use]
    pub fn admin(&self) -> AdminServiceClient<InterceptedService<Channel, Introduction>> {
        AdminServiceClient::with_interceptor(self.channel.clone(), self.introduction.clone())
            .max_decoding_message_size(LONGEST_ANSWER)
    }
}

/// Whether an address can be dialled at all: a host and a port.
pub(crate) fn is_address(text: &str) -> bool {
    let parts = text.parse::<tonic::codegen::http::uri::Authority>();
    parts.is_ok_and(|parts| !parts.host().is_empty() && parts.port_u16().is_some() && !text.contains('@'))
}

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
