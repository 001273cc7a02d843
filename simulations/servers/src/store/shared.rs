//! What all shards of a cluster share: namespaces, the queue that tells of them, clusters, who this one is.

use std::collections::BTreeMap;

use bytes::Bytes;
use replicator::ids::NamespaceId;
use store::{
    ClusterRecord, Identity, MemberRecord, NamespaceRecord, NamespaceTable, NamespaceWrite, NamespacesWritten,
};
use uuid::Uuid;

/// It.
#[derive(Debug, Default)]
pub(super) struct Shared {
    notification: i64,
    namespaces: BTreeMap<NamespaceId, NamespaceRecord>,
    messages: BTreeMap<i64, Bytes>,
    /// Messages that there ever were.
    appended: i64,
    acks: BTreeMap<String, i64>,
    clusters: BTreeMap<String, (i64, Bytes)>,
    members: BTreeMap<Uuid, MemberRecord>,
    identity: Option<Identity>,
}

impl Shared {
    pub(super) fn namespaces(&self) -> NamespaceTable {
        NamespaceTable { notification: self.notification, namespaces: self.namespaces.values().cloned().collect() }
    }

    pub(super) fn namespace(&self, id: NamespaceId) -> Option<NamespaceRecord> {
        self.namespaces.get(&id).cloned()
    }

    pub(super) fn write_namespaces(
        &mut self,
        expected: i64,
        writes: Vec<NamespaceWrite>,
        publish: Vec<Bytes>,
    ) -> NamespacesWritten {
        if self.notification != expected {
            return NamespacesWritten::Conflict;
        }
        self.notification += 1;
        let notification = self.notification;
        for write in writes {
            match write {
                NamespaceWrite::Put(id, record) => {
                    self.namespaces.insert(id, NamespaceRecord { id, record, notification });
                }
                NamespaceWrite::Delete(id) => drop(self.namespaces.remove(&id)),
            }
        }
        self.publish(publish);
        NamespacesWritten::Committed { notification }
    }

    pub(super) fn publish(&mut self, messages: Vec<Bytes>) -> i64 {
        for message in messages {
            self.messages.insert(self.appended, message);
            self.appended += 1;
        }
        self.last_published()
    }

    pub(super) fn published(&self, after: i64, limit: usize) -> Vec<(i64, Bytes)> {
        let above = self.messages.range(after.saturating_add(1)..).take(limit);
        above.map(|(id, message)| (*id, message.clone())).collect()
    }

    pub(super) fn last_published(&self) -> i64 {
        self.appended - 1
    }

    pub(super) fn published_acks(&self) -> BTreeMap<String, i64> {
        self.acks.clone()
    }

    pub(super) fn ack_published(&mut self, cluster: &str, id: Option<i64>) {
        let Some(id) = id else {
            self.acks.remove(cluster);
            return;
        };
        let known = self.acks.entry(cluster.to_owned()).or_insert(id);
        *known = id.max(*known);
    }

    pub(super) fn forget_published(&mut self, id: i64) {
        self.messages = self.messages.split_off(&id.saturating_add(1));
    }

    pub(super) fn clusters(&self) -> Vec<ClusterRecord> {
        let record = |(name, (version, record)): (&String, &(i64, Bytes))| ClusterRecord {
            name: name.clone(),
            version: *version,
            record: record.clone(),
        };
        self.clusters.iter().map(record).collect()
    }

    pub(super) fn put_cluster(&mut self, name: &str, expected: Option<i64>, record: Bytes) -> Option<i64> {
        let before = self.clusters.get(name).map(|(version, _)| *version);
        if before != expected {
            return None;
        }
        let version = before.unwrap_or(0) + 1;
        self.clusters.insert(name.to_owned(), (version, record));
        Some(version)
    }

    pub(super) fn delete_cluster(&mut self, name: &str) -> bool {
        self.clusters.remove(name).is_some()
    }

    pub(super) fn members(&self) -> Vec<MemberRecord> {
        self.members.values().cloned().collect()
    }

    pub(super) fn put_member(&mut self, member: MemberRecord) {
        self.members.insert(member.id, member);
    }

    pub(super) fn remove_members(&mut self, ids: &[Uuid]) {
        ids.iter().for_each(|id| drop(self.members.remove(id)));
    }

    pub(super) fn begin_incarnation(&mut self, fresh: Uuid) -> Identity {
        let next = self.identity.map_or(Identity { id: fresh, incarnation: 1 }, |identity| Identity {
            incarnation: identity.incarnation + 1,
            ..identity
        });
        self.identity = Some(next);
        next
    }
}
