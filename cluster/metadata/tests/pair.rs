//! Two clusters tell each other of namespaces.

#![allow(clippy::disallowed_methods, reason = "a test brings its own world")]

mod world;

use std::time::Duration;

use proto::temporal::{
    api::{replication::v1::ClusterReplicationConfig, workflowservice::v1::UpdateNamespaceRequest},
    server::api::adminservice::v1::GetNamespaceReplicationMessagesRequest,
};
use replicator::{
    namespace::{Namespace, handover::change},
    time::Timestamp,
    version::{ClusterName, FailoverVersion},
};
use tonic::{Code, Request};

use crate::world::{Node, memory::Fault, pair, registration};

#[tokio::test]
async fn a_global_namespace_is_on_the_other_side_at_once() {
    let (a, b) = pair().await;
    a.register("billing", &["a", "b"]).await.unwrap();
    let there = b.wait("billing", |_| true).await;
    assert_eq!(there, a.metadata.namespaces().get("billing").unwrap(), "the same in both");

    a.register("local", &[]).await.unwrap();
    a.register("only-here", &["a"]).await.unwrap();
    a.register("later", &["b", "a"]).await.unwrap();
    let later = b.wait("later", |_| true).await;
    assert_eq!((later.active.as_str(), later.failover_version), ("b", FailoverVersion(2)));
    assert!(b.metadata.namespaces().get("local").is_none() && b.metadata.namespaces().get("only-here").is_none());
}

#[tokio::test]
async fn failover_works_from_either_side_and_counts_up() {
    let (a, b) = pair().await;
    a.register("alpha", &["a", "b"]).await.unwrap();
    b.wait("alpha", |_| true).await;
    for (by, other, to, version) in [(&a, &b, "b", 2), (&b, &a, "a", 11), (&b, &a, "b", 12), (&a, &b, "a", 21)] {
        let answer = by.fail_over("alpha", to).await.unwrap();
        assert_eq!(answer.failover_version, version);
        let there = other.wait("alpha", |namespace| namespace.failover_version.0 == version).await;
        assert_eq!(there.active.as_str(), to);
    }
    assert_eq!(a.metadata.namespaces().list(), b.metadata.namespaces().list());
}

#[tokio::test]
async fn a_failover_is_confirmed_by_whoever_has_heard_of_it() {
    let (a, b) = pair().await;
    a.register("alpha", &["a", "b"]).await.unwrap();
    let id = b.wait("alpha", |_| true).await.id;
    let asked = a.metadata.clone();
    let confirmed = tokio::spawn(async move { asked.confirmed(id, &"b".into(), FailoverVersion(2)).await });
    a.describe("alpha", "another text").await.unwrap();
    b.wait("alpha", |namespace| namespace.config_version == 1).await;
    assert!(!confirmed.is_finished(), "it is not about that");
    a.fail_over("alpha", "b").await.unwrap();
    confirmed.await.unwrap();
    assert_eq!(b.metadata.namespaces().get("alpha").unwrap().failover_version, FailoverVersion(2));
}

#[tokio::test]
async fn writes_are_held_back_in_one_cluster_alone() {
    let (a, b) = pair().await;
    a.register("alpha", &["a", "b"]).await.unwrap();
    b.wait("alpha", |_| true).await;
    let until = Timestamp::from_millis(20_000);
    let stop = move |old: &Namespace, _, all: &_| change::stop(old, &"b".into(), FailoverVersion(1), until, all);
    let stopped = a.metadata.namespaces().change("alpha".into(), stop).await.unwrap();
    assert!(stopped.replication_state.pause().is_some());
    // An edit meanwhile is told, and the pause is not.
    a.describe("alpha", "meanwhile").await.unwrap();
    let there = b.wait("alpha", |namespace| namespace.config_version == 1).await;
    assert!(there.replication_state.pause().is_none());
    assert!(a.metadata.namespaces().get("alpha").unwrap().replication_state.pause().is_some());
    // Nor does an edit on the other side end it.
    b.describe("alpha", "there").await.unwrap();
    let here = a.wait("alpha", |namespace| namespace.config_version == 2).await;
    assert!(here.replication_state.pause().is_some());
    // A failover does, wherever it comes from.
    b.fail_over("alpha", "b").await.unwrap();
    let moved = a.wait("alpha", |namespace| namespace.failover_version.0 == 2).await;
    assert!(moved.replication_state.pause().is_none());
}

#[tokio::test]
async fn a_namespace_that_becomes_global_is_told() {
    let (a, b) = pair().await;
    a.register("grown", &[]).await.unwrap();
    let mut request =
        UpdateNamespaceRequest { namespace: "grown".into(), promote_namespace: true, ..Default::default() };
    a.calls.update(request.clone()).await.unwrap();
    request.promote_namespace = false;
    request.replication_config.get_or_insert_default().clusters = cluster_list(&["a", "b"]);
    a.calls.update(request).await.unwrap();
    let there = b.wait("grown", |_| true).await;
    assert_eq!(there, a.metadata.namespaces().get("grown").unwrap());
    assert!(there.is_global && there.failover_version == FailoverVersion(1));
    a.fail_over("grown", "b").await.unwrap();
    b.wait("grown", |namespace| namespace.active.as_str() == "b").await;
}

