//! A namespace moves between clusters.
//!
//! A forced failover waits for nobody. But when the cluster that was active is there, waiting for it a moment spares a
//! conflict: it learns of the move, writes down what it had kept back for started workflow tasks, and says on the
//! streams that it has settled. The new active cluster holds its decisions until it has heard that, or until a short
//! time is over, or at once when there is no stream to hear it on.

use alloc::{boxed::Box, collections::BTreeSet, vec::Vec};
use core::time::Duration;

use super::{
    Shard,
    io::{Output, Report, StreamKey, StreamRole},
    loading::REST,
    work::Work,
};
use crate::{
    defects::{Defect, planted},
    ids::NamespaceId,
    namespace::Namespace,
    task::{HistoryTask, TaskKind, TransferTask},
    time::Timestamp,
    version::{ClusterName, FailoverVersion},
};

/// Holds a namespace's decisions.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Gate {
    /// Version under which the namespace became active here.
    pub(super) version: FailoverVersion,
    /// Streams that have not said that they settled.
    pub(super) waiting: BTreeSet<StreamKey>,
    /// When to go on regardless.
    pub(super) until: Timestamp,
}

impl Shard {
    /// A namespace is new or has changed.
    pub fn handle_namespace(&mut self, now: Timestamp, namespace: Namespace) {
        let id = namespace.id;
        let before = self.namespaces.insert(id, namespace.clone());
        let may_go_on = self.note_pause(now, &namespace);
        let me = self.topology.current().clone();
        let was_active = before.as_ref().is_some_and(|before| before.is_active_in(&me));
        match (&before, was_active, namespace.is_active_in(&me)) {
            (None, _, is_active) => {
                self.recover_if_unknown(now, id);
                if !is_active && self.is_ready() {
                    self.leave(now, &namespace);
                }
                self.offer_all(now, id);
                self.hear_strangers(now, id);
            }
            (Some(before), false, true) => self.promote(now, &namespace, &before.active.clone()),
            (Some(_), true, false) => self.demote(now, &namespace),
            // Under a newer version this cluster may write to runs whose last event it must not follow before (MU-3).
            (Some(before), true, true) if before.failover_version < namespace.failover_version => {
                self.offer_all(now, id);
            }
            // Peers that are to be active ask whether this cluster may still write.
            (Some(before), false, false) if before.failover_version < namespace.failover_version && self.is_ready() => {
                self.leave(now, &namespace);
            }
            (Some(_), false, false) | (Some(_), true, true) => {}
        }
        if may_go_on {
            self.advance_all(now, id);
        }
        self.pump_all();
        self.want_seeds(now);
        self.walk_all();
    }

    /// Forget a gate when its time is over.
    pub(super) fn open_overdue_gates(&mut self, now: Timestamp) {
        let due = self.gates.iter().filter(|(_, gate)| gate.until <= now).map(|(id, _)| *id);
        for id in due.collect::<Vec<_>>() {
            self.open_gate(now, id);
        }
    }

    /// A peer has settled a namespace on one stream.
    pub(super) fn on_settled(&mut self, now: Timestamp, stream: StreamKey, id: NamespaceId, version: FailoverVersion) {
        // Whoever made the namespace move may not be there to say so.
        if self.namespaces.get(&id).is_some_and(|known| version > known.failover_version) {
            self.outbox.push(Output::RefreshNamespace { namespace: id, from: stream.cluster });
        }
        let Some(gate) = self.gates.get_mut(&id).filter(|gate| version >= gate.version) else { return };
        gate.waiting.remove(&stream);
        if gate.waiting.is_empty() {
            self.open_gate(now, id);
        }
    }

    /// A stream is gone: nothing will be heard on it.
    pub(super) fn on_stream_gone(&mut self, now: Timestamp, stream: StreamKey) {
        let mut free = Vec::new();
        for (id, gate) in &mut self.gates {
            gate.waiting.remove(&stream);
            if gate.waiting.is_empty() {
                free.push(*id);
            }
        }
        for id in free {
            self.open_gate(now, id);
        }
    }

    /// If nothing of ours is on its way to the store for a namespace that moved away, tell the peers so.
    pub(super) fn settle(&mut self) {
        // Before its queues are read a shard does not know what was kept back.
        if self.settling.is_empty() || !self.is_ready() {
            return;
        }
        let settled = self.settling.iter().filter(|(id, _)| self.has_settled(**id));
        let settled: Vec<(NamespaceId, FailoverVersion)> = settled.map(|(id, version)| (*id, *version)).collect();
        // Not what is readable now: what was written for these may wait behind a lower id of another namespace.
        let end = self.drawn_end();
        for (id, version) in settled {
            self.settling.remove(&id);
            for source in self.sources.values_mut() {
                source.owes_settled.push((end, id, version));
            }
        }
    }

