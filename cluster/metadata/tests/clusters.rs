//! Clusters come to know each other, and part.

#![allow(clippy::disallowed_methods, reason = "a test brings its own world")]

mod world;

use std::{sync::Arc, time::Duration};

use metadata::{Introduction, Join, Metadata, OpenError, Own};
use proto::temporal::{
    api::operatorservice::v1::{
        ClusterMetadata, ListClustersRequest, ListSearchAttributesRequest, RemoveRemoteClusterRequest,
    },
    server::api::adminservice::v1::{self as admin, admin_service_client::AdminServiceClient},
};
use replicator::{ids::ClusterId, version::ClusterName};
use tonic::{Code, Status};

use crate::world::{Node, dial, memory::MemoryStore, own, pair, ports};

#[tokio::test]
async fn clusters_know_each_other_both_ways() {
    let (a, b) = pair().await;
    for (node, other) in [(&a, &b), (&b, &a)] {
        let view = node.metadata.clusters().view();
        let name = other.metadata.clusters().own().name.clone();
        assert_eq!(view.peers[&name].address, other.address.to_string());
        assert_eq!(view.peers[&name].shard_count, 4);
        assert!(view.federation.topology.id_of(&name).is_some());
        let listed = node.operator().list_clusters(ListClustersRequest::default()).await.unwrap().into_inner();
        let names: Vec<_> = listed.clusters.iter().map(|cluster| cluster.cluster_name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(listed.clusters.iter().all(|cluster| cluster.is_connection_enabled));
    }
    // And still do after a restart.
    let a = a.restart().await;
    assert_eq!(a.metadata.clusters().view().peers.len(), 1);
}

#[tokio::test]
async fn a_list_of_clusters_has_pages() {
    let (a, _b) = pair().await;
    let mut request = ListClustersRequest { page_size: 1, ..Default::default() };
    let first = a.operator().list_clusters(request.clone()).await.unwrap().into_inner();
    request.next_page_token = first.next_page_token;
    let second = a.operator().list_clusters(request).await.unwrap().into_inner();
    let name = |page: &[ClusterMetadata]| page[0].cluster_name.clone();
    assert_eq!((name(&first.clusters), name(&second.clusters)), ("a".into(), "b".into()));
    assert!(second.next_page_token.is_empty());
}

#[tokio::test]
async fn clusters_that_do_not_belong_together() {
    let a = Node::start("a", 1).await;
    let refused = |text: &str| format!("Unable connect to remote cluster with invalid config: {text}.");
    type Edit = fn(&mut Own);
    let cases: [(Edit, &str); 5] = [
        (|own| own.name = "a".into(), "Cannot update current cluster metadata from rpc calls"),
        (
            |own| own.failover_version_increment = 100,
            "Cannot add remote cluster due to failover version increment mismatch",
        ),
        (|own| own.shard_count = 6, "Remote cluster shard number and local cluster shard number are not multiples."),
        (|own| own.global_namespaces = false, "Cannot add remote cluster as global namespace is not supported"),
        (|own| own.initial_failover_version = 1, "Cannot add remote cluster due to initial failover version conflict"),
    ];
    for (edit, refusal) in cases {
        let mut own = own("b", 2, "b:1");
        edit(&mut own);
        check(a.upsert(serve(own).await).await, Code::InvalidArgument, &refused(refusal));
    }
    assert_eq!(a.metadata.clusters().view().records.len(), 1, "nothing was written");
    check(a.upsert("nonsense").await, Code::InvalidArgument, &refused("\"nonsense\" is not an address: host:port"));
    let nobody = a.upsert("127.0.0.1:1").await.unwrap_err();
    assert_eq!(nobody.code(), Code::Unavailable);
    assert!(nobody.message().starts_with("Unable connect to remote cluster 127.0.0.1:1 with error: "), "{nobody}");

    let mut larger = own("b", 2, "b:1");
    larger.shard_count = 16;
    a.upsert(serve(larger).await).await.unwrap();
    let b = ClusterName::from("b");
    assert_eq!(a.metadata.clusters().view().peers[&b].shard_count, 16, "multiples go together");
    let other = serve(own("b", 2, "b:1")).await;
    let text = "Unable to persist cluster info with error: cluster b has the shard count 16, not 4.";
    check(a.upsert(other).await, Code::InvalidArgument, text);
}

#[tokio::test]
async fn a_dead_peer_is_disconnected_without_being_asked() {
    let a = Node::start("a", 1).await;
    let address = {
        let b = Node::start("b", 2).await;
        a.upsert(b.address).await.unwrap();
        let address = b.address;
        b.stopped().await;
        address
    };
    let join = Join { address: address.to_string(), ..Default::default() };
    let mut view = a.metadata.clusters().watch();
    view.mark_unchanged();
    a.metadata.join(join.clone()).await.unwrap();
    assert!(view.has_changed(), "whoever depends on it knows");
    let view = a.metadata.clusters().view();
    assert!(view.peers.is_empty());
    assert!(view.federation.disconnected.contains(&ClusterName::from("b")));
    let connect = a.metadata.join(Join { connection: true, ..join }).await.unwrap_err();
    assert_eq!(connect.code(), Code::Unavailable);
}

#[tokio::test]
async fn a_cluster_in_use_is_not_removed() {
    let (a, b) = pair().await;
    check(remove(&a, "z").await, Code::NotFound, "The cluster to be deleted cannot be found in clusters cache.");
    check(remove(&a, "a").await, Code::InvalidArgument, "Cannot remove current cluster metadata");
    a.register("n", &["a", "b"]).await.unwrap();
    let text = "cannot remove cluster \"b\": still referenced by namespace \"n\"";
    check(remove(&a, "b").await, Code::FailedPrecondition, text);
    b.wait("n", |_| true).await;
    a.move_to("n", &["a"]).await.unwrap();
    // The one that lost it learns it, and may part as well.
    b.wait("n", |namespace| namespace.clusters.len() == 1).await;
    remove(&a, "b").await.unwrap();
    remove(&b, "a").await.unwrap();
    assert!(a.metadata.clusters().view().peers.is_empty());
    assert_eq!(a.store.acks().get("b"), None, "it would be told everything if it came back");
    assert_eq!(a.fail_over("n", "b").await.unwrap_err().message(), "Invalid cluster name: b");
}

#[tokio::test]
async fn a_peer_that_parts_and_comes_back_misses_nothing() {
    let (a, b) = pair().await;
    a.register("before", &["a"]).await.unwrap();
    remove(&b, "a").await.unwrap();
    a.register("during", &["a", "b"]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(b.metadata.namespaces().get("during").is_none());
    b.upsert(a.address).await.unwrap();
    b.wait("during", |_| true).await;
}

#[tokio::test]
async fn a_configuration_that_contradicts_the_store_does_not_start() {
    let store = Arc::new(MemoryStore::default());
    let open = |own: Own| {
        let ports = ports(store.clone(), 1);
        async move { Metadata::open(ports, own).await.map(|_| ()) }
    };
    open(own("a", 1, "a:1")).await.unwrap();
    let mut moved = own("a", 1, "elsewhere:1");
    moved.http_address = "elsewhere:2".into();
    open(moved).await.unwrap();
    type Edit = fn(&mut Own);
    let cases: [(Edit, &str); 6] = [
        (|own| own.name = "b".into(), "this database belongs to cluster \"a\", not to \"b\""),
        (|own| own.shard_count = 8, "cluster a has the shard count 4, not 8"),
        (|own| own.initial_failover_version = 3, "cluster a has the initial failover version 1, not 3"),
        (|own| own.failover_version_increment = 100, "cluster a has the failover version increment 10, not 100"),
        (|own| own.global_namespaces = false, "cluster a has global namespaces and cannot be without them again"),
        (
            |own| own.initial_failover_version = 10,
            "the initial failover version must be positive and below the increment",
        ),
    ];
    for (edit, text) in cases {
        let mut own = own("a", 1, "a:1");
        edit(&mut own);
        assert_eq!(open(own).await.unwrap_err(), OpenError::Contradiction(text.into()));
    }
    store.set_away(true);
    assert!(matches!(open(own("a", 1, "a:1")).await.unwrap_err(), OpenError::Unavailable(_)));
}

#[tokio::test]
async fn what_a_cluster_says_of_itself_and_of_others() {
    let (a, b) = pair().await;
    let mut peer = a.peer_view();
    let own = peer.describe_cluster(admin::DescribeClusterRequest::default()).await.unwrap().into_inner();
    assert_eq!((own.cluster_name.as_str(), own.initial_failover_version, own.history_shard_count), ("a", 1, 4));
    assert!(own.is_global_namespace_enabled);
    let other = peer.describe_cluster(admin::DescribeClusterRequest { cluster_name: "b".into() }).await.unwrap();
    assert_eq!(other.into_inner().initial_failover_version, 2);
    let unknown = peer.describe_cluster(admin::DescribeClusterRequest { cluster_name: "z".into() }).await;
    assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
    let listed = peer.list_clusters(admin::ListClustersRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.clusters[1].cluster_address, b.address.to_string());

    let join = admin::AddOrUpdateRemoteClusterRequest { frontend_address: b.address.to_string(), ..Default::default() };
    peer.add_or_update_remote_cluster(join).await.unwrap();
    assert!(a.metadata.clusters().view().peers.is_empty(), "known, and not connected");
    let part = admin::RemoveRemoteClusterRequest { cluster_name: "b".into() };
    peer.remove_remote_cluster(part).await.unwrap();
    assert_eq!(a.metadata.clusters().view().records.len(), 1);
}

#[tokio::test]
async fn search_attributes_are_those_of_the_system() {
    let a = Node::start("a", 1).await;
    a.register("n", &[]).await.unwrap();
    let list = |namespace: &str| {
        let mut operator = a.operator();
        let request = ListSearchAttributesRequest { namespace: namespace.into() };
        async move { operator.list_search_attributes(request).await }
    };
    let listed = list("n").await.unwrap().into_inner();
    assert_eq!(listed.system_attributes.len(), 33);
    assert_eq!(listed.system_attributes["BuildIds"], 7);
    assert!(listed.custom_attributes.is_empty());
    assert_eq!(list("").await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(list("m").await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn what_is_about_runs_is_handed_on() {
    let a = Node::start("a", 1).await;
    let mut peer = a.peer_view();
    let raw = admin::GetWorkflowExecutionRawHistoryV2Request::default();
    assert_eq!(peer.get_workflow_execution_raw_history_v2(raw).await.unwrap_err().message(), "no runs");
    let state = admin::DescribeMutableStateRequest::default();
    assert_eq!(peer.describe_mutable_state(state).await.unwrap_err().message(), "no runs");
    let mut stream = tonic::Request::new(tokio_stream::empty());
    stream.metadata_mut().insert("temporal-client-shard-id", "3".parse().unwrap());
    let status = peer.stream_workflow_replication_messages(stream).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Aborted, "no runs for shard Some(\"3\")"));
}

/// Answer as a cluster that is so, on an address of its own.
async fn serve(own: Own) -> String {
    let metadata = Metadata::open(ports(Arc::default(), 9), own).await.unwrap();
    world::serve(metadata).await.to_string()
}

async fn remove(node: &Node, name: &str) -> Result<(), Status> {
    let request = RemoveRemoteClusterRequest { cluster_name: name.into() };
    node.operator().remove_remote_cluster(request).await.map(|_| ())
}

#[track_caller]
fn check<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, message: &str) {
    let status = answer.unwrap_err();
    assert_eq!((status.code(), status.message()), (code, message));
}

/// Whoever is not who he says is refused by name, whatever he asks (W-34).
#[tokio::test]
async fn a_caller_that_is_not_who_it_says_is_refused_on_every_call() {
    let (a, b) = pair().await;
    let a_view = a.metadata.clusters().view();
    let true_b = b.metadata.clusters().view().peers[&ClusterName::from("a")].introduction.clone();
    type Lie = fn(&mut Introduction);
    let cases: [(Lie, &str); 6] = [
        (|b| b.to = ClusterId(3), "this is cluster a with id 1, not 3"),
        (|b| b.name = "z".into(), "cluster z is not known here"),
        (|b| b.name = "a".into(), "cluster a is not known here"),
        (
            |b| b.id = ClusterId(3),
            "cluster b is known here with the initial failover version 2, and says that it has 3",
        ),
        (
            |b| b.increment = 100,
            "cluster b is known here with the failover version increment 10, and says that it has 100",
        ),
        (
            |b| b.cluster_id = "another".into(),
            "cluster b is known here with the cluster id 00000000-0000-0000-0000-000000000002, \
             and says that it has another",
        ),
    ];
    for (lie, text) in cases {
        let mut introduction = true_b.clone();
        lie(&mut introduction);
        assert_eq!(introduction.check(&a_view).unwrap_err().message(), text);
        let mut peer = AdminServiceClient::with_interceptor(dial(&a.address.to_string()), introduction);
        let who = peer.describe_cluster(admin::DescribeClusterRequest::default()).await;
        check(who.map(|_| ()), Code::FailedPrecondition, text);
        let namespace = peer.get_namespace(admin::GetNamespaceRequest::default()).await;
        check(namespace.map(|_| ()), Code::FailedPrecondition, text);
        let history =
            peer.get_workflow_execution_raw_history_v2(admin::GetWorkflowExecutionRawHistoryV2Request::default()).await;
        check(history.map(|_| ()), Code::FailedPrecondition, text);
        let stream = peer.stream_workflow_replication_messages(tokio_stream::empty()).await;
        check(stream.map(|_| ()), Code::FailedPrecondition, text);
    }
    let mut peer = AdminServiceClient::with_interceptor(dial(&a.address.to_string()), true_b);
    peer.describe_cluster(admin::DescribeClusterRequest::default()).await.unwrap();
    let as_another = admin::GetNamespaceReplicationMessagesRequest { cluster_name: "a".into(), ..Default::default() };
    let refusal = peer.get_namespace_replication_messages(as_another).await.map(|_| ());
    check(refusal, Code::FailedPrecondition, "cluster b asks as cluster a");
    // Nobody takes the messages of a cluster that is not known.
    let unknown = admin::GetNamespaceReplicationMessagesRequest { cluster_name: "x".into(), ..Default::default() };
    let refusal = a.peer_view().get_namespace_replication_messages(unknown).await.map(|_| ());
    check(refusal, Code::FailedPrecondition, "cluster x is not known here");

    let off = Join { address: b.address.to_string(), ..Default::default() };
    a.metadata.join(off).await.unwrap();
    let refusal = peer.describe_cluster(admin::DescribeClusterRequest::default()).await.map(|_| ());
    check(refusal, Code::FailedPrecondition, "cluster b is not connected here");
}
