//! Calls on a namespace that is active in another cluster (api 15.3, FW-1 to FW-10).
//!
//! A call that is passed on is the same bytes to the same method, with the time that the caller has left. It carries a mark,
//! and whoever sees the mark answers by itself, so that no call travels in circles while clusters disagree about who is
//! active.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hosts::{BytesCodec, calls};
use http::uri::PathAndQuery;
use replicator::{ids::NamespaceId, namespace::Namespace, version::ClusterName};
use tonic::{
    Code, Request, Status,
    client::Grpc,
    metadata::{MetadataMap, MetadataValue},
    transport::Channel,
};
use tracing::Instrument;

use crate::{
    caller::{Caller, FORWARDED, FORWARDED_BY, FORWARDED_VERSION},
    errors::Error,
    frontend::Frontend,
    rpcs::Place,
    service::NAME,
};

/// A way to another cluster's frontend.
pub type PeerChannel = Channel;

/// The way to a cluster, if it is one that we are connected to.
pub type Peers = Arc<dyn Fn(&ClusterName) -> Option<PeerChannel> + Send + Sync>;

/// Which calls are passed on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Policy {
    /// None.
    Noop,
    /// Those that start, signal, query and end executions.
    SelectedApis,
    /// Every call on a namespace.
    AllApis,
}

impl Policy {
    fn covers(self, place: Place) -> bool {
        match (self, place) {
            (_, Place::Here) | (Self::Noop, _) => false,
            (Self::SelectedApis, place) => place == Place::ActiveFirst,
            (Self::AllApis, Place::Active | Place::ActiveFirst | Place::Wherever) => true,
        }
    }
}

impl Frontend {
    /// Whether calls like this one may be passed on at all.
    pub(crate) fn may_forward(&self, caller: &Caller) -> bool {
        self.policy.covers(caller.rpc.place) && !caller.was_forwarded() && !caller.insists_on_this_cluster()
    }

    /// The other cluster to which a call on this namespace goes, if it goes to another one.
    pub(crate) fn elsewhere(&self, caller: &Caller, namespace: &Namespace) -> Option<ClusterName> {
        let is_elsewhere = !namespace.is_active_in(&self.about.cluster);
        (is_elsewhere && self.may_forward(caller)).then(|| namespace.active.clone())
    }

    /// Pass a call on and wait for the answer.
    pub(crate) async fn forward(
        &self,
        caller: &Caller,
        cluster: &ClusterName,
        namespace: NamespaceId,
    ) -> Result<Bytes, Status> {
        let Some(channel) = (self.peers)(cluster) else {
            return Err(Status::unavailable(format!("no way to cluster {cluster}, where the namespace is active")));
        };
        let mut request = Request::new(caller.request.clone());
        *request.metadata_mut() = headers(&caller.headers, &self.about.cluster);
        if let Some(known) = self.namespaces.by_id(namespace).filter(|known| known.active == *cluster) {
            request.metadata_mut().insert(FORWARDED_VERSION, known.failover_version.0.into());
        }
        if let Some(deadline) = caller.deadline {
            request.set_timeout(deadline.since(self.now()).min(LONGEST_TIMEOUT));
        }
        let path = PathAndQuery::try_from(format!("/{NAME}/{}", caller.rpc.name)).expect("names are letters");
        let span = calls::hop(caller.rpc.name, cluster.as_str(), request.metadata_mut());
        let mut client = Grpc::new(channel).max_decoding_message_size(usize::MAX);
        let answer = async {
            if let Err(cause) = client.ready().await {
                return Err(unreachable(cluster, &cause));
            }
            match client.unary(request, path, BytesCodec).await {
                Ok(response) => Ok(response.into_inner()),
                Err(status) => Err(as_it_was(cluster, status)),
            }
        };
        answer.instrument(span).await
    }
}

/// What becomes of a call that may be passed on, while the clusters still disagree about who is active.
///
/// Waiting for them is the business of the caller's library, which does not repeat a call that failed a precondition.
pub(crate) fn undecided(namespace: &str) -> Error {
    Status::unavailable(format!("namespace {namespace} is moving to another cluster, try again")).into()
}

/// The headers that a call keeps (FW-9), and the marks.
fn headers(given: &MetadataMap, current: &ClusterName) -> MetadataMap {
    let mut kept = keep(given, &KEPT);
    kept.insert(FORWARDED, MetadataValue::from_static("true"));
    if let Ok(current) = current.as_str().parse() {
        kept.insert(FORWARDED_BY, current);
    }
    kept
}