#[tokio::test]
async fn concurrent_changes_on_both_sides_converge() {
    let (a, b) = pair().await;
    a.register("alpha", &["a", "b"]).await.unwrap();
    b.wait("alpha", |_| true).await;
    let (one, two, three, four) = tokio::join!(
        a.describe("alpha", "told by a"),
        b.describe("alpha", "told by b"),
        a.fail_over("alpha", "a"),
        b.fail_over("alpha", "b"),
    );
    for answer in [one, two, three, four] {
        answer.unwrap();
    }
    // Each tells the other something more; what was said before is heard by then.
    a.register("end-of-a", &["a", "b"]).await.unwrap();
    b.register("end-of-b", &["a", "b"]).await.unwrap();
    b.wait("end-of-a", |_| true).await;
    a.wait("end-of-b", |_| true).await;
    assert_eq!(a.metadata.namespaces().list(), b.metadata.namespaces().list());
    assert_eq!(a.metadata.namespaces().get("alpha").unwrap().failover_version, FailoverVersion(2));
}

#[tokio::test]
async fn whoever_restarts_goes_on_where_it_was() {
    let (a, b) = pair().await;
    a.register("one", &["a", "b"]).await.unwrap();
    b.wait("one", |_| true).await;
    let b = {
        let mut acked = a.store.acks();
        while acked.get("b") != Some(&0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
            acked = a.store.acks();
        }
        b.metadata.stop();
        a.register("two", &["a", "b"]).await.unwrap();
        a.fail_over("one", "b").await.unwrap();
        b.restart().await
    };
    b.wait("two", |_| true).await;
    b.wait("one", |namespace| namespace.failover_version.0 == 2).await;

    // The source restarts: it is found again, and what was never read is still there.
    let a = a.restart().await;
    a.register("three", &["a", "b"]).await.unwrap();
    b.wait("three", |_| true).await;
    assert_eq!(a.metadata.namespaces().list(), b.metadata.namespaces().list());
    while !a.store.queue().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_cluster_that_joins_late_is_told_everything() {
    let (a, b) = pair().await;
    for number in 0..150 {
        a.register(&format!("n{number}"), &["a", "b"]).await.unwrap();
    }
    b.wait("n149", |_| true).await;
    let c = Node::start("c", 3).await;
    c.upsert(a.address).await.unwrap();
    a.upsert(c.address).await.unwrap();
    a.move_to("n7", &["a", "b", "c"]).await.unwrap();
    let there = c.wait("n7", |_| true).await;
    assert_eq!(there.clusters, ["a", "b", "c"].map(ClusterName::from));
    assert_eq!(c.metadata.namespaces().list().len(), 1, "the others are not for it");
}

#[tokio::test]
async fn a_message_that_cannot_be_taken_over_blocks_nothing() {
    let (a, b) = (Node::start("a", 1).await, Node::start("b", 2).await);
    a.upsert(b.address).await.unwrap();
    b.register("mine", &[]).await.unwrap();
    a.register("mine", &["a", "b"]).await.unwrap();
    a.register("ours", &["a", "b"]).await.unwrap();
    b.upsert(a.address).await.unwrap();
    b.wait("ours", |_| true).await;
    assert!(!b.metadata.namespaces().get("mine").unwrap().is_global, "the name is taken");
    let aside = b.metadata.set_aside();
    assert_eq!(aside.len(), 1);
    assert_eq!(aside[0].cause, "namespace replication encountered name / UUID collision");
    assert_eq!(aside[0].from.as_str(), "a");
}

#[tokio::test]
async fn a_store_that_is_away_for_a_while_loses_no_message() {
    let (a, b) = pair().await;
    b.store.set_away(true);
    a.register("one", &["a", "b"]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(b.metadata.namespaces().get("one").is_none());
    assert_eq!(b.register("two", &[]).await.unwrap_err().code(), Code::Unavailable);
    b.store.set_away(false);
    b.wait("one", |_| true).await;
    assert!(b.metadata.set_aside().is_empty());
}

#[tokio::test]
async fn a_shard_has_a_namespace_fetched() {
    let (a, b) = (Node::start("a", 1).await, Node::start("b", 2).await);
    a.upsert(b.address).await.unwrap();
    b.upsert(a.address).await.unwrap();
    b.metadata.stop();
    a.register("alpha", &["a", "b"]).await.unwrap();
    let id = a.metadata.namespaces().get("alpha").unwrap().id;
    b.metadata.refresh(id, replicator::ids::ClusterId(1)).await.unwrap();
    assert_eq!(b.metadata.namespaces().get_by_id(id), a.metadata.namespaces().get("alpha"));
    let unknown = replicator::ids::NamespaceId(uuid::Uuid::from_u128(9));
    assert_eq!(b.metadata.refresh(unknown, replicator::ids::ClusterId(1)).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(b.metadata.refresh(id, replicator::ids::ClusterId(7)).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_temporal_cluster_is_answered_at_once() {
    let (a, x) = (Node::start("a", 1).await, Node::start("x", 7).await);
    a.upsert(x.address).await.unwrap();
    let ask = |retrieved, processed| GetNamespaceReplicationMessagesRequest {
        last_retrieved_message_id: retrieved,
        last_processed_message_id: processed,
        cluster_name: "x".into(),
    };
    let mut peer = a.peer_view();
    let answer = peer.get_namespace_replication_messages(ask(-1, -1)).await.unwrap();
    assert!(answer.metadata().get("meridian-wait").is_none());
    let messages = answer.into_inner().messages.unwrap();
    assert_eq!((messages.replication_tasks.len(), messages.last_retrieved_message_id), (0, -1));

    a.register("alpha", &["a"]).await.unwrap();
    let messages = peer.get_namespace_replication_messages(ask(-1, -1)).await.unwrap().into_inner().messages.unwrap();
    assert_eq!((messages.replication_tasks.len(), messages.last_retrieved_message_id), (1, 0));
    let messages = peer.get_namespace_replication_messages(ask(0, 0)).await.unwrap().into_inner().messages.unwrap();
    assert_eq!((messages.replication_tasks.len(), messages.last_retrieved_message_id), (0, 0));
    // It restarts, and is known.
    let messages = peer.get_namespace_replication_messages(ask(-1, -1)).await.unwrap().into_inner().messages.unwrap();
    assert_eq!((messages.replication_tasks.len(), messages.last_retrieved_message_id), (0, 0));
    // It knows a queue that was longer.
    let messages = peer.get_namespace_replication_messages(ask(7, 7)).await.unwrap().into_inner().messages.unwrap();
    assert_eq!((messages.replication_tasks.len(), messages.last_retrieved_message_id), (1, 0));
    let nameless = GetNamespaceReplicationMessagesRequest::default();
    let refusal = peer.get_namespace_replication_messages(nameless).await.unwrap_err();
    assert_eq!(refusal.code(), Code::InvalidArgument);
}

/// The queue has the message before the table has the namespace: whoever is told everything then is told that too.
#[tokio::test]
async fn a_peer_that_comes_while_a_namespace_is_written_hears_of_it() {
    let ((a, b), x) = (pair().await, Node::start("x", 7).await);
    a.upsert(x.address).await.unwrap();
    b.metadata.stop();
    a.store.fail([Fault::Late]);
    let calls = a.calls.clone();
    let registering = tokio::spawn(async move { calls.register(registration("billing", &["a", "b"])).await });
    while a.store.queue().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let request = GetNamespaceReplicationMessagesRequest {
        last_retrieved_message_id: -1,
        last_processed_message_id: -1,
        cluster_name: "x".into(),
    };
    let answer = a.peer_view().get_namespace_replication_messages(request).await.unwrap().into_inner();
    let messages = answer.messages.unwrap();
    assert_eq!((messages.last_retrieved_message_id, messages.replication_tasks.len()), (0, 1));
    registering.await.unwrap().unwrap();
}

/// Another host of the cluster has written a namespace, and this one was not told. Whoever is told everything by it, is told that.
#[tokio::test]
async fn a_peer_hears_everything_from_a_host_that_did_not_write_it() {
    let (a, x) = (Node::start("a", 1).await, Node::start("x", 7).await);
    a.upsert(x.address).await.unwrap();
    x.metadata.stop();
    let other = Node::start_on("a", 1, a.store.clone(), "127.0.0.1:0".parse().unwrap()).await;
    a.register("billing", &["a", "x"]).await.unwrap();
    let request = GetNamespaceReplicationMessagesRequest {
        last_retrieved_message_id: -1,
        last_processed_message_id: -1,
        cluster_name: "x".into(),
    };
    let answer = other.peer_view().get_namespace_replication_messages(request).await.unwrap().into_inner();
    let messages = answer.messages.unwrap();
    assert_eq!((messages.last_retrieved_message_id, messages.replication_tasks.len()), (0, 1));
}

#[tokio::test]
async fn who_waits_for_news_is_answered_when_the_server_stops() {
    let (a, x) = (Node::start("a", 1).await, Node::start("x", 7).await);
    a.upsert(x.address).await.unwrap();
    let mut peer = a.peer_view();
    let mut request = Request::new(GetNamespaceReplicationMessagesRequest {
        last_retrieved_message_id: -1,
        last_processed_message_id: -1,
        cluster_name: "x".into(),
    });
    request.metadata_mut().insert("meridian-wait", "true".parse().unwrap());
    let waiting = tokio::spawn(async move { peer.get_namespace_replication_messages(request).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished(), "it is held back");
    a.metadata.stop();
    let answer = tokio::time::timeout(Duration::from_secs(2), waiting).await.unwrap().unwrap();
    assert_eq!(answer.unwrap_err().code(), Code::Unavailable);
}

fn cluster_list(names: &[&str]) -> Vec<ClusterReplicationConfig> {
    names.iter().map(|name| ClusterReplicationConfig { cluster_name: (*name).into(), ..Default::default() }).collect()
}
