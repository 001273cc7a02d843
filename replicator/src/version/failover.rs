//! Failover versions: a number that names the cluster which was active, and grows with every failover.
//!
//! Every cluster owns one residue modulo the increment, its initial failover version. A failover picks the smallest
//! version of the new cluster that is not below the old one (CM-10), so of two versions the higher was chosen later.

use alloc::{collections::BTreeMap, string::String, sync::Arc};
use core::fmt;

use crate::{
    defects::{Defect, planted},
    ids::{ClusterId, ShardId, WorkflowKey, shard_of},
};

/// Name of a cluster, as operators write it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ClusterName(pub Arc<str>);

impl From<&str> for ClusterName {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl From<String> for ClusterName {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

impl ClusterName {
    /// The text of the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Version under which an event was written; it names the cluster that was active at that time.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FailoverVersion(pub i64);

impl FailoverVersion {
    /// Version of local namespaces and of all their events (CM-13).
    pub const EMPTY: Self = Self(0);
}

impl fmt::Display for FailoverVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The clusters that know each other, and the arithmetic of their versions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Topology {
    /// Distance between two versions of one cluster; positive, equal everywhere, never changed (CM-14).
    increment: i64,
    /// This cluster. Always a key of `clusters`.
    current: ClusterName,
    /// Initial failover version of each cluster: distinct, positive, below `increment`.
    clusters: BTreeMap<ClusterName, ClusterId>,
    /// Shards of each cluster of which that is known. Clusters of different counts share a stream between shards that
    /// share some workflows, and not all.
    shards: BTreeMap<ClusterId, u32>,
}

impl Topology {
    /// A topology of one cluster.
    ///
    /// # Errors
    ///
    /// When the numbers could not tell clusters apart (CM-2, CM-3).
    pub fn new(increment: i64, current: ClusterName, id: ClusterId) -> Result<Self, TopologyError> {
        if increment <= 0 || increment > i64::from(i32::MAX) {
            return Err(TopologyError::Increment);
        }
        let mut topology =
            Self { increment, current: current.clone(), clusters: BTreeMap::new(), shards: BTreeMap::new() };
        topology.add(current, id)?;
        Ok(topology)
    }

    /// Make a cluster known, or confirm one that is.
    ///
    /// # Errors
    ///
    /// When the id is out of range, or belongs to another name, or the name to another id. Nothing changes then.
    pub fn add(&mut self, name: ClusterName, id: ClusterId) -> Result<(), TopologyError> {
        if id.0 <= 0 || i64::from(id.0) >= self.increment {
            return Err(TopologyError::InitialVersion);
        }
        if self.clusters.iter().any(|(other, taken)| (*taken == id) != (*other == name)) {
            return Err(TopologyError::Collision);
        }
        self.clusters.insert(name, id);
        Ok(())
    }

    /// Forget a remote cluster. The current cluster stays.
    pub fn remove(&mut self, name: &ClusterName) {
        if *name != self.current
            && let Some(id) = self.clusters.remove(name)
        {
            self.shards.remove(&id);
        }
    }

    /// Say how many shards a cluster has.
    pub fn set_shards(&mut self, cluster: ClusterId, count: u32) {
        if count > 0 {
            self.shards.insert(cluster, count);
        }
    }

    /// How many shards a cluster has, if that is known.
    #[must_use]
    pub fn shards_of(&self, cluster: ClusterId) -> Option<u32> {
        self.shards.get(&cluster).copied()
    }

    /// The shards of a peer that share workflows with a shard of this cluster; none when a count is not known.
    pub fn joined(&self, shard: ShardId, peer: ClusterId) -> impl Iterator<Item = ShardId> + use<> {
        let [ours, theirs] = [self.current_id(), peer].map(|id| self.shards.get(&id).copied().unwrap_or(0));
        let fewer = ours.min(theirs).max(1);
        (1..=if ours == 0 { 0 } else { theirs }).map(ShardId).filter(move |there| there.0 % fewer == shard.0 % fewer)
    }

    /// Whether a stream between this cluster and a peer that ends in `shard` of `end`, one of the two, is the one for a
    /// workflow. Between equal counts every stream joins equal shards, and there is no other; where a count is not known
    /// nothing is held back.
    #[must_use]
    pub fn is_way_of(&self, workflow: &WorkflowKey, peer: ClusterId, end: ClusterId, shard: ShardId) -> bool {
        let [ours, theirs, there] = [self.current_id(), peer, end].map(|id| self.shards.get(&id));
        ours == theirs || there.is_none_or(|count| shard_of(workflow.namespace, &workflow.workflow, *count) == shard)
    }

    /// Distance between two versions of one cluster.
    #[must_use]
    pub fn increment(&self) -> i64 {
        self.increment
    }

    /// This cluster.
    #[must_use]
    pub fn current(&self) -> &ClusterName {
        &self.current
    }

    /// This cluster's id.
    #[must_use]
    pub fn current_id(&self) -> ClusterId {
        self.clusters[&self.current]
    }

