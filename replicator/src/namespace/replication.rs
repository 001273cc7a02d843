//! A namespace on the wire: as peers are told of it, and as callers and stores see it (NS-28, NS-29, NS-44).

use alloc::{string::ToString, vec::Vec};

use proto::temporal::{
    api::{
        enums::v1 as enums,
        namespace::v1::{BadBinaries, NamespaceConfig, NamespaceInfo},
        replication::v1::{ClusterReplicationConfig, FailoverStatus, NamespaceReplicationConfig},
    },
    server::api::{
        adminservice::v1::GetNamespaceResponse,
        enums::v1::{NamespaceOperation, ReplicationTaskType},
        replication::v1::{NamespaceTaskAttributes, ReplicationTask, replication_task::Attributes},
    },
};

use super::{Archival, Carried, Namespace};
use crate::{
    time::{Timestamp, proto_duration},
    version::FailoverVersion,
};

/// The message by which peers are told.
#[must_use]
pub fn task(namespace: &Namespace, operation: NamespaceOperation) -> ReplicationTask {
    ReplicationTask {
        task_type: ReplicationTaskType::NamespaceTask.into(),
        attributes: Some(Attributes::NamespaceTaskAttributes(NamespaceTaskAttributes {
            namespace_operation: operation.into(),
            info: Some(NamespaceInfo { id: Default::default(), ..info(namespace) }),
            ..attributes(describe(namespace))
        })),
        ..Default::default()
    }
}

/// The same out of an answer to AdminService.GetNamespace (NS-43).
///
/// A handover is the affair of the cluster that set it (NS-47), so it is not taken over.
#[must_use]
pub fn task_of_answer(answer: GetNamespaceResponse) -> NamespaceTaskAttributes {
    NamespaceTaskAttributes { namespace_operation: NamespaceOperation::Update.into(), ..attributes(answer) }
}

fn attributes(answer: GetNamespaceResponse) -> NamespaceTaskAttributes {
    let mut replication_config = answer.replication_config;
    if let Some(config) = &mut replication_config
        && config.state() != enums::ReplicationState::Normal
    {
        config.state = enums::ReplicationState::Unspecified.into();
    }
    NamespaceTaskAttributes {
        namespace_operation: NamespaceOperation::Unspecified.into(),
        id: answer.info.as_ref().map(|info| info.id.clone()).unwrap_or_default(),
        info: answer.info,
        config: answer.config,
        replication_config,
        config_version: answer.config_version,
        failover_version: answer.failover_version,
        failover_history: answer.failover_history,
    }
}

/// The answer to AdminService.GetNamespace.
#[must_use]
pub fn describe(namespace: &Namespace) -> GetNamespaceResponse {
    GetNamespaceResponse {
        info: Some(info(namespace)),
        config: Some(config(namespace)),
        replication_config: Some(replication_config(namespace)),
        config_version: namespace.config_version,
        failover_version: namespace.failover_version.0,
        failover_history: failover_history(&namespace.failover_history),
        is_global_namespace: namespace.is_global,
    }
}

/// Who it is, as callers see it; without what the server can do with it.
#[must_use]
pub fn info(namespace: &Namespace) -> NamespaceInfo {
    NamespaceInfo {
        name: namespace.name.clone(),
        state: namespace.state as i32,
        description: namespace.description.clone(),
        owner_email: namespace.owner_email.clone(),
        data: namespace.data.clone(),
        id: namespace.id.to_string(),
        ..Default::default()
    }
}

/// Its settings, as callers see them.
#[must_use]
pub fn config(namespace: &Namespace) -> NamespaceConfig {
    NamespaceConfig {
        workflow_execution_retention_ttl: Some(proto_duration(namespace.retention)),
        ..carried_config(&namespace.carried)
    }
}

/// Where it lives, as callers see it.
#[must_use]
pub fn replication_config(namespace: &Namespace) -> NamespaceReplicationConfig {
    NamespaceReplicationConfig {
        active_cluster_name: namespace.active.to_string(),
        clusters: namespace
            .clusters
            .iter()
            .map(|name| ClusterReplicationConfig { cluster_name: name.to_string(), ..Default::default() })
            .collect(),
        state: namespace.replication_state.to_wire(),
    }
}

