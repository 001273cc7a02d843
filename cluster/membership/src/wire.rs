//! Members and gossip as bytes. What comes from outside becomes a domain value here, or is refused.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::{Buf, BufMut, Bytes};
use config::Service;
use foca::{Message, State};
use prost::{DecodeError, EncodeError, Message as _};
use proto::meridian::membership::v1 as wire;
use replicator::time::Timestamp;
use uuid::Uuid;

use crate::{
    identity::Identity,
    member::{Member, Presence},
};

/// Bytes of a datagram's payload, at most: with the rest of the datagram it passes any network in one piece.
pub(crate) const MAX_PAYLOAD: usize = 1_300;

/// Bytes of a datagram, at most.
pub(crate) const MAX_DATAGRAM: usize = MAX_PAYLOAD + 100;

/// Bytes of a host's name and of an address, at most: three members must fit into a payload.
pub(crate) const MAX_NAME_BYTES: usize = 120;

/// Members that are known, at most; others are not heard.
pub(crate) const MAX_MEMBERS: usize = 512;

/// Version of the layout of a datagram.
const VERSION: u32 = 1;

/// Why something was not understood.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error(transparent)]
    Message(#[from] DecodeError),
    #[error("{0} is missing or none")]
    Field(&'static str),
    #[error("there are {MAX_MEMBERS} members already")]
    Full,
    #[error(transparent)]
    Long(#[from] EncodeError),
}

/// Why a datagram is not for this host.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Foreign {
    /// It is no datagram at all.
    Malformed,
    /// It is of another cluster, or of another version.
    Other,
}

/// A payload as it is sent.
#[must_use]
pub fn pack(cluster: Uuid, payload: &[u8]) -> Vec<u8> {
    let cluster = Bytes::copy_from_slice(cluster.as_bytes());
    wire::Datagram { version: VERSION, cluster, payload: Bytes::copy_from_slice(payload) }.encode_to_vec()
}

/// The payload of a datagram of this cluster.
pub(crate) fn unpack(cluster: Uuid, datagram: &[u8]) -> Result<Bytes, Foreign> {
    let datagram = wire::Datagram::decode(datagram).map_err(|_| Foreign::Malformed)?;
    match datagram.version == VERSION && datagram.cluster == cluster.as_bytes()[..] {
        true => Ok(datagram.payload),
        false => Err(Foreign::Other),
    }
}

/// A member as it is sent and stored.
pub(crate) fn member_to_wire(member: &Member) -> wire::Member {
    wire::Member {
        id: Bytes::copy_from_slice(member.id.as_bytes()),
        host: member.host.clone(),
        address: member.address.clone(),
        gossip_ip: match member.gossip.ip() {
            IpAddr::V4(ip) => Bytes::copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => Bytes::copy_from_slice(&ip.octets()),
        },
        gossip_port: member.gossip.port().into(),
        services: member.services.iter().fold(0, |bits, service| bits | bit(service)),
        started: member.started.0,
        is_draining: member.is_draining(),
        is_leaving: member.presence == Presence::Leaving,
    }
}

/// A member as it was sent or stored. Services that this program does not know are left out.
pub(crate) fn member_from_wire(member: wire::Member) -> Result<Member, Malformed> {
    let field = Malformed::Field;
    let ip = match member.gossip_ip.len() {
        4 => <[u8; 4]>::try_from(&member.gossip_ip[..]).map(IpAddr::from),
        _ => <[u8; 16]>::try_from(&member.gossip_ip[..]).map(IpAddr::from),
    };
    let port = u16::try_from(member.gossip_port).ok().filter(|port| *port != 0);
    let short = |name: &String| name.len() <= MAX_NAME_BYTES;
    Ok(Member {
        id: Uuid::from_slice(&member.id).map_err(|_| field("id"))?,
        host: Some(member.host).filter(short).ok_or(field("host"))?,
        address: Some(member.address).filter(short).filter(|text| !text.is_empty()).ok_or(field("address"))?,
        gossip: SocketAddr::new(ip.map_err(|_| field("gossip_ip"))?, port.ok_or(field("gossip_port"))?),
        services: Service::ALL.into_iter().filter(|service| member.services & bit(*service) != 0).collect(),
        started: Timestamp(member.started),
        presence: match (member.is_leaving, member.is_draining) {
            (true, _) => Presence::Leaving,
            (false, true) => Presence::Draining,
            (false, false) => Presence::Whole,
        },
    })
}

const fn bit(service: Service) -> u32 {
    1 << service as u32
}

/// Encodes and decodes what gossip says, and refuses to learn of more members than there may be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Codec(Arc<Mutex<BTreeSet<SocketAddr>>>);

impl Codec {
    /// These are the addresses that gossip knows.
    pub(crate) fn set_known(&self, addresses: impl Iterator<Item = SocketAddr>) {
        *self.known() = addresses.collect();
    }

    fn known(&self) -> MutexGuard<'_, BTreeSet<SocketAddr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn identity(&self, identity: Option<wire::Identity>, name: &'static str) -> Result<Identity, Malformed> {
        let identity = identity.ok_or(Malformed::Field(name))?;
        let member = member_from_wire(identity.member.ok_or(Malformed::Field(name))?)?;
        let known = self.known();
        if known.len() >= MAX_MEMBERS && !known.contains(&member.gossip) {
            return Err(Malformed::Full);
        }
        Ok(Identity { member, generation: identity.generation })
    }
}