    /// Every known cluster with its id, ordered by name.
    pub fn clusters(&self) -> impl Iterator<Item = (&ClusterName, ClusterId)> {
        self.clusters.iter().map(|(name, id)| (name, *id))
    }

    /// The id of a known cluster.
    #[must_use]
    pub fn id_of(&self, name: &ClusterName) -> Option<ClusterId> {
        self.clusters.get(name).copied()
    }

    /// The known cluster with this id.
    #[must_use]
    pub fn name_of(&self, id: ClusterId) -> Option<&ClusterName> {
        self.clusters.iter().find(|(_, known)| **known == id).map(|(name, _)| name)
    }

    /// The smallest version of `cluster` that is not below `version` (CM-10); `None` for an unknown cluster.
    #[must_use]
    pub fn next_version(&self, cluster: &ClusterName, version: FailoverVersion) -> Option<FailoverVersion> {
        let initial = i64::from(self.id_of(cluster)?.0);
        let same_round = version.0 / self.increment * self.increment + initial;
        let is_over = same_round < version.0 && !planted(Defect::VersionGoesBack);
        let next = if is_over { same_round + self.increment } else { same_round };
        Some(FailoverVersion(next))
    }

    /// A version of `cluster` that is far above `version`: nobody had it, whatever is forgotten of a while ago. `None` for an
    /// unknown cluster.
    #[must_use]
    pub fn leap(&self, cluster: &ClusterName, version: FailoverVersion) -> Option<FailoverVersion> {
        self.next_version(cluster, FailoverVersion(version.0.saturating_add(self.increment.saturating_mul(ROUNDS))))
    }

    /// The id that `version` names (CM-12). Version 0 names nobody.
    #[must_use]
    pub fn owner(&self, version: FailoverVersion) -> Option<ClusterId> {
        if version == FailoverVersion::EMPTY {
            return None;
        }
        let residue = version.0 % self.increment;
        // A residue is below the increment, which fits.
        Some(ClusterId(if residue == 0 { self.increment } else { residue } as i32))
    }

    /// Whether `version` was written by this cluster: it owns the version, or the namespace is local.
    #[must_use]
    pub fn is_mine(&self, version: FailoverVersion) -> bool {
        self.owner(version).is_none_or(|owner| owner == self.current_id())
    }
}

/// Numbers that could not tell clusters apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TopologyError {
    /// The increment must be from 1 to 2^31-1.
    Increment,
    /// An initial failover version must be positive and below the increment.
    InitialVersion,
    /// The name or the initial failover version belongs to another cluster.
    Collision,
}

impl fmt::Display for TopologyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Increment => "the failover version increment must be from 1 to 2147483647",
            Self::InitialVersion => "the initial failover version must be positive and below the increment",
            Self::Collision => "another cluster has this name or this initial failover version",
        })
    }
}

/// More failovers of a namespace than there are between a backup and the moment in which it is needed.
const ROUNDS: i64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ct_1_versions_of_namespaces_as_in_example_1() {
        check("a", 0, 1);
        check("b", 0, 2);
        check("b", 1, 2);
        check("a", 2, 11);
    }

    #[test]
    fn ct_1_failover_to_the_same_cluster_keeps_the_version() {
        check("a", 1, 1);
        check("b", 12, 12);
        check("a", 10, 11);
    }

    #[test]
    fn ct_1_a_version_names_its_cluster() {
        let topology = ab();
        for (version, owner) in [(1, 1), (2, 2), (11, 1), (12, 2), (10, 10), (20, 10)] {
            assert_eq!(topology.owner(FailoverVersion(version)), Some(ClusterId(owner)));
        }
        assert_eq!(topology.owner(FailoverVersion::EMPTY), None);
        assert!(topology.is_mine(FailoverVersion(11)) && topology.is_mine(FailoverVersion::EMPTY));
        assert!(!topology.is_mine(FailoverVersion(2)));
    }

    #[test]
    fn clusters_that_could_be_confused_are_refused() {
        let mut topology = ab();
        assert_eq!(topology.add("c".into(), ClusterId(2)), Err(TopologyError::Collision));
        assert_eq!(topology.add("b".into(), ClusterId(3)), Err(TopologyError::Collision));
        assert_eq!(topology.add("c".into(), ClusterId(10)), Err(TopologyError::InitialVersion));
        assert_eq!(topology.add("c".into(), ClusterId(0)), Err(TopologyError::InitialVersion));
        assert_eq!(topology.add("b".into(), ClusterId(2)), Ok(()));
        assert_eq!(Topology::new(0, "a".into(), ClusterId(1)), Err(TopologyError::Increment));
    }

    #[track_caller]
    fn check(cluster: &str, old: i64, new: i64) {
        assert_eq!(ab().next_version(&cluster.into(), FailoverVersion(old)), Some(FailoverVersion(new)));
    }

    fn ab() -> Topology {
        let mut topology = Topology::new(10, "a".into(), ClusterId(1)).unwrap();
        topology.add("b".into(), ClusterId(2)).unwrap();
        topology
    }
}
