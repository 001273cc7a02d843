//! Changing a namespace: its settings, its active cluster, or that it is local (NS-14 to NS-26).

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
};
use core::time::Duration;

use proto::temporal::{
    api::{
        enums::v1 as enums,
        namespace::v1::{BadBinaryInfo, NamespaceConfig, UpdateNamespaceInfo},
        replication::v1::NamespaceReplicationConfig,
        workflowservice::v1::UpdateNamespaceRequest,
    },
    server::api::enums::v1::NamespaceOperation,
};

use super::{
    Change, ClosedRuns, Federation, Namespace, NamespaceState, Pause, ReplicationState,
    federation::distinct,
    refusal::{Refusal, invalid},
    register::refuse_archival,
};
use crate::{time::Timestamp, version::ClusterName};

/// Change a namespace as the request says.
///
/// Peers are told again even when nothing changed (NS-25): it is how an operator repeats an announcement.
///
/// # Errors
///
/// The refusals of the API.
pub fn update(
    old: &Namespace,
    request: &UpdateNamespaceRequest,
    now: Timestamp,
    federation: &Federation,
) -> Result<Change, Refusal> {
    let mut new = old.clone();
    new.is_global |= request.promote_namespace;
    let mut settings_changed = false;
    if let Some(info) = &request.update_info {
        settings_changed |= set_info(&mut new, info)?;
    }
    if let Some(config) = &request.config {
        settings_changed |= set_config(&mut new, config, now, federation)?;
    }
    if !request.delete_bad_binary.is_empty() {
        let checksum = &request.delete_bad_binary;
        if new.carried.bad_binaries.remove(checksum).is_none() {
            return invalid(format!("Bad binary checksum {checksum} doesn't exists."));
        }
        settings_changed = true;
    }
    let (mut clusters_changed, mut failover) = (false, false);
    if let Some(config) = &request.replication_config {
        clusters_changed = set_clusters(&mut new, config)?;
        settings_changed |= clusters_changed;
        settings_changed |= set_replication_state(&mut new, old, config, now)?;
        failover = set_active(&mut new, config);
    }

    federation.check_clusters(&new, Some(old))?;
    if new.is_global {
        if !federation.global_namespaces {
            return invalid(format!(
                "global namespace is not enabled on this cluster, cannot update global namespace or promote local \
                 namespace: {}",
                old.name
            ));
        }
        if settings_changed && failover {
            return invalid("Cannot set active cluster to current cluster when other parameters are set.");
        }
        let promotion = !old.is_global;
        if promotion || failover {
            let next = federation.topology.next_version(&new.active, old.failover_version);
            let Some(next) = next else { return invalid(format!("Invalid cluster name: {}", new.active)) };
            new.failover_version = next;
        }
        if (settings_changed || failover) && request.replication_config.is_some() {
            new.remember_failover(now);
        }
    }
    if settings_changed {
        new.config_version += 1;
    }
    let publish = publish(&new, clusters_changed);
    Ok(Change { namespace: new, publish })
}

/// Let open runs end and start nothing more. Peers are told: what is not told looks older or equal for ever (NS-26).
///
/// # Errors
///
/// The refusals of the API.
pub fn deprecate(old: &Namespace, federation: &Federation) -> Result<Change, Refusal> {
    if federation.global_namespaces && !federation.is_master {
        return invalid("Cluster is not master cluster, cannot do namespace registration or namespace update.");
    }
    let mut new = old.clone();
    if set_state(&mut new, NamespaceState::Deprecated)? {
        new.config_version += 1;
    }
    let publish = publish(&new, false);
    Ok(Change { namespace: new, publish })
}

/// Whether peers are told (NS-27). A list that shrank to one must reach the clusters it lost (NS-24). That a namespace is
/// being removed is every cluster's own affair.
fn publish(namespace: &Namespace, clusters_changed: bool) -> Option<NamespaceOperation> {
    let concerned = namespace.is_replicated() || namespace.is_global && clusters_changed;
    (concerned && namespace.state != NamespaceState::Deleted).then_some(NamespaceOperation::Update)
}

