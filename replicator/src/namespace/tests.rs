//! What the tests of this module share: three clusters and a line that says what became of a namespace.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::time::Duration;

use proptest::prelude::*;
use proto::temporal::api::{
    enums::v1::ArchivalState, namespace::v1::BadBinaryInfo, replication::v1::ClusterReplicationConfig,
};
use uuid::Uuid;

use super::{Archival, Carried, Change, Federation, Namespace, NamespaceState, Pause, ReplicationState};
use crate::{
    ids::{ClusterId, NamespaceId},
    time::Timestamp,
    version::{ClusterName, FailoverVersion, Topology},
};

/// Clusters `a`, `b`, `c` with ids 1, 2, 3 and increment 10, as `a` sees them; `c` is not connected.
pub(super) fn abc() -> Federation {
    let mut topology = Topology::new(10, "a".into(), ClusterId(1)).unwrap();
    topology.add("b".into(), ClusterId(2)).unwrap();
    topology.add("c".into(), ClusterId(3)).unwrap();
    let mut federation = Federation::alone(topology);
    federation.disconnected.insert("c".into());
    federation
}

/// A global namespace `n`, active in the first cluster.
pub(super) fn global(clusters: &[&str], version: i64) -> Namespace {
    let clusters = clusters.iter().map(|name| ClusterName::from(*name)).collect();
    Namespace::global(id(1), "n", clusters, FailoverVersion(version), days(1))
}

pub(super) fn id(number: u128) -> NamespaceId {
    NamespaceId(Uuid::from_u128(number))
}

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

pub(super) fn days(days: u64) -> Duration {
    Duration::from_secs(days * 24 * 3600)
}

pub(super) fn cluster_list(names: &[&str]) -> Vec<ClusterReplicationConfig> {
    names.iter().map(|name| ClusterReplicationConfig { cluster_name: (*name).into(), ..Default::default() }).collect()
}

/// Any namespace, sensible or not, that is local if and only if its version says so.
pub(super) fn any_namespace() -> impl Strategy<Value = Namespace> {
    let texts = ("[a-z]{1,3}", "[a-z]{0,3}", "[a-z]{0,3}", proptest::collection::btree_map("[a-z]", "[a-z]", 0..3));
    let states = (1..=3, 1..=2);
    let clusters = proptest::collection::vec("[abc]", 1..4);
    let failovers = proptest::collection::vec((any::<i64>(), 1..100i64), 0..4);
    let counters = (0..5i64, 0..50i64, 1..1_000_000u64);
    (any::<u128>(), texts, states, clusters, failovers, counters).prop_map(
        |(number, (name, description, owner_email, data), states, clusters, failovers, counters)| Namespace {
            id: id(number),
            name,
            state: NamespaceState::from_wire(states.0).unwrap(),
            description,
            owner_email,
            retention: Duration::from_millis(counters.2),
            carried: Carried {
                history_archival: Archival { state: ArchivalState::Enabled, uri: "file:///x".into() },
                visibility_archival: Archival::default(),
                bad_binaries: data.keys().map(|key| (key.clone(), BadBinaryInfo::default())).collect(),
                search_attribute_aliases: data.clone(),
            },
            data,
            is_global: counters.1 > 0,
            active: clusters[0].as_str().into(),
            clusters: clusters.iter().map(|name| name.as_str().into()).collect(),
            replication_state: match states.1 {
                1 => ReplicationState::Normal,
                _ => ReplicationState::Handover(Pause { to: Some("b".into()), until: Timestamp(counters.1) }),
            },
            config_version: counters.0,
            failover_version: FailoverVersion(counters.1),
            failover_history: failovers.into_iter().map(|(time, v)| (Timestamp(time), FailoverVersion(v))).collect(),
            resumed_in: (states.1 == 1).then(|| crate::ids::Life::counted(2)),
        },
    )
}

/// `global, active a of a b, config 1, version 2 (9s: 2), told`; what is as in a new namespace is left out.
pub(super) fn summary(change: &Change) -> String {
    let namespace = &change.namespace;
    let mut parts = Vec::new();
    if namespace.state != NamespaceState::Registered {
        parts.push(format!("{:?}", namespace.state));
    }
    if let Some(pause) = namespace.replication_state.pause() {
        let to = pause.to.as_ref().map_or_else(String::new, |to| format!(" for {to}"));
        parts.push(format!("paused{to} until {}s", pause.until.0 / 1_000_000_000));
    }
    parts.push(if namespace.is_global { "global" } else { "local" }.to_string());
    let clusters: Vec<_> = namespace.clusters.iter().map(ClusterName::as_str).collect();
    parts.push(format!("active {} of {}", namespace.active, clusters.join(" ")));
    if namespace.config_version > 0 {
        parts.push(format!("config {}", namespace.config_version));
    }
    let failovers: Vec<_> = namespace
        .failover_history
        .iter()
        .map(|(time, version)| format!("{}s: {version}", time.0 / 1_000_000_000))
        .collect();
    let failovers = if failovers.is_empty() { String::new() } else { format!(" ({})", failovers.join(", ")) };
    parts.push(format!("version {}{failovers}", namespace.failover_version));
    if change.publish.is_some() {
        parts.push("told".to_string());
    }
    parts.join(", ")
}
