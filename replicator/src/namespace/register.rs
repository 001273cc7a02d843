//! Registering a namespace (NS-8 to NS-11).

use alloc::{format, string::String};

use proto::temporal::{
    api::{enums::v1::ArchivalState, workflowservice::v1::RegisterNamespaceRequest},
    server::api::enums::v1::NamespaceOperation,
};

use super::{
    Change, ClosedRuns, Federation, Namespace,
    federation::distinct,
    refusal::{Refusal, invalid},
};
use crate::{
    ids::NamespaceId,
    version::{ClusterName, FailoverVersion},
};

/// Register a namespace under `id`. `taken` says whether its name is.
///
/// # Errors
///
/// The refusals of the API, first the ones that need no look at what exists.
pub fn register(
    request: &RegisterNamespaceRequest,
    taken: bool,
    id: NamespaceId,
    federation: &Federation,
) -> Result<Change, Refusal> {
    check_name(&request.namespace)?;
    if request.is_global_namespace {
        if !federation.global_namespaces {
            return invalid("Cannot register global namespace when not enabled");
        }
        if !federation.is_master {
            return invalid("Cluster is not master cluster, cannot do namespace registration or namespace update.");
        }
    }
    let retention = federation
        .check_retention(request.workflow_execution_retention_period.as_ref(), request.is_global_namespace)?;
    refuse_archival("history_archival_state", request.history_archival_state)?;
    refuse_archival("visibility_archival_state", request.visibility_archival_state)?;
    if taken || request.namespace == SYSTEM {
        return Err(Refusal::AlreadyExists(request.namespace.clone()));
    }

    let active = match request.active_cluster_name.as_str() {
        "" => federation.topology.current().clone(),
        name => ClusterName::from(name),
    };
    let mut namespace = Namespace::local(id, request.namespace.clone(), active.clone(), retention);
    namespace.is_global = request.is_global_namespace;
    if !request.clusters.is_empty() {
        namespace.clusters = distinct(request.clusters.iter().map(|cluster| cluster.cluster_name.as_str()));
    }
    federation.check_clusters(&namespace, None)?;
    ClosedRuns::check(&request.data)?;
    namespace.description.clone_from(&request.description);
    namespace.owner_email.clone_from(&request.owner_email);
    namespace.data.clone_from(&request.data);
    if namespace.is_global {
        let first = federation.topology.next_version(&active, FailoverVersion::EMPTY);
        namespace.failover_version = first.expect("the active cluster was found to be known");
    }
    let publish = namespace.is_replicated().then_some(NamespaceOperation::Create);
    Ok(Change { namespace, publish })
}

/// A name is anything but nothing, up to a length in bytes (api 11.1).
fn check_name(name: &str) -> Result<(), Refusal> {
    match name.len() {
        0 => invalid("Namespace is not set on request."),
        length if length > NAME_LIMIT => invalid("Namespace length exceeds limit."),
        _ => Ok(()),
    }
}

/// There are no archives, and a namespace that counts on one would lose what it thinks is kept.
pub(super) fn refuse_archival(field: &str, state: i32) -> Result<(), Refusal> {
    if state == i32::from(ArchivalState::Enabled) {
        let text: String = format!("{field}: archival is not built, ARCHIVAL_STATE_ENABLED cannot be set");
        return Err(Refusal::Unimplemented(text));
    }
    Ok(())
}

/// `limit.maxIDLength`.
const NAME_LIMIT: usize = 1000;