    /// The other clusters of a namespace, but the active one, from which this shard has not heard that they write no more
    /// and that everything of theirs is here: each tells only what it wrote itself.
    #[must_use]
    pub fn unheard(&self, id: NamespaceId) -> BTreeSet<ClusterName> {
        let Some(namespace) = self.namespaces.get(&id) else { return BTreeSet::new() };
        let is_heard = |peer: &ClusterName| {
            let Some(cluster) = self.topology.id_of(peer) else { return false };
            let mut shards = self.topology.joined(self.id, cluster).peekable();
            // How many shards a peer has is known as soon as it is connected.
            shards.peek().is_some()
                && shards.all(|shard| {
                    let target = self.targets.get(&StreamKey { cluster, shard, role: StreamRole::Target });
                    target.is_some_and(|target| target.has_settled(id, namespace.failover_version))
                })
        };
        let others = namespace.members().filter(|name| *name != self.topology.current() && **name != namespace.active);
        others.filter(|peer| !is_heard(peer)).cloned().collect()
    }

    fn promote(&mut self, now: Timestamp, namespace: &Namespace, from: &ClusterName) {
        self.settling.remove(&namespace.id);
        let peer = self.topology.id_of(from);
        let streams = self.targets.values().filter(|target| target.is_open && Some(target.key.cluster) == peer);
        let waiting = streams.filter(|target| !target.has_settled(namespace.id, namespace.failover_version));
        let waiting: BTreeSet<StreamKey> = waiting.map(|target| target.key).collect();
        let gate = Gate { version: namespace.failover_version, waiting, until: now + SETTLE_TIME };
        let is_free = gate.waiting.is_empty() || planted(Defect::NobodyIsWaitedFor);
        self.gates.insert(namespace.id, gate);
        if is_free {
            self.open_gate(now, namespace.id);
        }
    }

    fn open_gate(&mut self, now: Timestamp, id: NamespaceId) {
        let Some(gate) = self.gates.remove(&id) else { return };
        self.report(Report::Promoted { namespace: id, version: gate.version, unheard: gate.waiting.len() });
        if !planted(Defect::PromotionOffersNothing) {
            self.offer_all(now, id);
        }
        self.advance_all(now, id);
    }

    fn demote(&mut self, now: Timestamp, namespace: &Namespace) {
        let was_held = self.gates.remove(&namespace.id).is_some();
        // A shard that is not ready does so as soon as it is.
        if self.is_ready() {
            self.leave(now, namespace);
        }
        if was_held {
            self.advance_all(now, namespace.id);
        }
    }

    /// A namespace is active elsewhere: write what its runs kept back for started workflow tasks, and settle when that is
    /// done. It may have moved while nobody had the shard, or while a run was not in memory: such a run shows by the timer
    /// of its task.
    pub(super) fn leave(&mut self, now: Timestamp, namespace: &Namespace) {
        self.settling.insert(namespace.id, namespace.failover_version);
        for source in self.sources.values_mut() {
            source.owes_settled.retain(|(_, id, _)| *id != namespace.id);
        }
        self.write_kept_back(now, namespace.id);
        self.settle();
    }

    /// Look at every waiting task of a namespace again: those for matching are offered, timers that came due while the
    /// namespace was elsewhere fire.
    pub(super) fn offer_all(&mut self, now: Timestamp, id: NamespaceId) {
        for task in self.queues.of_namespace(id) {
            self.offer(now, task);
        }
        self.fire_timers(now);
    }

    fn offer(&mut self, now: Timestamp, task: HistoryTask) {
        let namespace = task.run.workflow.namespace;
        match task.kind {
            TaskKind::Transfer(_) if self.is_reapplied_later(now, &task) => {}
            TaskKind::Transfer(_) => {
                let is_deletion = task.kind == TaskKind::Transfer(TransferTask::Delete);
                if is_deletion || self.is_active(namespace) {
                    self.park(now, task.run.workflow.clone(), Work::Task(Box::new(task)));
                }
            }
            TaskKind::Timer(_) if planted(Defect::MissedTimersAreForgotten) => {}
            TaskKind::Timer(_) => self.queues.again(task.key),
            TaskKind::Replication(_) | TaskKind::Quarantined(_) | TaskKind::Diverged | TaskKind::Tombstone(_) => {}
        }
    }

    /// Whether the inputs of a losing branch wait: while peers tell everything, what comes next may say that they had their
    /// effect. Not for long, for a peer may not know how to tell.
    pub(super) fn is_reapplied_later(&mut self, now: Timestamp, task: &HistoryTask) -> bool {
        let namespace = task.run.workflow.namespace;
        if task.kind != TaskKind::Transfer(TransferTask::Reapply) || !self.is_being_told(namespace) {
            return false;
        }
        let waits = now < *self.reapplying.entry(namespace).or_insert(now + self.patience);
        if waits {
            self.chores.reapply.get_or_insert(now + REST);
        }
        waits
    }

    /// Look at all that losing branches owe once more.
    pub(super) fn reapply_all(&mut self, now: Timestamp) {
        let owed = self.queues.transfers().filter(|task| task.kind == TaskKind::Transfer(TransferTask::Reapply));
        for task in owed.cloned().collect::<Vec<_>>() {
            self.offer(now, task);
        }
    }

    /// Whether this cluster writes for the namespace, now.
    pub(super) fn is_active(&self, id: NamespaceId) -> bool {
        self.namespaces.get(&id).is_some_and(|namespace| namespace.is_active_in(self.topology.current()))
    }
}

/// How long a promoted namespace waits for the cluster that was active, at most. A round trip between distant regions
/// and a group commit fit; a human does not notice it.
const SETTLE_TIME: Duration = Duration::from_millis(250);
/// How long inputs of losing branches wait for peers that tell everything.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