fn identity_to_wire(identity: &Identity) -> wire::Identity {
    wire::Identity { member: Some(member_to_wire(&identity.member)), generation: identity.generation }
}

impl foca::Codec<Identity> for Codec {
    type Error = Malformed;

    fn encode_header(&mut self, header: &foca::Header<Identity>, mut buf: impl BufMut) -> Result<(), Malformed> {
        let (kind, probe, third) = match &header.message {
            Message::Ping(probe) => (1, *probe, None),
            Message::Ack(probe) => (2, *probe, None),
            Message::PingReq { target, probe_number } => (3, *probe_number, Some(target)),
            Message::IndirectPing { origin, probe_number } => (4, *probe_number, Some(origin)),
            Message::IndirectAck { target, probe_number } => (5, *probe_number, Some(target)),
            Message::ForwardedAck { origin, probe_number } => (6, *probe_number, Some(origin)),
            Message::Announce => (7, 0, None),
            Message::Feed => (8, 0, None),
            Message::Gossip => (9, 0, None),
            Message::Broadcast => (10, 0, None),
            Message::TurnUndead => (11, 0, None),
        };
        let header = wire::Header {
            from: Some(identity_to_wire(&header.src)),
            incarnation: header.src_incarnation.into(),
            to: Some(identity_to_wire(&header.dst)),
            kind,
            probe: probe.into(),
            third: third.map(identity_to_wire),
        };
        Ok(header.encode_length_delimited(&mut buf)?)
    }

    fn decode_header(&mut self, mut buf: impl Buf) -> Result<foca::Header<Identity>, Malformed> {
        let header = wire::Header::decode_length_delimited(&mut buf)?;
        let probe_number = u8::try_from(header.probe).map_err(|_| Malformed::Field("probe"))?;
        let third = || self.identity(header.third.clone(), "third");
        let message = match header.kind {
            1 => Message::Ping(probe_number),
            2 => Message::Ack(probe_number),
            3 => Message::PingReq { target: third()?, probe_number },
            4 => Message::IndirectPing { origin: third()?, probe_number },
            5 => Message::IndirectAck { target: third()?, probe_number },
            6 => Message::ForwardedAck { origin: third()?, probe_number },
            7 => Message::Announce,
            8 => Message::Feed,
            9 => Message::Gossip,
            10 => Message::Broadcast,
            11 => Message::TurnUndead,
            _ => return Err(Malformed::Field("kind")),
        };
        Ok(foca::Header {
            src: self.identity(header.from, "from")?,
            src_incarnation: u16::try_from(header.incarnation).map_err(|_| Malformed::Field("incarnation"))?,
            dst: self.identity(header.to, "to")?,
            message,
        })
    }

    fn encode_member(&mut self, member: &foca::Member<Identity>, mut buf: impl BufMut) -> Result<(), Malformed> {
        let known = wire::Known {
            identity: Some(identity_to_wire(member.id())),
            incarnation: member.incarnation().into(),
            state: match member.state() {
                State::Alive => 0,
                State::Suspect => 1,
                State::Down => 2,
            },
        };
        Ok(known.encode_length_delimited(&mut buf)?)
    }

