//! What a host of a cluster of several does because of the others: it follows the ring, offers tasks to whichever host has
//! their queue, and answers what other hosts ask.
//!
//! A cluster of one host has none of this.

mod all;
mod claims;
mod follow;
mod inside;
mod offers;
mod questions;
mod said;
mod shards;
mod streams;
mod told;
mod wants;

pub(crate) use self::{
    all::{AllShards, is_driven_elsewhere, tell_progress},
    claims::Claims,
    follow::Follower,
    inside::Inside,
    offers::Offers,
    questions::Everywhere,
    shards::ShardsHere,
    streams::PassedOn,
    told::tell,
    wants::Wants,
};