/// These headers of a call.
pub(crate) fn keep(given: &MetadataMap, names: &[&'static str]) -> MetadataMap {
    let mut kept = MetadataMap::new();
    for name in names {
        if let Some(value) = given.get(*name) {
            kept.insert(*name, value.clone());
        }
    }
    kept
}

/// Headers that say what speaks, and of which trace a call is: a host that follows no calls tells it to others all the same.
pub(crate) const KEPT: [&str; 9] = [
    "client-name",
    "client-version",
    "supported-server-versions",
    "supported-features",
    "caller-name",
    "caller-type",
    "call-initiation",
    "traceparent",
    "tracestate",
];

/// The other cluster's refusal, or that it was not reached.
fn as_it_was(cluster: &ClusterName, status: Status) -> Status {
    let is_ours = std::error::Error::source(&status).is_some();
    if is_ours && status.code() != Code::DeadlineExceeded {
        return unreachable(cluster, &status);
    }
    let mut told = Status::with_details(status.code(), status.message(), Bytes::copy_from_slice(status.details()));
    for name in ["x-resource-exhausted-cause", "x-resource-exhausted-scope"] {
        if let Some(value) = status.metadata().get(name) {
            told.metadata_mut().insert(name, value.clone());
        }
    }
    told
}

fn unreachable(cluster: &ClusterName, cause: &impl std::error::Error) -> Status {
    tracing::warn!(%cluster, %cause, "a call could not be passed on");
    Status::unavailable(format!("cluster {cluster}, where the namespace is active, is not reached"))
}

/// More does not fit into the header.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(99_999_999);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpcs::{RPCS, find};

    #[test]
    fn what_each_policy_passes_on() {
        let check = |policy: Policy, expected: &[&str]| {
            let covered: Vec<_> = RPCS.iter().filter(|rpc| policy.covers(rpc.place)).map(|rpc| rpc.name).collect();
            assert_eq!(covered, expected, "{policy:?}");
        };
        check(Policy::Noop, &[]);
        check(
            Policy::SelectedApis,
            &[
                "StartWorkflowExecution",
                "SignalWithStartWorkflowExecution",
                "SignalWorkflowExecution",
                "RequestCancelWorkflowExecution",
                "TerminateWorkflowExecution",
                "ResetWorkflowExecution",
                "DeleteWorkflowExecution",
                "QueryWorkflow",
            ],
        );
        let local = [
            "GetSystemInfo",
            "GetClusterInfo",
            "GetSearchAttributes",
            "RegisterNamespace",
            "DescribeNamespace",
            "ListNamespaces",
            "UpdateNamespace",
            "DeprecateNamespace",
        ];
        let all: Vec<_> = RPCS.iter().map(|rpc| rpc.name).filter(|name| !local.contains(name)).collect();
        check(Policy::AllApis, &all);
        assert!(find("GetSystemInfo").is_some());
    }

    #[test]
    fn a_call_keeps_the_headers_that_say_what_speaks() {
        let mut given = MetadataMap::new();
        for (name, value) in [
            ("client-name", "temporal-go"),
            ("authorization", "secret"),
            ("xdc-redirection", "true"),
            ("traceparent", "00-1-2-01"),
        ] {
            given.insert(name, MetadataValue::from_static(value));
        }
        let kept = headers(&given, &"a".into());
        let text = |name: &str| kept.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(text("client-name"), Some("temporal-go"));
        assert_eq!(text("traceparent"), Some("00-1-2-01"));
        assert_eq!(text("authorization"), None);
        assert_eq!(text("xdc-redirection"), None);
        assert_eq!((text(FORWARDED), text(FORWARDED_BY)), (Some("true"), Some("a")));
    }

    #[test]
    fn a_refusal_is_told_as_it_was_and_a_broken_way_as_unavailable() {
        let refused = Status::with_details(Code::NotFound, "gone", Bytes::from_static(b"detail"));
        let told = as_it_was(&"b".into(), refused);
        assert_eq!((told.code(), told.message(), told.details()), (Code::NotFound, "gone", &b"detail"[..]));
        let broken = Status::from_error(Box::new(std::io::Error::other("connection reset")));
        assert_eq!(as_it_was(&"b".into(), broken).code(), Code::Unavailable);
    }
}
