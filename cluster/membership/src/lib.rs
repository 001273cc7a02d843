//! This crate moves no shard and routes no call. It says which hosts a cluster has, what each of them runs, and whose a
//! key is; and it may be wrong for a moment. Nothing is safe because of it: two hosts that both believe that they own a
//! shard are told apart by its range id.
//!
//! [`View`] is what a host knows at one moment, [`Membership`] the handle on the latest one and on the host's own place
//! in it.

mod member;
mod membership;
mod service;
mod view;

pub use crate::{
    member::Member,
    membership::Membership,
    service::{Service, Services},
    view::View,
};
