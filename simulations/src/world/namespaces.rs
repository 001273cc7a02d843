//! Namespaces and those who move them: records of each cluster, told to peers late and out of order, and failovers.

use std::time::Duration;

use proto::temporal::{
    api::{replication::v1::ClusterReplicationConfig, workflowservice::v1::UpdateNamespaceRequest},
    server::api::{
        enums::v1::NamespaceOperation,
        replication::v1::{NamespaceTaskAttributes, replication_task::Attributes},
    },
};
use replicator::{
    ids::NamespaceId,
    namespace::{
        Federation, Namespace,
        merge::{Known, merge},
        replication,
        update::update,
    },
    version::ClusterName,
};

use super::{Event, Tenant, World, first_version};
use crate::{
    network::Verdict,
    plan::Kind,
    trace::{Place, name},
};

impl World {
    /// A namespace comes to be, in its first cluster.
    pub(super) fn register(&mut self, number: usize) {
        let (id, home) = (self.namespaces[number].id, self.namespaces[number].active);
        if !self.clusters[home].is_up {
            self.after(OPERATOR_PAUSE, Event::Publish(home, home, number));
            return;
        }
        self.namespaces[number].is_registered = true;
        // The first of the list is active.
        let all = (0..self.clusters.len()).map(|cluster| (home + cluster) % self.clusters.len());
        let there = all.filter(|cluster| !self.late.contains(cluster));
        let clusters: Vec<ClusterName> = there.map(|cluster| name(cluster).into()).collect();
        let record = Namespace::global(id, format!("tenant-{number}"), clusters, first_version(home), RETENTION);
        self.clusters[home].records.insert(id, record);
        self.announce(home, id);
        self.publish(home, number);
    }

    /// Tell every peer how a namespace stands.
    pub(super) fn publish(&mut self, from: usize, number: usize) {
        let all: Vec<usize> = (0..self.clusters.len()).filter(|to| *to != from && !self.late.contains(to)).collect();
        for to in all {
            self.after(Duration::ZERO, Event::Publish(from, to, number));
        }
    }

    pub(super) fn on_publish(&mut self, from: usize, to: usize, number: usize) {
        if from == to {
            return self.register(number);
        }
        let id = self.namespaces[number].id;
        let record = self.clusters[from].records.get(&id).filter(|_| self.clusters[from].is_up);
        let Some(record) = record else {
            return self.after(RETRY, Event::Publish(from, to, number));
        };
        let told = attributes(record);
        if self.are_apart(from, to) {
            return self.after(RETRY, Event::Publish(from, to, number));
        }
        match self.network.send(self.now, from, to) {
            Verdict::Lose => self.after(RETRY, Event::Publish(from, to, number)),
            Verdict::Deliver(time) => self.after(time, Event::Published(from, to, Box::new(told))),
        }
    }

    pub(super) fn on_published(&mut self, from: usize, to: usize, task: Box<NamespaceTaskAttributes>) {
        let id = NamespaceId::parse(&task.id).expect("told by a cluster of ours");
        let number = self.tenant_of(id).expect("a namespace of ours");
        if !self.clusters[to].is_up || self.network.is_cut(self.now, from, to) {
            return self.after(RETRY, Event::Publish(from, to, number));
        }
        self.learn(to, &task);
    }

    /// A cluster makes its own of what it was told.
    pub(super) fn learn(&mut self, cluster: usize, task: &NamespaceTaskAttributes) {
        let id = NamespaceId::parse(&task.id).expect("told by a cluster of ours");
        let here = &mut self.clusters[cluster];
        let old = here.records.get(&id);
        let merged = merge(Known { by_id: old, by_name: old }, task, &name(cluster).into());
        if let Some(new) = merged.expect("told by a cluster of ours") {
            let (active, version) = (new.active.clone(), new.failover_version);
            here.records.insert(id, new);
            self.note(Place::Cluster(cluster), "learns", None, format_args!("active in {active} under {version}"));
            self.announce(cluster, id);
            self.resume_if_asked(cluster, id);
        }
    }

    pub(super) fn on_refresh(&mut self, cluster: usize, from: usize, id: NamespaceId) {
        if !self.clusters[cluster].is_up {
            return;
        }
        let there = self.network.send(self.now, cluster, from);
        let back = self.network.send(self.now, from, cluster);
        let record = self.clusters[from].records.get(&id).filter(|_| self.clusters[from].is_up);
        match (there, back, record) {
            (Verdict::Deliver(there), Verdict::Deliver(back), Some(record)) => {
                let told = attributes(record);
                self.after(there + back, Event::Published(from, cluster, Box::new(told)));
            }
            _ => self.after(RETRY, Event::Refresh(cluster, from, id)),
        }
    }