/// The name under which a Temporal cluster keeps its own workflows.
const SYSTEM: &str = "temporal-system";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::namespace::tests::{abc, cluster_list, days};

    #[test]
    fn versions_of_new_namespaces_as_in_example_1() {
        check("local", |_| {}, Ok("local, active a of a, version 0"));
        check("global", global, Ok("global, active a of a, version 1"));
        let both = |request: &mut RegisterNamespaceRequest| {
            global(request);
            request.clusters = cluster_list(&["a", "b"]);
        };
        check("of two", both, Ok("global, active a of a b, version 1, told"));
        let elsewhere = |request: &mut RegisterNamespaceRequest| {
            both(request);
            request.active_cluster_name = "b".into();
        };
        check("active elsewhere", elsewhere, Ok("global, active b of a b, version 2, told"));
        let only_there = |request: &mut RegisterNamespaceRequest| {
            global(request);
            request.active_cluster_name = "b".into();
        };
        check("only elsewhere", only_there, Ok("global, active b of b, version 2"));
        let twice = |request: &mut RegisterNamespaceRequest| {
            global(request);
            request.clusters = cluster_list(&["a", "a"]);
        };
        check("named twice", twice, Ok("global, active a of a, version 1"));
    }

    #[test]
    fn what_cannot_be_registered() {
        type Edit = fn(&mut RegisterNamespaceRequest);
        let cases: [(&str, Edit, &str); 12] = [
            ("no name", |r| r.namespace.clear(), "Namespace is not set on request."),
            ("a long name", |r| r.namespace = "n".repeat(1001), "Namespace length exceeds limit."),
            ("Temporal's own", |r| r.namespace = SYSTEM.into(), "Namespace \"temporal-system\" already exists"),
            ("no retention", |r| r.workflow_execution_retention_period = None, RETENTION),
            ("too short locally", |r| r.workflow_execution_retention_period = seconds(3599), RETENTION),
            (
                "too short globally",
                |r| {
                    global(r);
                    r.workflow_execution_retention_period = seconds(24 * 3600 - 1);
                },
                RETENTION,
            ),
            ("negative", |r| r.workflow_execution_retention_period = seconds(-1), RETENTION),
            ("local, elsewhere", |r| r.active_cluster_name = "b".into(), "Invalid local namespace active cluster"),
            ("local, of two", |r| r.clusters = cluster_list(&["a", "b"]), "Invalid local namespace clusters"),
            (
                "an unknown cluster",
                |r| {
                    global(r);
                    r.clusters = cluster_list(&["a", "z"]);
                },
                "Invalid cluster name: z",
            ),
            (
                "a disconnected cluster",
                |r| {
                    global(r);
                    r.clusters = cluster_list(&["a", "c"]);
                },
                "Invalid cluster name: c",
            ),
            (
                "active outside the list",
                |r| {
                    global(r);
                    r.clusters = cluster_list(&["b"]);
                },
                "Active cluster is not contained in all clusters.",
            ),
        ];
        for (title, edit, refusal) in cases {
            check(title, edit, Err(refusal));
        }
        let archive = |r: &mut RegisterNamespaceRequest| r.history_archival_state = ArchivalState::Enabled.into();
        check(
            "an archive",
            archive,
            Err("history_archival_state: archival is not built, ARCHIVAL_STATE_ENABLED cannot be set"),
        );
    }

    #[test]
    fn a_name_is_taken_once() {
        let refusal = register(&request(), true, id(), &abc()).unwrap_err();
        assert_eq!(refusal, Refusal::AlreadyExists("billing".into()));
    }

    #[test]
    fn global_namespaces_are_registered_by_the_master_where_there_are_any() {
        let mut request = request();
        let mut federation = abc();
        federation.is_master = false;
        assert!(register(&request, false, id(), &federation).is_ok(), "local ones anywhere");
        global(&mut request);
        let refusal = register(&request, false, id(), &federation).unwrap_err();
        assert_eq!(
            refusal,
            Refusal::InvalidArgument(
                "Cluster is not master cluster, cannot do namespace registration or namespace update.".into()
            )
        );
        federation.global_namespaces = false;
        let refusal = register(&request, false, id(), &federation).unwrap_err();
        assert_eq!(refusal, Refusal::InvalidArgument("Cannot register global namespace when not enabled".into()));
    }

    #[test]
    fn a_very_long_retention_is_capped() {
        let mut request = request();
        request.workflow_execution_retention_period = seconds(i64::MAX);
        let namespace = register(&request, false, id(), &abc()).unwrap().namespace;
        assert_eq!(namespace.retention, days(36500));
    }

    const RETENTION: &str = "A valid retention period is not set on request.";

    #[track_caller]
    fn check(title: &str, edit: impl Fn(&mut RegisterNamespaceRequest), expected: Result<&str, &str>) {
        let mut request = request();
        edit(&mut request);
        let found = register(&request, false, id(), &abc())
            .map(|change| crate::namespace::tests::summary(&change))
            .map_err(|refusal| format!("{refusal}"));
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{title}");
    }

    fn global(request: &mut RegisterNamespaceRequest) {
        request.is_global_namespace = true;
    }

    fn seconds(seconds: i64) -> Option<prost_types::Duration> {
        Some(prost_types::Duration { seconds, nanos: 0 })
    }

    fn request() -> RegisterNamespaceRequest {
        RegisterNamespaceRequest {
            namespace: "billing".into(),
            workflow_execution_retention_period: seconds(24 * 3600),
            ..Default::default()
        }
    }

    fn id() -> NamespaceId {
        crate::namespace::tests::id(1)
    }
}
