//! A namespace as every cluster knows it (NS-1 to NS-3).

use alloc::{collections::BTreeMap, string::String, vec::Vec};
use core::time::Duration;

use proto::temporal::api::{
    enums::v1::{self as enums, ArchivalState},
    namespace::v1::BadBinaryInfo,
};

use super::ClosedRuns;
use crate::{
    ids::{Life, NamespaceId},
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
    /// How long closed runs are kept. Never zero.
    pub retention: Duration,
    /// Settings kept for peers and callers.
    pub carried: Carried,
    /// Whether it may live in several clusters. A local one has version 0, a global one has not.
    pub is_global: bool,
    /// The cluster that may write.
    pub active: ClusterName,
    /// The clusters that have it, as the settings say. Two concurrent changes can leave `active` out: see
    /// [`Self::members`].
    pub clusters: Vec<ClusterName>,
    /// Whether the active cluster takes writes.
    pub replication_state: ReplicationState,
    /// Counts changes of settings.
    pub config_version: i64,
    /// Names `active`, and counts its changes.
    pub failover_version: FailoverVersion,
    /// The latest failovers, oldest first; at most [`Self::FAILOVERS_KEPT`] (NS-21).
    pub failover_history: Vec<(Timestamp, FailoverVersion)>,
    /// The life of this cluster's store in which it asked the others before it went on, if it was brought back from a backup
    /// ([`super::recovery`]). Local to the cluster.
    pub resumed_in: Option<Life>,
}

/// Settings that act on nothing here, but belong to the namespace: a peer replaces the whole record (NS-39), so what is
/// not told is wiped there (IN-27).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Carried {
    /// Where closed histories go.
    pub history_archival: Archival,
    /// Where closed visibility records go.
    pub visibility_archival: Archival,
    /// Binaries that must not run, by checksum.
    pub bad_binaries: BTreeMap<String, BadBinaryInfo>,
    /// Name of each custom search attribute, by the field that holds it.
    pub search_attribute_aliases: BTreeMap<String, String>,
}

/// One of the two archives.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Archival {
    /// Whether it is on.
    pub state: ArchivalState,
    /// Where it is.
    pub uri: String,
}

/// Whether a namespace may be used (NS-23). The numbers are the API's.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum NamespaceState {
    /// In use.
    Registered = 1,
    /// Open runs go on; nothing new starts.
    Deprecated = 2,
    /// Being removed.
    Deleted = 3,
}

/// Whether the active cluster takes writes (NS-47). Local to the cluster that set it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ReplicationState {
    /// It does.
    Normal,
    /// It holds them back, so that its peers catch up before one of them takes over.
    Handover(Pause),
}

/// For whom writes are held back, and how long at most.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pause {
    /// The cluster that is to take over; none when somebody else sees to that and only wants the writes held back.
    pub to: Option<ClusterName>,
    /// From then on the active cluster takes writes again, whatever became of whoever wanted them held back.
    pub until: Timestamp,
}

impl Namespace {
    /// How many failovers are remembered (NS-21).
    pub const FAILOVERS_KEPT: usize = 10;

    /// A local namespace of `cluster`, with no more settings than it needs.
    #[must_use]
    pub fn local(id: NamespaceId, name: impl Into<String>, cluster: ClusterName, retention: Duration) -> Self {
        Self {
            id,
            name: name.into(),
            state: NamespaceState::Registered,
            description: String::new(),
            owner_email: String::new(),
            data: BTreeMap::new(),
            retention,
            carried: Carried::default(),
            is_global: false,
            active: cluster.clone(),
            clusters: alloc::vec![cluster],
            replication_state: ReplicationState::Normal,
            config_version: 0,
            failover_version: FailoverVersion::EMPTY,
            failover_history: Vec::new(),
            resumed_in: None,
        }
    }

    /// A global namespace of `clusters`, active in the first of them, whose version is `version`.
    ///
    /// # Panics
    ///
    /// When there is no cluster, or the version is that of local namespaces.
    #[must_use]
    pub fn global(
        id: NamespaceId,
        name: impl Into<String>,
        clusters: Vec<ClusterName>,
        version: FailoverVersion,
        retention: Duration,
    ) -> Self {
        assert!(version > FailoverVersion::EMPTY, "version {version} is that of local namespaces");
        let mut namespace = Self::local(id, name, clusters[0].clone(), retention);
        namespace.is_global = true;
        namespace.clusters = clusters;
        namespace.failover_version = version;
        namespace
    }

    /// Append to the failover history unless its end says the same (NS-21).
    pub(super) fn remember_failover(&mut self, now: Timestamp) {
        let history = &mut self.failover_history;
        if history.last().is_none_or(|(_, version)| *version != self.failover_version) {
            history.push((now, self.failover_version));
        }
        let surplus = history.len().saturating_sub(Self::FAILOVERS_KEPT);
        history.drain(..surplus);
    }

    /// The clusters that have it: those of the settings, and the active one if a concurrent change left it out.
    pub fn members(&self) -> impl Iterator<Item = &ClusterName> {
        let forgotten = (!self.clusters.contains(&self.active)).then_some(&self.active);
        self.clusters.iter().chain(forgotten)
    }

    /// Whether `cluster` has it.
    #[must_use]
    pub fn is_on(&self, cluster: &ClusterName) -> bool {
        self.members().any(|member| member == cluster)
    }

    /// What becomes of inputs of losing branches when the workflow is over.
    #[must_use]
    pub fn closed_runs(&self) -> ClosedRuns {
        ClosedRuns::of(&self.data)
    }

    /// Whether other clusters must be told what happens in it (NS-7).
    #[must_use]
    pub fn is_replicated(&self) -> bool {
        self.is_global && self.members().nth(1).is_some()
    }

    /// Whether `cluster` may write for it. A local namespace is active where it is.
    #[must_use]
    pub fn is_active_in(&self, cluster: &ClusterName) -> bool {
        !self.is_global || self.active == *cluster
    }
}

impl NamespaceState {
    /// The state with this number of the API.
    #[must_use]
    pub fn from_wire(number: i32) -> Option<Self> {
        match number {
            1 => Some(Self::Registered),
            2 => Some(Self::Deprecated),
            3 => Some(Self::Deleted),
            _ => None,
        }
    }
}

impl ReplicationState {
    /// Its number in the API.
    #[must_use]
    pub fn to_wire(&self) -> i32 {
        match self {
            Self::Normal => enums::ReplicationState::Normal.into(),
            Self::Handover(_) => enums::ReplicationState::Handover.into(),
        }
    }

    /// Why and until when writes are held back, if they are.
    #[must_use]
    pub fn pause(&self) -> Option<&Pause> {
        match self {
            Self::Normal => None,
            Self::Handover(pause) => Some(pause),
        }
    }
}

impl Default for Archival {
    /// Never enabled, as a cluster without archives says it.
    fn default() -> Self {
        Self { state: ArchivalState::Disabled, uri: String::new() }
    }
}
