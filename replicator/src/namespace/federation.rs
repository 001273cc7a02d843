//! What a cluster's configuration and its peers allow a namespace to be.

use alloc::{collections::BTreeSet, format, vec::Vec};
use core::time::Duration;

use super::{
    Namespace,
    refusal::{Refusal, invalid},
};
use crate::version::{ClusterName, Topology};

/// The clusters as one of them sees them when it judges a change of a namespace.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Federation {
    /// Every known cluster.
    pub topology: Topology,
    /// Those known but not connected; a namespace cannot be given to them.
    pub disconnected: BTreeSet<ClusterName>,
    /// Whether this cluster has global namespaces at all.
    pub global_namespaces: bool,
    /// Whether global namespaces are registered here (NS-8).
    pub is_master: bool,
    /// Bounds of a setting that every cluster must share.
    pub retention: RetentionBounds,
}

/// The shortest retention that is accepted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RetentionBounds {
    /// Of a local namespace.
    pub local: Duration,
    /// Of a global one: a peer that lags this long may still ask for a run.
    pub global: Duration,
}

impl Default for RetentionBounds {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(3600);
        Self { local: HOUR, global: 24 * HOUR }
    }
}

impl Federation {
    /// A cluster that stands alone, and is its own master.
    #[must_use]
    pub fn alone(topology: Topology) -> Self {
        Self {
            topology,
            disconnected: BTreeSet::new(),
            global_namespaces: true,
            is_master: true,
            retention: RetentionBounds::default(),
        }
    }

    /// Whether a namespace may live where `new` says (NS-10). It may stay where `old` was: a peer that was disconnected
    /// because it is dead must not stand in the way of the failover that is needed then.
    pub(super) fn check_clusters(&self, new: &Namespace, old: Option<&Namespace>) -> Result<(), Refusal> {
        if old.is_none_or(|old| old.active != new.active) {
            self.check_cluster(&new.active)?;
        }
        for cluster in &new.clusters {
            if old.is_none_or(|old| !old.clusters.contains(cluster)) {
                self.check_cluster(cluster)?;
            }
        }
        match new.is_global {
            true if !new.clusters.contains(&new.active) => invalid("Active cluster is not contained in all clusters."),
            false if new.active != *self.topology.current() => invalid("Invalid local namespace active cluster"),
            false if new.clusters != [new.active.clone()] => invalid("Invalid local namespace clusters"),
            _ => Ok(()),
        }
    }

    fn check_cluster(&self, name: &ClusterName) -> Result<(), Refusal> {
        if self.topology.id_of(name).is_none() || self.disconnected.contains(name) {
            return invalid(format!("Invalid cluster name: {name}"));
        }
        Ok(())
    }

    /// A retention that the request must set, and not too short (api 11.1). Longer than a century is a century.
    pub(super) fn check_retention(
        &self,
        field: Option<&prost_types::Duration>,
        is_global: bool,
    ) -> Result<Duration, Refusal> {
        let bound = if is_global { self.retention.global } else { self.retention.local };
        let retention = crate::time::duration(field);
        if retention < bound {
            return invalid("A valid retention period is not set on request.");
        }
        Ok(retention)
    }
}

/// The names, each once, in their order.
pub(super) fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<ClusterName> {
    let mut distinct = Vec::new();
    for name in names.map(ClusterName::from) {
        if !distinct.contains(&name) {
            distinct.push(name);
        }
    }
    distinct
}
