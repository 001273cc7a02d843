//! How a process becomes a member of its cluster.

use std::sync::Arc;

use config::{Config, Services};
use membership::{JoinError, Member, Membership, Options, Presence};
use replicator::entropy::Entropy;
use store::Store;
use uuid::Uuid;

use crate::ports::Ports;

/// Join the other processes of a cluster, or be the whole of it.
pub(crate) async fn join(
    config: &Config,
    ports: &Ports,
    store: &Arc<dyn Store>,
    cluster: Uuid,
) -> Result<Membership, JoinError> {
    let Some((host, socket)) = config.host.zip(ports.gossip.clone()) else {
        let me = Member {
            id: Uuid::nil(),
            host: ports.host.clone(),
            address: config.frontend.grpc.to_string(),
            gossip: config.frontend.grpc,
            services: Services::ALL,
            started: (ports.now)(),
            presence: Presence::Whole,
        };
        return Ok(Membership::alone(me));
    };
    let mut entropy = Entropy::new(ports.seed ^ SEED);
    let me = Member {
        id: entropy.uuid(),
        host: ports.host.clone(),
        address: host.address(),
        gossip: host.gossip_address(),
        services: host.services,
        started: (ports.now)(),
        presence: Presence::Whole,
    };
    let mut options = Options::of(cluster);
    options.max_join = host.max_join.unwrap_or(options.max_join);
    options.detection = host.failure_detection.unwrap_or(options.detection);
    let ports = membership::Ports {
        rows: Arc::new(store.clone()),
        clock: ports.now.clone(),
        spawn: ports.spawn.clone(),
        seed: entropy.next_u64(),
        socket,
    };
    Membership::join(ports, options, me).await
}

/// So that what is drawn here is drawn nowhere else.
const SEED: u64 = 0x6d65_6d62_6572_7368;
