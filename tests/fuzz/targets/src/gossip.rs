//! Gossip of other hosts, and of whoever else reaches the port.

use std::{net::SocketAddr, time::Duration};

use membership::{Gossip, GossipKeys, Member, Presence, Seals, Services, pack};
use replicator::{entropy::Entropy, time::Timestamp};
use uuid::Uuid;

use crate::chunks::Chunks;

/// Datagrams as they arrive, and the same as somebody sends them who has the key and is a member, because no mutation finds a
/// signature or the id of a cluster.
pub fn gossip(data: &[u8]) {
    let keys = GossipKeys::parse("a key that is long enough to be one").expect("it is");
    let (mut here, mut there) = (Seals::new(keys.clone(), at(1), 1), Seals::new(keys, at(2), 2));
    let second = Duration::from_secs(1);
    let mut gossip = Gossip::new(member(1), CLUSTER, second, Entropy::new(1));
    gossip.handle_seeds(Duration::ZERO, vec![member(2)]);
    for (step, (_, datagram)) in (1..).zip(Chunks(data)) {
        let now = second * step / 4;
        assert_eq!(here.open(&datagram), None, "nobody guesses a signature");
        let packed = pack(CLUSTER, &datagram);
        for said in [&datagram[..], &packed[..]] {
            let sealed = there.seal(at(1), said);
            assert_eq!(here.open(&sealed), Some(said), "what is sealed is opened");
            assert_eq!(here.open(&sealed), None, "once");
            gossip.handle_datagram(now, said);
        }
        gossip.handle_timeout(now);
        while gossip.poll_datagram().is_some() {}
        assert!(gossip.view().all().count() > 0, "this host is there");
    }
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// The cluster whose gossip it is.
pub const CLUSTER: Uuid = Uuid::from_u128(7);

/// One of its hosts.
#[must_use]
pub fn member(number: u16) -> Member {
    Member {
        id: Uuid::from_u128(number.into()),
        host: "host".to_owned(),
        address: format!("127.0.0.1:{}", 100 + number),
        gossip: at(number),
        services: Services::ALL,
        started: Timestamp(0),
        presence: Presence::Whole,
    }
}
