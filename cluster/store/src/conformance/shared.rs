//! What all shards share: namespaces, their queue, clusters, identity.

use bytes::Bytes;
use replicator::{ids::NamespaceId, time::Timestamp};
use uuid::Uuid;

use super::Fixture;
use crate::{Identity, MemberRecord, NamespaceWrite, NamespacesWritten};

fn id(number: u128) -> NamespaceId {
    NamespaceId(Uuid::from_u128(number))
}

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// One number orders all writes of namespaces.
pub async fn namespaces_are_written_by_one_at_a_time(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    assert_eq!(store.namespaces().await.expect("read").notification, 0);
    let put = |number, record| NamespaceWrite::Put(id(number), text(record));
    let write = |expected, writes| store.write_namespaces(expected, writes, Vec::new());
    let committed = |notification| Ok(NamespacesWritten::Committed { notification });
    assert_eq!(write(0, vec![put(2, "two"), put(1, "one")]).await, committed(1));
    assert_eq!(write(0, vec![put(3, "three")]).await, Ok(NamespacesWritten::Conflict));
    assert_eq!(write(1, vec![put(2, "zwei"), NamespaceWrite::Delete(id(1))]).await, committed(2));

    let table = store.namespaces().await.expect("read");
    assert_eq!(table.notification, 2);
    assert_eq!(table.namespaces.len(), 1);
    let two = store.namespace(id(2)).await.expect("read").expect("there");
    assert_eq!((two.id, two.record.clone(), two.notification), (id(2), text("zwei"), 2));
    assert_eq!(table.namespaces, [two]);
    assert_eq!(store.namespace(id(1)).await, Ok(None));
    assert_eq!(write(2, vec![NamespaceWrite::Delete(id(2))]).await, committed(3));
    assert_eq!(store.namespaces().await.expect("read").notification, 3, "the number outlives the namespaces");

    let writers = (10..20).map(|number| write(3, vec![put(number, "new")]));
    let outcomes = futures_util::future::join_all(writers).await;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == committed(4)).count(), 1);
    assert_eq!(store.namespaces().await.expect("read").namespaces.len(), 1);
}

/// A message is there if and only if its namespace is.
pub async fn messages_are_published_with_what_they_tell(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    assert_eq!(store.last_published().await, Ok(-1));
    let write = |expected, message| {
        store.write_namespaces(expected, vec![NamespaceWrite::Put(id(1), text("one"))], vec![text(message)])
    };
    assert_eq!(write(0, "a").await, Ok(NamespacesWritten::Committed { notification: 1 }));
    assert_eq!(write(0, "lost").await, Ok(NamespacesWritten::Conflict));
    assert_eq!(store.publish(vec![text("b"), text("c")]).await, Ok(2));
    assert_eq!(write(1, "d").await, Ok(NamespacesWritten::Committed { notification: 2 }));
    let all = [(0, text("a")), (1, text("b")), (2, text("c")), (3, text("d"))];
    assert_eq!(store.published(-1, 100).await, Ok(all.to_vec()));
    assert_eq!(store.published(1, 1).await, Ok(all[2..3].to_vec()));
    assert_eq!(store.published(3, 1).await, Ok(Vec::new()));

    store.ack_published("b", Some(2)).await.expect("written");
    store.ack_published("b", Some(1)).await.expect("written");
    store.ack_published("c", Some(0)).await.expect("written");
    let acks = store.published_acks().await.expect("read");
    assert_eq!(acks.into_iter().collect::<Vec<_>>(), [("b".to_owned(), 2), ("c".to_owned(), 0)]);
    store.ack_published("c", None).await.expect("written");
    assert_eq!(store.published_acks().await.expect("read").len(), 1);
    store.forget_published(3).await.expect("written");
    assert_eq!(store.published(-1, 9).await, Ok(Vec::new()));
    assert_eq!(store.last_published().await, Ok(3), "ids are not used again");
    assert_eq!(store.publish(vec![text("e")]).await, Ok(4));
}

/// Records of clusters have versions.
pub async fn clusters_are_compared_and_set(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    assert_eq!(store.put_cluster("b", None, text("1")).await, Ok(Some(1)));
    assert_eq!(store.put_cluster("b", None, text("2")).await, Ok(None));
    assert_eq!(store.put_cluster("b", Some(1), text("2")).await, Ok(Some(2)));
    assert_eq!(store.put_cluster("b", Some(1), text("3")).await, Ok(None));
    assert_eq!(store.put_cluster("a", Some(1), text("3")).await, Ok(None));
    assert_eq!(store.put_cluster("a", None, text("4")).await, Ok(Some(1)));
    let clusters = store.clusters().await.expect("read");
    let seen: Vec<_> = clusters.iter().map(|row| (row.name.as_str(), row.version, row.record.clone())).collect();
    assert_eq!(seen, [("a", 1, text("4")), ("b", 2, text("2"))]);
    assert_eq!(store.delete_cluster("a").await, Ok(true));
    assert_eq!(store.delete_cluster("a").await, Ok(false));
    assert_eq!(store.clusters().await.expect("read").len(), 1);
}

/// A process is written again and again, and forgotten.
pub async fn members_write_themselves_down(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let member = |id, heartbeat, record| {
        let (id, heartbeat) = (Uuid::from_u128(id), Timestamp::from_millis(heartbeat));
        MemberRecord { id, heartbeat, record: text(record) }
    };
    assert_eq!(store.members().await, Ok(Vec::new()));
    for written in [member(2, 10, "two"), member(1, 20, "one"), member(2, 30, "zwei"), member(3, 30, "three")] {
        assert_eq!(store.put_member(written).await, Ok(()));
    }
    let all = vec![member(1, 20, "one"), member(2, 30, "zwei"), member(3, 30, "three")];
    assert_eq!(store.members().await, Ok(all));
    let gone = [1, 3, 4].map(Uuid::from_u128);
    assert_eq!(store.remove_members(gone.to_vec()).await, Ok(()));
    assert_eq!(store.members().await, Ok(vec![member(2, 30, "zwei")]));
}

/// The id of a cluster stays; its starts are counted.
pub async fn an_identity_is_given_once(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
    assert_eq!(store.begin_incarnation(first).await, Ok(Identity { id: first, incarnation: 1 }));
    assert_eq!(store.begin_incarnation(second).await, Ok(Identity { id: first, incarnation: 2 }));
    store.close().await;
    if fixture.survives() {
        drop(store);
        let store = fixture.open().await;
        assert_eq!(store.begin_incarnation(second).await, Ok(Identity { id: first, incarnation: 3 }));
    }
}
