//! This crate keeps no state of a workflow, decides nothing that two clusters must agree on, and stores nothing: any
//! frontend answers any call.
//!
//! It is `temporal.api.workflowservice.v1.WorkflowService`. A call arrives as bytes, and `rpcs` says what is known of
//! its method. The `pipeline` finds the namespace, decides in which cluster the call belongs ([`redirection`]) and on which of
//! its hosts (`routing`), and either passes the bytes on or has the handler decode them, check them (`validation`), and ask the shards
//! ([`shards`]) and matching. What comes back is bytes, or a refusal that becomes a status in [`errors`], and there only.
//!
//! Modules in reading order, each standing on those above it.

mod answer;
pub mod errors;
pub mod tokens;

mod caller;
mod versions;

pub mod lists;
pub mod namespaces;
pub mod shards;

mod rpcs;
mod validation;

mod frontend;
mod long_polls;
pub mod metrics;
mod rates;
pub mod redirection;

#[cfg(test)]
mod fake;
mod handlers;
mod inside;
mod pipeline;
mod routing;

pub mod service;

pub use crate::{
    errors::Error,
    frontend::{About, Clock, Frontend, Parts, Uuids},
    lists::Lists,
    namespaces::{Namespaces, Registry},
    rates::Limits,
    redirection::{PeerChannel, Peers, Policy},
    routing::LAST_WORD,
    service::{Built, InsideService, WorkflowService},
    shards::Shards,
    versions::{SERVER_VERSION, SUPPORTED_CLIENTS},
};