fn set_info(namespace: &mut Namespace, info: &UpdateNamespaceInfo) -> Result<bool, Refusal> {
    let mut changed = false;
    if !info.description.is_empty() {
        namespace.description.clone_from(&info.description);
        changed = true;
    }
    if !info.owner_email.is_empty() {
        namespace.owner_email.clone_from(&info.owner_email);
        changed = true;
    }
    if !info.data.is_empty() {
        ClosedRuns::check(&info.data)?;
        namespace.data.extend(info.data.clone());
        changed = true;
    }
    if info.state != i32::from(enums::NamespaceState::Unspecified) {
        let Some(state) = NamespaceState::from_wire(info.state) else { return invalid(STATE) };
        changed |= set_state(namespace, state)?;
    }
    Ok(changed)
}

/// States only move forward, and not while a handover is under way (NS-23).
fn set_state(namespace: &mut Namespace, state: NamespaceState) -> Result<bool, Refusal> {
    if namespace.state == state {
        return Ok(false);
    }
    if namespace.replication_state.pause().is_some() {
        return invalid("cannot update namespace state while its replication state in REPLICATION_STATE_HANDOVER");
    }
    if state < namespace.state {
        return invalid(STATE);
    }
    namespace.state = state;
    Ok(true)
}

fn set_config(
    namespace: &mut Namespace,
    config: &NamespaceConfig,
    now: Timestamp,
    federation: &Federation,
) -> Result<bool, Refusal> {
    refuse_archival("config.history_archival_state", config.history_archival_state)?;
    refuse_archival("config.visibility_archival_state", config.visibility_archival_state)?;
    let mut changed = false;
    if let Some(retention) = &config.workflow_execution_retention_ttl {
        namespace.retention = federation.check_retention(Some(retention), namespace.is_global)?;
        changed = true;
    }
    if let Some(bad) = &config.bad_binaries
        && !bad.binaries.is_empty()
    {
        let marked = |info: &BadBinaryInfo| BadBinaryInfo { create_time: Some(now.into()), ..info.clone() };
        let known = &mut namespace.carried.bad_binaries;
        known.extend(bad.binaries.iter().map(|(checksum, info)| (checksum.clone(), marked(info))));
        if known.len() > BAD_BINARIES {
            return invalid(format!("Total resetBinaries cannot exceed the max limit: {BAD_BINARIES}"));
        }
        changed = true;
    }
    if !config.custom_search_attribute_aliases.is_empty() {
        set_aliases(&mut namespace.carried.search_attribute_aliases, &config.custom_search_attribute_aliases)?;
        changed = true;
    }
    Ok(changed)
}

/// An empty alias frees its field; an alias that exists already stays where it is; a field holds one alias.
fn set_aliases(aliases: &mut BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let before = aliases.clone();
    for (field, alias) in wanted {
        if alias.is_empty() {
            aliases.remove(field);
        } else if before.values().any(|known| known == alias) {
        } else if before.contains_key(field) {
            return invalid("Custom search attribute field name already allocated.");
        } else {
            aliases.insert(field.clone(), alias.clone());
        }
    }
    Ok(())
}

fn set_clusters(namespace: &mut Namespace, config: &NamespaceReplicationConfig) -> Result<bool, Refusal> {
    if config.clusters.is_empty() {
        return Ok(false);
    }
    if config.clusters.iter().any(|cluster| cluster.replication_ramp_duration.is_some()) {
        let text = "replication_config.clusters.replication_ramp_duration: connecting gradually is not built";
        return Err(Refusal::Unimplemented(text.to_string()));
    }
    namespace.clusters = distinct(config.clusters.iter().map(|cluster| cluster.cluster_name.as_str()));
    Ok(true)
}

/// Begin or end a handover (NS-22). `namespace` has its new list of clusters already.
fn set_replication_state(
    namespace: &mut Namespace,
    old: &Namespace,
    config: &NamespaceReplicationConfig,
    now: Timestamp,
) -> Result<bool, Refusal> {
    let state = match enums::ReplicationState::try_from(config.state) {
        Ok(enums::ReplicationState::Unspecified) => return Ok(false),
        Ok(enums::ReplicationState::Normal) => ReplicationState::Normal,
        Ok(enums::ReplicationState::Handover) => {
            ReplicationState::Handover(Pause { to: None, until: now + LONGEST_PAUSE })
        }
        Err(_) => return invalid("Invalid replication state update."),
    };
    if state.to_wire() == namespace.replication_state.to_wire() {
        return Ok(false);
    }
    if old.state != NamespaceState::Registered {
        return invalid(format!(
            "update ReplicationState is only supported when namespace is in Registered state, current state: {:?}",
            old.state
        ));
    }
    if state.pause().is_some() {
        if !old.is_global {
            return invalid("Handover can only be set for global namespace");
        }
        if namespace.clusters.len() < 2 {
            return invalid("Handover require more than one replication clusters");
        }
    }
    namespace.replication_state = state;
    Ok(true)
}

