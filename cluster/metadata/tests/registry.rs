//! Namespaces are kept, whatever the store does, and whoever waits for them is told.

#![allow(clippy::disallowed_methods, reason = "a test brings its own world")]

mod world;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use metadata::{Metadata, OpenError};
use prost::Message;
use proto::{
    google::rpc,
    temporal::api::{
        errordetails::v1::{NamespaceAlreadyExistsFailure, NamespaceNotFoundFailure},
        namespace::v1::NamespaceFilter,
        workflowservice::v1::{
            DeprecateNamespaceRequest, DescribeNamespaceRequest, ListNamespacesRequest, RegisterNamespaceRequest,
            UpdateNamespaceRequest,
        },
    },
};
use replicator::namespace::stored;
use tonic::{Code, Status};

use crate::world::{
    Node,
    memory::{Fault, MemoryStore},
    own, ports, registration,
};

#[tokio::test]
async fn doubt_is_resolved_by_reading_again() {
    let a = Node::start("a", 1).await;
    for faults in [
        vec![],
        vec![Fault::Lost],
        vec![Fault::Unanswered],
        vec![Fault::Lost, Fault::Lost, Fault::Unanswered],
        vec![Fault::Unanswered, Fault::Unanswered],
    ] {
        let name = format!("{faults:?}");
        a.store.fail(faults.clone());
        a.register(&name, &["a"]).await.unwrap();
        a.store.fail(faults.clone());
        a.describe(&name, "once").await.unwrap();
        let namespace = a.metadata.namespaces().get(&name).unwrap();
        assert_eq!(namespace.config_version, 1, "{name}: changed once");
        assert_eq!(open(&a.store).await.namespaces().get(&name).unwrap(), namespace, "{name}: and durably");
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_said_to_be() {
    let a = Node::start("a", 1).await;
    a.register("n", &[]).await.unwrap();
    a.store.fail([Fault::Unavailable]);
    assert_eq!(a.register("m", &[]).await.unwrap_err().code(), Code::Unavailable);
    assert!(a.metadata.namespaces().get("m").is_none());
    a.store.set_away(true);
    assert_eq!(a.describe("n", "d").await.unwrap_err().code(), Code::Unavailable);
    a.store.set_away(false);
    a.describe("n", "d").await.unwrap();
}

#[tokio::test]
async fn what_another_process_wrote_is_found_by_the_next_write() {
    let a = Node::start("a", 1).await;
    a.register("n", &["a"]).await.unwrap();
    let mut theirs = (*a.metadata.namespaces().get("n").unwrap()).clone();
    theirs.owner_email = "them".into();
    theirs.config_version += 1;
    a.store.write_behind(theirs.id, stored::encode(&theirs).into());
    a.describe("n", "ours").await.unwrap();
    let both = a.metadata.namespaces().get("n").unwrap();
    assert_eq!((both.owner_email.as_str(), both.description.as_str(), both.config_version), ("them", "ours", 2));
}

#[tokio::test]
async fn a_caller_who_hangs_up_does_not_stop_the_write_halfway() {
    let a = Node::start("a", 1).await;
    let calls = a.calls.clone();
    let mut call = Box::pin(calls.register(registration("n", &[])));
    // It is begun, and the answer never awaited.
    assert!(std::future::poll_fn(|context| std::task::Poll::Ready(call.as_mut().poll(context))).await.is_pending());
    drop(call);
    a.wait("n", |_| true).await;
}

#[tokio::test]
async fn listeners_hear_everything_in_order() {
    let a = Node::start("a", 1).await;
    a.register("before", &["a"]).await.unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listener = heard.clone();
    a.metadata
        .namespaces()
        .listen(Box::new(move |namespace| {
            listener.lock().unwrap().push((namespace.name.clone(), namespace.config_version));
        }))
        .await;
    let edits: Vec<_> = (0..20).map(|n| a.describe("before", Box::leak(format!("{n}").into_boxed_str()))).collect();
    for edit in edits {
        edit.await.unwrap();
        let known = a.metadata.namespaces().get("before").unwrap().config_version;
        assert_eq!(heard.lock().unwrap().last().unwrap().1, known, "before the answer");
    }
    let expected: Vec<_> = (0..=20).map(|version| ("before".to_owned(), version)).collect();
    assert_eq!(*heard.lock().unwrap(), expected);
}

#[tokio::test]
async fn whoever_waits_for_a_change_is_woken() {
    let a = Node::start("a", 1).await;
    a.register("n", &["a"]).await.unwrap();
    a.register("m", &["a"]).await.unwrap();
    let namespaces = a.metadata.namespaces().clone();
    let seen = namespaces.get("n").unwrap();
    let waiting = tokio::spawn(async move { namespaces.changed(&seen).await });
    a.describe("m", "another").await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!waiting.is_finished());
    a.describe("n", "this").await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().description, "this");
}

