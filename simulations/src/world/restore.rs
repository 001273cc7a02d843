//! Stores that are brought back from a backup, and what a cluster does then before it is active again.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use proto::temporal::server::api::replication::v1::NamespaceTaskAttributes;
use replicator::{
    ids::{NamespaceId, WorkflowKey},
    namespace::{Federation, Namespace, recovery},
    workflow::MutableState,
};

use super::{Event, Standing, World, namespaces::attributes};
use crate::{
    checkers::Seen,
    network::Verdict,
    store::Store,
    trace::{Place, name},
};

/// What an operator keeps of a cluster.
pub(super) struct Backup {
    store: Store,
    records: BTreeMap<NamespaceId, Namespace>,
}

impl World {
    /// Keep a copy of what is durable.
    pub(super) fn back_up(&mut self, cluster: usize) {
        let here = &mut self.clusters[cluster];
        here.backup = Some(Backup { store: here.store.clone(), records: here.records.clone() });
    }

    /// The store is lost, and the copy takes its place.
    pub(super) fn restore(&mut self, cluster: usize, time: Duration) {
        if self.clusters[cluster].backup.is_none() || !self.clusters[cluster].is_up {
            return;
        }
        self.coverage.hit("fault: store brought back from a backup");
        self.crash_cluster(cluster);
        let lost = self.known_nowhere_else(cluster);
        let here = &mut self.clusters[cluster];
        let Some(backup) = &here.backup else { return };
        here.store = backup.store.restored(&here.store);
        here.records = backup.records.clone();
        let others = (0..self.plan.clusters()).filter(|other| *other != cluster && !self.late.contains(other));
        here.unasked = others.collect();
        let runs: Vec<MutableState> = here.store.runs().map(|run| stored(&here.store, run)).collect();
        here.runs = runs.iter().map(|state| (state.run.clone(), Standing::of(state))).collect();
        let seen = Seen::Restored { cluster, runs: &runs, store: &here.store, lost: &lost };
        if let Err((promise, finding)) = self.checkers.see(&seen) {
            self.find(promise, finding);
        }
        self.after(time, Event::Restart(cluster, self.clusters[cluster].incarnation));
        for other in self.clusters[cluster].unasked.clone() {
            self.after(time, Event::Recall(cluster, other));
        }
    }

    /// Workflows of which a cluster has something that no other one has.
    fn known_nowhere_else(&self, cluster: usize) -> BTreeSet<WorkflowKey> {
        let store = &self.clusters[cluster].store;
        let others = || self.clusters.iter().enumerate().filter(|(other, _)| *other != cluster).map(|(_, other)| other);
        let is_elsewhere = |state: &MutableState| {
            let has_all = |there: &Store| {
                let there = there.run(&state.run).map(|run| MutableState::decode(run).expect("a shard wrote it"));
                let has = |there: MutableState| {
                    let mut ends = state.histories.all().iter().map(|history| history.versions.last());
                    ends.all(|end| there.histories.containing(end).is_some())
                };
                there.is_some_and(has)
            };
            state.local.buffered.is_empty() && others().any(|other| has_all(&other.store))
        };
        let states = store.runs().map(|run| stored(store, run));
        states.filter(|state| !is_elsewhere(state)).map(|state| state.run.workflow).collect()
    }

    /// It asks another cluster what that one knows of namespaces, until it is told.
    pub(super) fn on_recall(&mut self, cluster: usize, from: usize) {
        if !self.clusters[cluster].unasked.contains(&from) {
            return;
        }
        let there = self.network.send(self.now, cluster, from);
        let back = self.network.send(self.now, from, cluster);
        let are_up = self.clusters[cluster].is_up && self.clusters[from].is_up && !self.are_apart(cluster, from);
        match (there, back) {
            (Verdict::Deliver(there), Verdict::Deliver(back)) if are_up => {
                let told = self.clusters[from].records.values().map(attributes).collect();
                self.after(there + back, Event::Recalled(cluster, from, told));
            }
            _ => self.after(RETRY, Event::Recall(cluster, from)),
        }
    }

    pub(super) fn on_recalled(&mut self, cluster: usize, from: usize, told: &[NamespaceTaskAttributes]) {
        if !self.clusters[cluster].is_up {
            return self.after(RETRY, Event::Recall(cluster, from));
        }
        told.iter().for_each(|task| self.learn(cluster, task));
        self.clusters[cluster].unasked.remove(&from);
        let all: Vec<NamespaceId> = self.namespaces.iter().map(|tenant| tenant.id).collect();
        all.into_iter().for_each(|id| self.resume_if_asked(cluster, id));
    }

    /// When all others were asked, what is active here goes on.
    pub(super) fn resume_if_asked(&mut self, cluster: usize, id: NamespaceId) {
        let Some(number) = self.tenant_of(id).filter(|_| self.clusters[cluster].unasked.is_empty()) else { return };
        let now = self.local(cluster);
        let here = &mut self.clusters[cluster];
        let federation = Federation::alone(here.topology.clone());
        let Some(change) =
            here.records.get(&id).and_then(|record| recovery::resume(record, here.store.life(), now, &federation))
        else {
            return;
        };
        let version = change.namespace.failover_version;
        here.records.insert(id, change.namespace);
        if change.publish.is_none() {
            return;
        }
        self.note(
            Place::Cluster(cluster),
            "resumes",
            None,
            format_args!("namespace {number} in {} under {version}", name(cluster)),
        );
        let tenant = &mut self.namespaces[number];
        if version > tenant.version {
            (tenant.active, tenant.version, tenant.moved) = (cluster, version, self.now);
        }
        self.announce(cluster, id);
        self.publish(cluster, number);
    }
}

fn stored(store: &Store, run: &replicator::ids::RunKey) -> MutableState {
    MutableState::decode(store.run(run).expect("it is listed")).expect("a shard wrote it")
}

/// When it asks again.
const RETRY: Duration = Duration::from_millis(200);
