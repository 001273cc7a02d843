//! Namespaces: what a tenant is, which cluster may write for it, and how that changes.
//!
//! Every rule is a function of the record, the request and the clusters that are known. What comes out is data: the new
//! record with whether peers are told ([`Change`]), or a [`Refusal`] that changed nothing.

pub mod closed_runs;
pub mod record;
pub mod refusal;

pub mod federation;

pub mod register;
pub mod update;

pub mod handover;
pub mod recovery;

pub mod merge;
pub mod replication;
pub mod stored;

pub use closed_runs::ClosedRuns;
pub use federation::Federation;
pub use handover::{Handover, Kept, Outcome, Step, Terms};
pub use record::{Archival, Carried, Namespace, NamespaceState, Pause, ReplicationState};
pub use refusal::Refusal;

use proto::temporal::server::api::enums::v1::NamespaceOperation;

/// What an operation wants written, in one transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The record.
    pub namespace: Namespace,
    /// What peers are told of it, if they are.
    pub publish: Option<NamespaceOperation>,
}

#[cfg(test)]
mod tests;
