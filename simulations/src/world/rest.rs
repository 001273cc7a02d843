//! After the faults: everything is mended, and must come to rest within a stated time.

use std::time::Duration;

use replicator::{
    ids::RunKey,
    namespace::Namespace,
    shard::io::QuarantinedTask,
    task::{HistoryTask, TaskKind, TransferTask},
};

use super::{Event, World};
use crate::{
    checkers::{
        AtRest, Finding,
        agreement::{CAME_BACK, GONE},
        namespaces::told,
    },
    plan::{Ask, Wish},
    trace::{Place, name},
};

impl World {
    /// Faults end here.
    pub(super) fn heal(&mut self) {
        self.is_healed = true;
        self.note(Place::World, "heals", None, format_args!("everything"));
        self.network.heal();
        self.apart.clear();
        self.heal_stores();
        self.heal_workers();
        for cluster in 0..self.clusters.len() {
            if !self.clusters[cluster].is_up {
                self.start_cluster(cluster);
            }
        }
        for number in 0..self.namespaces.len() {
            if !self.namespaces[number].is_registered {
                self.register(number);
            }
        }
        let late: Vec<usize> = self.late.iter().copied().collect();
        late.into_iter().for_each(|cluster| self.join(cluster));
        self.after(NUDGE_EVERY, Event::Nudge);
        self.after(LOOK_EVERY, Event::Look);
    }

    /// Workflows that wait for signals get some, until they are over.
    pub(super) fn nudge(&mut self) {
        let mut wishes = Vec::new();
        for (number, tenant) in self.namespaces.iter().enumerate() {
            let runs = self.clusters[tenant.active].runs.iter();
            let open = runs.filter(|(run, standing)| standing.is_open() && run.workflow.namespace == tenant.id);
            for (run, _) in open {
                // Who still waits for an answer does not ask again.
                if self.is_asked(&run.workflow) {
                    continue;
                }
                let workflow = run.workflow.workflow.as_str().trim_start_matches("order-").parse();
                let workflow = workflow.expect("workflows are named by their numbers");
                wishes.push(Wish { from: tenant.active, namespace: number, workflow, call: Ask::Signal });
            }
        }
        wishes.into_iter().for_each(|wish| self.order(wish));
        self.after(NUDGE_EVERY, Event::Nudge);
    }

    /// Is everything at rest, or should it be?
    pub(super) fn look(&mut self) {
        let Some(reason) = self.unrest() else {
            self.is_at_rest = true;
            self.note(Place::World, "rests", None, format_args!("everything"));
            let at_rest = AtRest {
                stores: self.clusters.iter().map(|cluster| &cluster.store).collect(),
                records: self.clusters.iter().map(|cluster| &cluster.records).collect(),
            };
            if let Err((promise, finding)) = self.checkers.rest(&at_rest) {
                self.find(promise, finding);
            }
            return;
        };
        let healed_for = self.now.since(super::BEGIN + self.plan.duration);
        if healed_for > REST_WITHIN {
            let text = format!("{reason}, {REST_WITHIN:?} after the last fault");
            self.find("everything comes to rest when faults end", Finding { text, ..reason_of(&reason) });
        }
        self.after(LOOK_EVERY, Event::Look);
    }

