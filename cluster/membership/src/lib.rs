//! This crate moves no shard and routes no call. It says which hosts a cluster has, what each of them runs, and whose a
//! key is; and it may be wrong for a moment. Nothing is safe because of it: two hosts that both believe that they own a
//! shard are told apart by its range id.
//!
//! [`View`] is what a host knows at one moment, [`Membership`] the handle on the latest one and on the host's own place
//! in it. Hosts find each other by rows in their database, and then know of each other by gossip: `gossip` is a plain
//! struct without a socket or a clock, `driver` moves values between it and the world.

mod member;
mod view;

mod identity;
mod wire;

mod chance;
mod gossip;
mod seal;

mod driver;
mod membership;
mod ports;
mod registry;
mod sealed;

#[cfg(test)]
mod gossip_tests;

pub use config::{Service, Services};

pub use crate::{
    gossip::{Gossip, Heard, Moment},
    member::{Member, Presence},
    membership::{JoinError, Membership, Options, Traffic},
    ports::{Clock, Ports, Received, Rows, Socket},
    seal::{GossipKeys, KeyError, Seals},
    sealed::Sealed,
    view::{View, stir},
    wire::pack,
};