#[tokio::test]
async fn calls_answer_as_the_api_says() {
    let a = Node::start("a", 1).await;
    a.register("n", &["a"]).await.unwrap();
    let id = a.metadata.namespaces().get("n").unwrap().id.to_string();
    let by_name = a.calls.describe(&describe("n", "")).unwrap();
    assert_eq!(a.calls.describe(&describe("", &id)).unwrap(), by_name);
    let info = by_name.namespace_info.unwrap();
    assert_eq!((info.name.as_str(), info.state, info.id), ("n", 1, id.clone()));
    assert_eq!(info.capabilities.unwrap(), Default::default(), "nothing is announced that nobody built");
    assert_eq!(info.limits.unwrap().blob_size_limit_error, 2 << 20);
    assert_eq!((by_name.failover_version, by_name.is_global_namespace), (1, true));

    check(a.register("n", &[]).await, Code::AlreadyExists, "Namespace \"n\" already exists");
    let detail = detail::<NamespaceAlreadyExistsFailure>(&a.register("n", &[]).await.unwrap_err());
    assert_eq!(detail, NamespaceAlreadyExistsFailure::default());
    check(a.describe("m", "d").await, Code::NotFound, "Namespace m is not found.");
    check(a.calls.describe(&describe("m", "")), Code::NotFound, "Namespace m is not found.");
    check(a.calls.describe(&describe("", "no id")), Code::NotFound, "Namespace no id is not found.");
    let error = a.calls.describe(&describe("m", "")).unwrap_err();
    assert_eq!(self::detail::<NamespaceNotFoundFailure>(&error).namespace, "m");
    let both = "GetNamespace operation failed.  Both ID and Name specified in request.";
    check(a.calls.describe(&describe("n", &id)), Code::InvalidArgument, both);
    let neither = "GetNamespace operation failed.  Both ID and Name are empty.";
    check(a.calls.describe(&describe("", "")), Code::InvalidArgument, neither);
    let unnamed = "Namespace is not set on request.";
    check(a.calls.register(RegisterNamespaceRequest::default()).await, Code::InvalidArgument, unnamed);
    check(a.calls.update(UpdateNamespaceRequest::default()).await, Code::InvalidArgument, unnamed);
    check(a.calls.deprecate(DeprecateNamespaceRequest::default()).await, Code::InvalidArgument, unnamed);

    let mut handover = UpdateNamespaceRequest { namespace: "n".into(), ..Default::default() };
    handover.replication_config.get_or_insert_default().state = 2;
    let refusal = "Handover require more than one replication clusters";
    check(a.calls.update(handover).await, Code::InvalidArgument, refusal);
    a.calls.deprecate(DeprecateNamespaceRequest { namespace: "n".into(), ..Default::default() }).await.unwrap();
    assert_eq!(a.calls.describe(&describe("n", "")).unwrap().namespace_info.unwrap().state, 2);
}

#[tokio::test]
async fn lists_have_pages_and_hide_what_is_deleted() {
    let a = Node::start("a", 1).await;
    for name in ["a", "b", "c", "d", "e"] {
        a.register(name, &[]).await.unwrap();
    }
    let mut delete = UpdateNamespaceRequest { namespace: "b".into(), ..Default::default() };
    delete.update_info.get_or_insert_default().state = 3;
    a.calls.update(delete).await.unwrap();
    for (size, include_deleted, pages) in [
        (0, false, "acde"),
        (2, false, "ac de"),
        (2, true, "ab cd e"),
        (1, false, "a c d e"),
        (4, false, "acde"),
        (5, true, "abcde"),
    ] {
        let mut request = ListNamespacesRequest { page_size: size, ..Default::default() };
        request.namespace_filter = Some(NamespaceFilter { include_deleted });
        let mut seen = Vec::new();
        loop {
            let page = a.calls.list(&request).unwrap();
            let names = page.namespaces.into_iter().map(|described| described.namespace_info.unwrap().name);
            seen.push(names.collect::<String>());
            if page.next_page_token.is_empty() {
                break;
            }
            request.next_page_token = page.next_page_token;
        }
        assert_eq!(seen.join(" "), pages, "{size} on a page");
    }
    let foreign = ListNamespacesRequest { next_page_token: vec![0xff].into(), ..Default::default() };
    check(a.calls.list(&foreign), Code::InvalidArgument, "Invalid NextPageToken.");
}

#[tokio::test]
async fn a_damaged_row_is_named_at_the_start() {
    let store = Arc::new(MemoryStore::default());
    store.write_behind(replicator::ids::NamespaceId(uuid::Uuid::from_u128(7)), vec![1, 2, 3].into());
    let error = Metadata::open(ports(store, 1), own("a", 1, "a:1")).await.map(|_| ()).unwrap_err();
    assert_eq!(
        error,
        OpenError::Contradiction(
            "namespace 00000000-0000-0000-0000-000000000007: a stored namespace has no readable row".into()
        )
    );
}

/// What a process would find that started now.
async fn open(store: &Arc<MemoryStore>) -> Metadata {
    Metadata::open(ports(store.clone(), 77), own("a", 1, "a:1")).await.unwrap()
}

fn describe(name: &str, id: &str) -> DescribeNamespaceRequest {
    DescribeNamespaceRequest { namespace: name.into(), id: id.into(), ..Default::default() }
}

#[track_caller]
fn check<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, message: &str) {
    let status = answer.unwrap_err();
    assert_eq!((status.code(), status.message()), (code, message));
}

fn detail<T: prost::Name + Default>(status: &Status) -> T {
    let packed = rpc::Status::decode(status.details()).unwrap();
    packed.details[0].to_msg().unwrap()
}
