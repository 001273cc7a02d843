//! What happens to namespaces: they are made, held back, moved and changed.

use core::time::Duration;
use std::{string::ToString, vec::Vec};

use super::{WORKFLOW, World, name};
use crate::{
    entropy::Entropy,
    ids::{NamespaceId, WorkflowKey},
    namespace::{Namespace, Pause, ReplicationState},
    shard::HandoverProgress,
};

impl World {
    /// Writes are held back for a cluster, so many seconds from now on at most; `a` hears of it.
    pub(in crate::shard::tests) fn pause(&mut self, to: usize, seconds: u64) {
        let pause = Pause { to: Some(name(to).into()), until: self.now + Duration::from_secs(seconds) };
        self.namespace.replication_state = ReplicationState::Handover(pause);
        self.tell_a();
    }

    /// Writes are taken again; `a` hears of it.
    pub(in crate::shard::tests) fn serve_again(&mut self) {
        self.namespace.replication_state = ReplicationState::Normal;
        self.tell_a();
    }

    /// `a` hears how the namespace is, and no time passes.
    fn tell_a(&mut self) {
        let namespace = self.namespace.clone();
        self.clusters[0].shard.handle_namespace(self.now, namespace);
        self.settle(0);
    }

    /// `a` is to say when a cluster is near.
    pub(in crate::shard::tests) fn watch(&mut self, to: usize) {
        let id = self.namespace.id;
        self.clusters[0].shard.watch_handover(id, name(to).into());
        self.settle(0);
    }

    /// What `a` has said of the handover since it was last asked.
    pub(in crate::shard::tests) fn progress(&mut self) -> Vec<HandoverProgress> {
        core::mem::take(&mut self.clusters[0].progress)
    }

    /// Another namespace, like the first; every cluster hears of it. Answers one of its workflows.
    pub(in crate::shard::tests) fn another_namespace(&mut self) -> WorkflowKey {
        let id = NamespaceId(Entropy::new(2).uuid());
        for index in 0..self.count() {
            let namespace = Namespace { id, name: "other".into(), ..self.namespace.clone() };
            self.clusters[index].shard.handle_namespace(self.now, namespace);
            self.settle(index);
        }
        WorkflowKey { namespace: id, workflow: WORKFLOW.into() }
    }

    /// A namespace of `a` alone. Answers one of its workflows.
    pub(in crate::shard::tests) fn local_namespace(&mut self) -> WorkflowKey {
        let id = NamespaceId(Entropy::new(3).uuid());
        let namespace = Namespace::local(id, "grown", "a".into(), self.namespace.retention);
        self.clusters[0].shard.handle_namespace(self.now, namespace);
        self.settle(0);
        WorkflowKey { namespace: id, workflow: WORKFLOW.into() }
    }

    /// The namespace of a workflow is shared by all clusters from now on, and active in `a`.
    pub(in crate::shard::tests) fn promote_namespace(&mut self, workflow: &WorkflowKey) {
        for index in 0..self.count() {
            let (id, name) = (workflow.namespace, "grown".into());
            let namespace = Namespace { id, name, ..self.namespace.clone() };
            self.clusters[index].shard.handle_namespace(self.now, namespace);
            self.settle(index);
        }
    }

    /// The namespace moves to a cluster; these hear of it.
    pub(in crate::shard::tests) fn failover(&mut self, to: usize, heard_by: &[usize]) {
        let name = name(to);
        let version = self.topology.next_version(&name.into(), self.namespace.failover_version).unwrap();
        self.namespace.active = name.into();
        self.namespace.failover_version = version;
        self.namespace.replication_state = ReplicationState::Normal;
        self.hear(heard_by);
    }

    /// An entry of the namespace's data; every cluster hears of it.
    pub(in crate::shard::tests) fn set_data(&mut self, key: &str, value: &str) {
        self.namespace.data.insert(key.to_string(), value.to_string());
        let all: Vec<usize> = (0..self.count()).collect();
        self.hear(&all);
    }

    /// These clusters hear how the namespace is.
    pub(in crate::shard::tests) fn hear(&mut self, clusters: &[usize]) {
        for index in clusters {
            let namespace = self.namespace.clone();
            self.clusters[*index].shard.handle_namespace(self.now, namespace);
            self.settle(*index);
        }
        // A gate opens by itself after a while.
        self.tick(300);
    }
}