    /// What is not at rest.
    fn unrest(&self) -> Option<String> {
        if let Some(number) = self.handovers.keys().next() {
            return Some(format!("namespace {number} is being handed over"));
        }
        for (cluster, here) in self.clusters.iter().enumerate() {
            for (number, tenant) in self.namespaces.iter().enumerate() {
                let is_on = |record: &Namespace| record.is_on(&name(cluster).into());
                if !self.clusters[tenant.active].records.get(&tenant.id).is_some_and(is_on) {
                    return Some(format!("{} is not in namespace {number}", name(cluster)));
                }
                let known = |cluster: &super::Cluster| cluster.records.get(&tenant.id).map(told);
                if known(here) != known(&self.clusters[tenant.active]) {
                    return Some(format!("{} has not heard of namespace {number}", name(cluster)));
                }
            }
            if let Some((run, standing)) = here.runs.iter().find(|(_, standing)| standing.is_open()) {
                let (workflow, phase) = (&run.workflow.workflow, standing.phase);
                return Some(format!("{workflow} of {} is open: {phase:?}, run {}", name(cluster), run.run));
            }
            if !here.writing.is_empty() {
                return Some(format!("{} writes", name(cluster)));
            }
        }
        for here in &self.clusters {
            for (run, standing) in &here.runs {
                // What was deleted, and comes back because somebody went on with it, comes without branches that lost.
                let was_deleted = || self.orders.iter().any(|order| order.deletes(&run.workflow));
                let same = |there: &super::Standing| {
                    (there.last, there.phase) == (standing.last, standing.phase)
                        && (there.branches == standing.branches || was_deleted())
                };
                let there = |other: &super::Cluster| other.runs.get(run).is_some_and(same);
                if let Some(behind) = self.clusters.iter().position(|other| !there(other)) {
                    return Some(format!("{} of {} is behind", run.workflow.workflow, name(behind)));
                }
            }
        }
        for (cluster, here) in self.clusters.iter().enumerate() {
            let me = name(cluster).into();
            let owes = |task: &&HistoryTask| {
                let record = here.records.get(&task.run.workflow.namespace);
                task.kind == TaskKind::Transfer(TransferTask::Reapply)
                    && record.is_some_and(|record| record.is_active_in(&me))
            };
            if let Some(task) = here.store.tasks().map(|(_, task)| task).find(owes) {
                return Some(format!("{} owes what a branch that lost had", task.run.workflow.workflow));
            }
        }
        if let Some(order) = self.orders.iter().position(|order| !order.is_done) {
            return Some(format!("request {order} is not answered"));
        }
        if let Some(cluster) = self.clusters.iter().position(|here| !here.unasked.is_empty()) {
            return Some(format!("{} has not heard what others know of namespaces", name(cluster)));
        }
        for node in self.nodes.values() {
            if !node.core.is_ready() {
                return Some(format!("{}/{} is not ready", name(node.cluster), node.shard));
            }
            if node.core.is_recovering() {
                let wanted: Vec<_> = node.core.seeding().collect();
                return Some(format!("{}/{} is catching up, and wants {wanted:?}", name(node.cluster), node.shard));
            }
            // Of a run that was deleted, and of whose deletion nobody is left to tell, an operator has to let go.
            let was_deleted = |run: &RunKey| self.orders.iter().any(|order| order.deletes(&run.workflow));
            let waits = |kept: &QuarantinedTask| match kept.reason.as_str() {
                GONE => self.clusters[node.cluster].runs.contains_key(&kept.run),
                // Others wait behind it.
                CAME_BACK | "" => !was_deleted(&kept.run),
                _ => true,
            };
            if let Some(kept) = node.core.quarantined().find(waits) {
                let workflow = &kept.run.workflow.workflow;
                return Some(format!("{workflow} is kept apart in {}: {}", name(node.cluster), kept.reason));
            }
            if let Some(lag) = node.core.lags().find(|lag| !lag.is_open || lag.tasks != Some(0)) {
                return Some(format!("{}/{} lags: {lag:?}", name(node.cluster), node.shard));
            }
        }
        None
    }
}

/// What a reason is about: the workflow that it begins with.
fn reason_of(reason: &str) -> Finding {
    let first = reason.split(' ').next().filter(|word| word.starts_with("order-"));
    Finding { subject: first.map(Into::into), text: String::new() }
}

/// How often clients signal what waits.
const NUDGE_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether everything is at rest.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Everything must be at rest so long after the last fault. Retries of what failed before may be a minute apart.
const REST_WITHIN: Duration = Duration::from_secs(300);
