//! A namespace as every cluster knows it (NS-1 to NS-3).

use alloc::{collections::BTreeMap, string::String, vec::Vec};
use core::time::Duration;

use crate::{
    ids::NamespaceId,
    time::Timestamp,
    version::{ClusterName, FailoverVersion},
};

/// A namespace. Two counters order its changes: `config_version` those of its settings, `failover_version` those of its
/// active cluster; clusters merge each part by its own counter (NS-39).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Namespace {
    /// The same in every cluster.
    pub id: NamespaceId,
    /// What callers write.
    pub name: String,
    /// Whether it may be used.
    pub state: NamespaceState,
    /// Free text.
    pub description: String,
    /// Free text.
    pub owner_email: String,
    /// Free entries; merged, never removed (api 11.2).
    pub data: BTreeMap<String, String>,
    /// How long closed runs are kept.
    pub retention: Duration,
    /// Whether it may live in several clusters. A local one has version 0.
    pub is_global: bool,
    /// The cluster that may write.
    pub active: ClusterName,
    /// The clusters that have it, `active` among them.
    pub clusters: Vec<ClusterName>,
    /// Counts changes of settings.
    pub config_version: i64,
    /// Names `active`, and counts its changes.
    pub failover_version: FailoverVersion,
    /// The latest failovers, oldest first; at most ten (NS-21).
    pub failover_history: Vec<(Timestamp, FailoverVersion)>,
}

/// Whether a namespace may be used (NS-23). The numbers are the API's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NamespaceState {
    /// In use.
    Registered = 1,
    /// Open runs go on; nothing new starts.
    Deprecated = 2,
    /// Being removed.
    Deleted = 3,
}

impl Namespace {
    /// Whether other clusters must be told what happens in it (NS-7).
    #[must_use]
    pub fn is_replicated(&self) -> bool {
        self.is_global && self.clusters.len() > 1
    }

    /// Whether `cluster` may write for it. A local namespace is active where it is.
    #[must_use]
    pub fn is_active_in(&self, cluster: &ClusterName) -> bool {
        !self.is_global || self.active == *cluster
    }
}