    fn decode_member(&mut self, mut buf: impl Buf) -> Result<foca::Member<Identity>, Malformed> {
        let known = wire::Known::decode_length_delimited(&mut buf)?;
        let state = match known.state {
            0 => State::Alive,
            1 => State::Suspect,
            2 => State::Down,
            _ => return Err(Malformed::Field("state")),
        };
        let incarnation = u16::try_from(known.incarnation).map_err(|_| Malformed::Field("incarnation"))?;
        Ok(foca::Member::new(self.identity(known.identity, "identity")?, incarnation, state))
    }
}

#[cfg(test)]
mod tests {
    use foca::Codec as _;

    use super::*;

    fn member(port: u16) -> Member {
        Member {
            id: Uuid::from_u128(port.into()),
            host: "h".repeat(MAX_NAME_BYTES),
            address: "a".repeat(MAX_NAME_BYTES),
            gossip: SocketAddr::new([0xfe80, 0, 0, 0, 1, 2, 3, 4].into(), port),
            services: [Service::History, Service::Worker].into_iter().collect(),
            started: Timestamp::MAX,
            presence: Presence::Leaving,
        }
    }

    fn identity(port: u16) -> Identity {
        Identity { member: member(port), generation: u32::MAX }
    }

    #[test]
    fn a_member_is_read_as_written() {
        let v4 = Member { gossip: ([127, 0, 0, 1], 6934).into(), ..member(1) };
        let parts = [Presence::Whole, Presence::Draining].map(|presence| Member { presence, ..member(1) });
        for member in parts.into_iter().chain([member(1), v4]) {
            assert_eq!(member_from_wire(member_to_wire(&member)), Ok(member));
        }
    }

    #[test]
    fn a_member_that_is_none_is_refused() {
        let check = |spoil: fn(&mut wire::Member), field| {
            let mut member = member_to_wire(&member(1));
            spoil(&mut member);
            assert_eq!(member_from_wire(member), Err(Malformed::Field(field)));
        };
        check(|member| member.id = Bytes::from_static(b"short"), "id");
        check(|member| member.host.push('x'), "host");
        check(|member| member.address.push('x'), "address");
        check(|member| member.address.clear(), "address");
        check(|member| member.gossip_ip = Bytes::from_static(b"5byte"), "gossip_ip");
        check(|member| member.gossip_port = 0, "gossip_port");
        check(|member| member.gossip_port = 65_536, "gossip_port");
    }

    #[test]
    fn the_longest_header_and_a_member_fit_into_a_payload() {
        let mut codec = Codec::default();
        let message = Message::PingReq { target: identity(3), probe_number: 255 };
        let header = foca::Header { src: identity(1), src_incarnation: u16::MAX, dst: identity(2), message };
        let mut bytes = Vec::new();
        codec.encode_header(&header, &mut bytes).expect("encodes");
        let known = foca::Member::new(identity(4), u16::MAX, State::Down);
        codec.encode_member(&known, &mut bytes).expect("encodes");
        assert!(bytes.len() <= MAX_PAYLOAD, "{} bytes", bytes.len());
        let mut rest = &bytes[..];
        assert_eq!(codec.decode_header(&mut rest), Ok(header));
        assert_eq!(codec.decode_member(&mut rest), Ok(known));
        assert!(rest.is_empty());
        let datagram = pack(Uuid::nil(), &bytes);
        assert!(datagram.len() <= MAX_DATAGRAM);
        assert_eq!(unpack(Uuid::nil(), &datagram), Ok(Bytes::from(bytes)));
        assert_eq!(unpack(Uuid::from_u128(1), &datagram), Err(Foreign::Other));
        assert_eq!(unpack(Uuid::nil(), &datagram[1..]), Err(Foreign::Malformed));
    }

    #[test]
    fn there_are_only_so_many_members() {
        let mut codec = Codec::default();
        codec.set_known((1..=MAX_MEMBERS).map(|port| member(port as u16).gossip));
        let check = |codec: &mut Codec, port, expected: Result<(), Malformed>| {
            let mut bytes = Vec::new();
            codec.encode_member(&foca::Member::alive(identity(port)), &mut bytes).expect("encodes");
            assert_eq!(codec.decode_member(&bytes[..]).map(drop), expected);
        };
        check(&mut codec, MAX_MEMBERS as u16, Ok(()));
        check(&mut codec, MAX_MEMBERS as u16 + 1, Err(Malformed::Full));
    }
}