    /// An operator changes what a namespace says of itself.
    pub(super) fn edit(&mut self, number: usize, by: usize) {
        let id = self.namespaces[number].id;
        let here = &self.clusters[by];
        if !here.is_up || !here.records.contains_key(&id) {
            return;
        }
        self.coverage.hit("path: namespace edited");
        let mut request = UpdateNamespaceRequest::default();
        request.update_info.get_or_insert_default().description = format!("as of {}", self.now.0);
        self.update(by, id, &request);
        self.announce(by, id);
        self.publish(by, number);
    }

    /// Operators add a cluster to every namespace.
    pub(super) fn join(&mut self, cluster: usize) {
        if self.late.remove(&cluster) {
            self.coverage.hit("path: cluster came late");
            for number in 0..self.namespaces.len() {
                self.join_one(cluster, number);
                // It reads what every other one has to tell of namespaces, from the beginning.
                for from in (0..self.clusters.len()).filter(|from| *from != cluster) {
                    self.after(Duration::ZERO, Event::Publish(from, cluster, number));
                }
            }
        }
    }

    /// Operators add a cluster to a namespace in which it is not. They look again: who edits it elsewhere at the same moment
    /// may undo it.
    pub(super) fn join_one(&mut self, cluster: usize, number: usize) {
        let Tenant { id, active, is_registered, .. } = self.namespaces[number];
        let here = &self.clusters[active];
        match here.records.get(&id).filter(|_| here.is_up) {
            Some(record) if is_registered && !record.is_on(&name(cluster).into()) => {
                let mut request = UpdateNamespaceRequest::default();
                let all = record.clusters.iter().map(ToString::to_string).chain([name(cluster).to_owned()]);
                let clusters = all.map(|cluster_name| ClusterReplicationConfig { cluster_name, ..Default::default() });
                request.replication_config.get_or_insert_default().clusters = clusters.collect();
                self.update(active, id, &request);
                self.announce(active, id);
                self.publish(active, number);
            }
            _ => {}
        }
        self.after(LOOKS_AGAIN, Event::Join(cluster, number));
    }

    fn update(&mut self, cluster: usize, id: NamespaceId, request: &UpdateNamespaceRequest) {
        let (now, here) = (self.local(cluster), &mut self.clusters[cluster]);
        let record = here.records.get_mut(&id).expect("the caller has looked");
        let federation = Federation::alone(here.topology.clone());
        *record = update(record, request, now, &federation).expect("a proper request").namespace;
    }

    /// An operator moves a namespace.
    pub(super) fn fail_over(&mut self, number: usize, to: usize, by: usize) {
        let tenant = &self.namespaces[number];
        let (from, kind) = (tenant.active, self.plan.kind);
        if !tenant.is_registered || from == to && kind != Kind::Forced {
            return;
        }
        // Where clusters must hear each other first, they get the time to.
        if kind == Kind::Heard && self.now.since(tenant.moved) < HEARD_WITHIN {
            return;
        }
        let is_member = |record: &Namespace| record.is_on(&name(to).into());
        let decides = match kind {
            Kind::Heard => to,
            Kind::Forced | Kind::HandedOver => by,
        };
        let id = tenant.id;
        let here = &self.clusters[decides];
        if !here.is_up || !here.records.get(&id).is_some_and(is_member) {
            return;
        }
        let mut request = UpdateNamespaceRequest::default();
        request.replication_config.get_or_insert_default().active_cluster_name = name(to).into();
        self.update(decides, id, &request);
        let version = self.clusters[decides].records[&id].failover_version;
        self.note(
            Place::Cluster(decides),
            "failover",
            None,
            format_args!("of namespace {number} from {} to {} under {version}", name(from), name(to)),
        );
        self.announce(decides, id);
        self.coverage.hit(match kind {
            Kind::Heard => "path: failover, heard",
            Kind::Forced | Kind::HandedOver => "path: failover, forced",
        });
        let tenant = &mut self.namespaces[number];
        tenant.moved = self.now;
        // Of two operators who know nothing of each other the one with the higher version wins.
        if version > tenant.version {
            (tenant.active, tenant.version) = (to, version);
        }
        self.publish(decides, number);
    }
}

/// A namespace as peers are told of it.
pub(super) fn attributes(record: &Namespace) -> NamespaceTaskAttributes {
    match replication::task(record, NamespaceOperation::Update).attributes {
        Some(Attributes::NamespaceTaskAttributes(attributes)) => attributes,
        _ => unreachable!("a namespace's task is about a namespace"),
    }
}

/// Runs are kept for longer than any world lasts.
const RETENTION: Duration = Duration::from_secs(30 * 24 * 3600);
/// When to tell again what did not arrive.
const RETRY: Duration = Duration::from_millis(200);
/// Every cluster has heard of a failover after this long, where clusters hear each other well.
const HEARD_WITHIN: Duration = Duration::from_millis(1_500);
/// When operators look whether a cluster is still in a namespace.
const LOOKS_AGAIN: Duration = Duration::from_secs(1);
/// When an operator tries again.
const OPERATOR_PAUSE: Duration = Duration::from_millis(500);