/// Naming the active cluster is a failover, even of the one that is active (NS-16). It ends a handover.
fn set_active(namespace: &mut Namespace, config: &NamespaceReplicationConfig) -> bool {
    if config.active_cluster_name.is_empty() {
        return false;
    }
    namespace.active = ClusterName::from(config.active_cluster_name.as_str());
    namespace.replication_state = ReplicationState::Normal;
    true
}

const STATE: &str = "Invalid namespace state update.";

/// How long writes are held back for somebody who does not say how long, and might never let go. As long as Temporal's own handover may take.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// `limit.maxBadBinaries`.
const BAD_BINARIES: usize = 10;

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proto::temporal::api::namespace::v1::BadBinaries;

    use super::*;
    use crate::namespace::tests::{abc, at, cluster_list, days, global, id, summary};

    type Edit = fn(&mut UpdateNamespaceRequest);

    #[test]
    fn what_changes_which_counter() {
        let cases: [(&str, Edit, &str); 9] = [
            ("nothing: told again", |_| {}, "global, active a of a b, version 1, told"),
            ("description", |r| info(r).description = "d".into(), "global, active a of a b, config 1, version 1, told"),
            ("owner", |r| info(r).owner_email = "o".into(), "global, active a of a b, config 1, version 1, told"),
            ("state", |r| info(r).state = 2, "Deprecated, global, active a of a b, config 1, version 1, told"),
            ("the same state", |r| info(r).state = 1, "global, active a of a b, version 1, told"),
            (
                "deletion: every cluster's own affair",
                |r| info(r).state = 3,
                "Deleted, global, active a of a b, config 1, version 1",
            ),
            (
                "failover",
                |r| clusters(r).active_cluster_name = "b".into(),
                "global, active b of a b, version 2 (9s: 2), told",
            ),
            (
                "failover to the active one",
                |r| clusters(r).active_cluster_name = "a".into(),
                "global, active a of a b, version 1 (9s: 1), told",
            ),
            (
                "a list of one: told to the cluster that is gone",
                |r| clusters(r).clusters = cluster_list(&["a"]),
                "global, active a of a, config 1, version 1 (9s: 1), told",
            ),
        ];
        for (title, edit, expected) in cases {
            check(title, &global(&["a", "b"], 1), edit, Ok(expected));
        }
    }

    #[test]
    fn failing_over_and_back_counts_up() {
        let mut namespace = global(&["a", "b"], 1);
        let mut versions = Vec::new();
        for round in 0..12 {
            let mut request = UpdateNamespaceRequest::default();
            clusters(&mut request).active_cluster_name = if round % 2 == 0 { "b".into() } else { "a".into() };
            namespace = update(&namespace, &request, at(round), &abc()).unwrap().namespace;
            versions.push(namespace.failover_version.0);
        }
        assert_eq!(versions, [2, 11, 12, 21, 22, 31, 32, 41, 42, 51, 52, 61]);
        let remembered: Vec<_> = namespace.failover_history.iter().map(|(_, version)| version.0).collect();
        assert_eq!(remembered, versions[2..], "the latest ten");
    }

    #[test]
    fn a_local_namespace_becomes_global() {
        let local = Namespace::local(id(1), "n", "a".into(), days(1));
        check("promotion", &local, |r| r.promote_namespace = true, Ok("global, active a of a, version 1"));
        check(
            "promotion with peers",
            &local,
            |r| {
                r.promote_namespace = true;
                clusters(r).clusters = cluster_list(&["a", "b"]);
            },
            Ok("global, active a of a b, config 1, version 1 (9s: 1), told"),
        );
        check(
            "promotion and failover",
            &local,
            |r| {
                r.promote_namespace = true;
                clusters(r).active_cluster_name = "b".into();
            },
            Err("Active cluster is not contained in all clusters."),
        );
        check(
            "of what is global",
            &global(&["a"], 11),
            |r| r.promote_namespace = true,
            Ok("global, active a of a, version 11"),
        );
        let mut federation = abc();
        federation.global_namespaces = false;
        let request = UpdateNamespaceRequest { promote_namespace: true, ..Default::default() };
        assert_eq!(
            update(&local, &request, at(9), &federation).unwrap_err(),
            Refusal::InvalidArgument(
                "global namespace is not enabled on this cluster, cannot update global namespace or promote local \
                 namespace: n"
                    .into()
            )
        );
    }

    #[test]
    fn what_is_refused() {
        let cases: [(&str, Edit, &str); 9] = [
            (
                "failover and settings at once",
                |r| {
                    info(r).description = "d".into();
                    clusters(r).active_cluster_name = "b".into();
                },
                "Cannot set active cluster to current cluster when other parameters are set.",
            ),
            ("an unknown cluster", |r| clusters(r).active_cluster_name = "z".into(), "Invalid cluster name: z"),
            ("a disconnected one", |r| clusters(r).clusters = cluster_list(&["a", "c"]), "Invalid cluster name: c"),
            (
                "a list without the active one",
                |r| clusters(r).clusters = cluster_list(&["b"]),
                "Active cluster is not contained in all clusters.",
            ),
            ("a state of nobody", |r| info(r).state = 9, STATE),
            (
                "a short retention",
                |r| config(r).workflow_execution_retention_ttl = Some(seconds(3600)),
                "A valid retention period is not set on request.",
            ),
            ("an unknown binary", |r| r.delete_bad_binary = "x".into(), "Bad binary checksum x doesn't exists."),
            (
                "an archive",
                |r| config(r).history_archival_state = 2,
                "config.history_archival_state: archival is not built, ARCHIVAL_STATE_ENABLED cannot be set",
            ),
            (
                "a ramp",
                |r| {
                    clusters(r).clusters = cluster_list(&["a"]);
                    clusters(r).clusters[0].replication_ramp_duration = Some(seconds(1));
                },
                "replication_config.clusters.replication_ramp_duration: connecting gradually is not built",
            ),
        ];
        for (title, edit, refusal) in cases {
            check(title, &global(&["a", "b"], 1), edit, Err(refusal));
        }
    }

    #[test]
    fn a_dead_peer_can_be_disconnected_and_left() {
        let namespace = global(&["c", "a"], 3);
        check(
            "away from it",
            &namespace,
            |r| clusters(r).active_cluster_name = "a".into(),
            Ok("global, active a of c a, version 11 (9s: 11), told"),
        );
        check(
            "settings",
            &namespace,
            |r| info(r).description = "d".into(),
            Ok("global, active c of c a, config 1, version 3, told"),
        );
        let left = global(&["a", "c"], 1);
        check(
            "not back to it",
            &left,
            |r| clusters(r).active_cluster_name = "c".into(),
            Err("Invalid cluster name: c"),
        );
    }

    #[test]
    fn states_only_move_forward() {
        use NamespaceState::{Deleted, Deprecated, Registered};
        for (old, new, allowed) in [
            (Registered, 2, true),
            (Registered, 3, true),
            (Deprecated, 3, true),
            (Deprecated, 1, false),
            (Deleted, 1, false),
            (Deleted, 2, false),
        ] {
            let mut namespace = global(&["a"], 1);
            namespace.state = old;
            let mut request = UpdateNamespaceRequest::default();
            info(&mut request).state = new;
            assert_eq!(update(&namespace, &request, at(9), &abc()).is_ok(), allowed, "{old:?} to {new}");
        }
    }

    #[test]
    fn handover_is_for_what_has_another_side() {
        let handover: Edit = |r| clusters(r).state = 2;
        check(
            "of two",
            &global(&["a", "b"], 1),
            handover,
            Ok("paused until 39s, global, active a of a b, config 1, version 1 (9s: 1), told"),
        );
        check("of one", &global(&["a"], 1), handover, Err("Handover require more than one replication clusters"));
        let local = Namespace::local(id(1), "n", "a".into(), days(1));
        check("local", &local, handover, Err("Handover can only be set for global namespace"));

        let mut namespace = global(&["a", "b"], 1);
        namespace.state = NamespaceState::Deprecated;
        let refusal = "update ReplicationState is only supported when namespace is in Registered state, current state: Deprecated";
        check("deprecated", &namespace, handover, Err(refusal));

        let mut namespace = global(&["a", "b"], 1);
        namespace.replication_state = ReplicationState::Handover(Pause { to: None, until: at(20) });
        let refusal = "cannot update namespace state while its replication state in REPLICATION_STATE_HANDOVER";
        check("no change of state meanwhile", &namespace, |r| info(r).state = 2, Err(refusal));
        let over = Ok("global, active b of a b, version 2 (9s: 2), told");
        check("a failover ends it", &namespace, |r| clusters(r).active_cluster_name = "b".into(), over);
    }

    #[test]
    fn settings_are_merged() {
        let mut namespace = global(&["a"], 1);
        namespace.data.insert("team".into(), "red".into());
        namespace.data.insert("tier".into(), "gold".into());
        let mut request = UpdateNamespaceRequest::default();
        info(&mut request).data.insert("team".into(), "blue".into());
        config(&mut request).workflow_execution_retention_ttl = Some(seconds(48 * 3600));
        let bad = BadBinaryInfo { reason: "loops".into(), ..Default::default() };
        config(&mut request).bad_binaries = Some(BadBinaries { binaries: [("x".into(), bad)].into() });
        let namespace = update(&namespace, &request, at(9), &abc()).unwrap().namespace;
        assert_eq!(namespace.data, [("team".into(), "blue".into()), ("tier".into(), "gold".into())].into());
        assert_eq!(namespace.retention, Duration::from_secs(48 * 3600));
        assert_eq!(namespace.carried.bad_binaries["x"].create_time, Some(at(9).into()));

        let request = UpdateNamespaceRequest { delete_bad_binary: "x".into(), ..Default::default() };
        let namespace = update(&namespace, &request, at(9), &abc()).unwrap().namespace;
        assert!(namespace.carried.bad_binaries.is_empty());
        assert_eq!(namespace.config_version, 2);
    }

    #[test]
    fn a_field_holds_one_alias() {
        let alias = |namespace: &Namespace, field: &str, alias: &str| {
            let mut request = UpdateNamespaceRequest::default();
            config(&mut request).custom_search_attribute_aliases.insert(field.into(), alias.into());
            update(namespace, &request, at(9), &abc()).map(|change| change.namespace)
        };
        let namespace = alias(&global(&["a"], 1), "Keyword01", "Customer").unwrap();
        assert_eq!(namespace.carried.search_attribute_aliases["Keyword01"], "Customer");
        let refusal = alias(&namespace, "Keyword01", "Order").unwrap_err();
        assert_eq!(refusal, Refusal::InvalidArgument("Custom search attribute field name already allocated.".into()));
        let again = alias(&namespace, "Keyword02", "Customer").unwrap();
        assert_eq!(again.carried.search_attribute_aliases.len(), 1, "it stays where it is");
        let freed = alias(&namespace, "Keyword01", "").unwrap();
        assert!(freed.carried.search_attribute_aliases.is_empty());
    }

    #[test]
    fn deprecation_is_told() {
        let change = deprecate(&global(&["a", "b"], 1), &abc()).unwrap();
        assert_eq!(summary(&change), "Deprecated, global, active a of a b, config 1, version 1, told");
        let again = deprecate(&change.namespace, &abc()).unwrap();
        assert_eq!(again.namespace, change.namespace);
        let mut federation = abc();
        federation.is_master = false;
        assert!(deprecate(&change.namespace, &federation).is_err());
        let mut deleted = change.namespace;
        deleted.state = NamespaceState::Deleted;
        assert_eq!(deprecate(&deleted, &abc()).unwrap_err(), Refusal::InvalidArgument(STATE.into()));
    }

    #[track_caller]
    fn check(title: &str, old: &Namespace, edit: Edit, expected: Result<&str, &str>) {
        let mut request = UpdateNamespaceRequest::default();
        edit(&mut request);
        let found =
            update(old, &request, at(9), &abc()).map(|change| summary(&change)).map_err(|refusal| refusal.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{title}");
    }

    fn info(request: &mut UpdateNamespaceRequest) -> &mut UpdateNamespaceInfo {
        request.update_info.get_or_insert_default()
    }

    fn config(request: &mut UpdateNamespaceRequest) -> &mut NamespaceConfig {
        request.config.get_or_insert_default()
    }

    fn clusters(request: &mut UpdateNamespaceRequest) -> &mut NamespaceReplicationConfig {
        request.replication_config.get_or_insert_default()
    }

    fn seconds(seconds: i64) -> prost_types::Duration {
        prost_types::Duration { seconds, nanos: 0 }
    }
}