/// Its failovers, as callers see them.
#[must_use]
pub fn failover_history(history: &[(Timestamp, FailoverVersion)]) -> Vec<FailoverStatus> {
    let status = |(time, version): &(Timestamp, FailoverVersion)| FailoverStatus {
        failover_time: Some((*time).into()),
        failover_version: version.0,
    };
    history.iter().map(status).collect()
}

/// The failovers that a message holds.
pub(super) fn parse_failover_history(history: &[FailoverStatus]) -> Vec<(Timestamp, FailoverVersion)> {
    let time = |status: &FailoverStatus| status.failover_time.as_ref().map_or(Timestamp::ZERO, Timestamp::from);
    history.iter().map(|status| (time(status), FailoverVersion(status.failover_version))).collect()
}

/// What is only carried, without the retention.
pub(super) fn carried_config(carried: &Carried) -> NamespaceConfig {
    NamespaceConfig {
        workflow_execution_retention_ttl: None,
        bad_binaries: Some(BadBinaries { binaries: carried.bad_binaries.clone() }),
        history_archival_state: carried.history_archival.state.into(),
        history_archival_uri: carried.history_archival.uri.clone(),
        visibility_archival_state: carried.visibility_archival.state.into(),
        visibility_archival_uri: carried.visibility_archival.uri.clone(),
        custom_search_attribute_aliases: carried.search_attribute_aliases.clone(),
    }
}

/// What is only carried, out of a message.
pub(super) fn parse_carried(config: &NamespaceConfig) -> Carried {
    let archival = |state: enums::ArchivalState, uri: &str| Archival { state, uri: uri.into() };
    Carried {
        history_archival: archival(config.history_archival_state(), &config.history_archival_uri),
        visibility_archival: archival(config.visibility_archival_state(), &config.visibility_archival_uri),
        bad_binaries: config.bad_binaries.clone().unwrap_or_default().binaries,
        search_attribute_aliases: config.custom_search_attribute_aliases.clone(),
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use prost::Message;
    use proto::temporal::server::api::adminservice::v1::GetNamespaceReplicationMessagesResponse;

    use super::*;
    use crate::namespace::{
        Pause, ReplicationState,
        merge::{Known, merge},
    };

    fn held_back() -> ReplicationState {
        ReplicationState::Handover(Pause { to: None, until: Timestamp(9) })
    }

    /// What a Temporal cluster told, a Meridian tells again in the same words.
    #[test]
    fn captured_messages_are_told_as_they_were_heard() {
        for (title, bytes) in [
            ("create", &include_bytes!("../../../tests/golden/ns-create.bin")[..]),
            ("failover", include_bytes!("../../../tests/golden/ns-failover.bin")),
            ("update", include_bytes!("../../../tests/golden/ns-update-and-user-data.bin")),
            ("handover", include_bytes!("../../../tests/golden/ns-cluster-list-and-handover.bin")),
        ] {
            let answer = GetNamespaceReplicationMessagesResponse::decode(bytes).unwrap();
            let mut seen = 0;
            for heard in answer.messages.unwrap().replication_tasks {
                let Some(Attributes::NamespaceTaskAttributes(attributes)) = &heard.attributes else { continue };
                let mut namespace = merge(Known::default(), attributes, &"x".into()).unwrap().unwrap();
                if attributes.replication_config.as_ref().unwrap().state == 0 {
                    namespace.replication_state = held_back();
                }
                assert_eq!(task(&namespace, attributes.namespace_operation()), heard, "{title}");
                seen += 1;
            }
            assert!(seen > 0, "{title}");
        }
    }

    #[test]
    fn a_captured_answer_is_given_again() {
        let bytes = &include_bytes!("../../../tests/golden/ns-get-namespace-handover.bin")[..];
        let heard = GetNamespaceResponse::decode(bytes).unwrap();
        let attributes = task_of_answer(heard.clone());
        let mut namespace = merge(Known::default(), &attributes, &"x".into()).unwrap().unwrap();
        assert_eq!(namespace.replication_state, ReplicationState::Normal, "a handover stays where it was set");
        namespace.replication_state = held_back();
        assert_eq!(describe(&namespace), heard);
        assert_ne!(String::new(), attributes.id);
    }
}
