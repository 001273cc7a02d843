//! A namespace is about to be handed over: what this shard holds back, and when it says that the new side has everything.
//!
//! While writes are held back, what callers and timers want waits at its slot, in its order; what peers tell goes on, and so
//! does looking. What started workflow tasks had kept back is written down. Once nothing is under way any more, the next
//! task id is noted as a mark: all that was ever written for the namespace has lower ids, whatever other namespaces write
//! beside it. When every stream to the new side is acknowledged up to the mark, it is said, once.
//!
//! Writes go on when the record says so, when the namespace is active elsewhere, or when the time is over that the record
//! names, whatever became of whoever wanted them held back.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet, VecDeque},
    format,
    vec::Vec,
};
use core::time::Duration;

use super::{
    Shard,
    flight::InFlight,
    io::{Call, Failure, Output, Transaction},
    ownership::Ownership,
    work::Work,
};
use crate::{
    defects::{Defect, planted},
    ids::{NamespaceId, RunKey, TaskId},
    namespace::{Namespace, Pause},
    stream::Source,
    time::Timestamp,
    version::ClusterName,
};

/// What a shard says of a namespace that is being handed over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HandoverProgress {
    /// The new side is so near that it would have everything in a moment.
    Near,
    /// Writes are held back, nothing is under way, and everything is durable on the new side.
    Drained,
}

/// Namespaces that are being handed over.
#[derive(Debug, Default)]
pub(super) struct Handovers {
    /// To whom, until it was said that it is near.
    approaching: BTreeMap<NamespaceId, ClusterName>,
    /// Namespaces whose writes are held back.
    held: BTreeMap<NamespaceId, Held>,
    /// How often writes were held back so far.
    pauses: u64,
}

/// One time that writes of a namespace are held back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Drain {
    namespace: NamespaceId,
    pause: u64,
}

/// Writes are held back.
#[derive(Debug)]
struct Held {
    /// Tells it from those before and after it.
    number: u64,
    /// For whom and until when.
    pause: Pause,
    /// When requests that wait are told to come again, so that none waits longer than its caller does.
    patience: Timestamp,
    /// Everything that was written for the namespace lies below, if nothing is under way any more.
    mark: Option<TaskId>,
    /// Whether it was said that the new side has everything.
    is_drained: bool,
}

impl Handovers {
    /// Whether writes of the namespace are held back.
    pub(super) fn holds(&self, namespace: NamespaceId) -> bool {
        self.held.contains_key(&namespace)
    }

    /// Whether somebody waits for peers to acknowledge.
    pub(super) fn is_urgent(&self) -> bool {
        self.held.values().any(|held| !held.is_drained)
    }

    /// When something is due.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.held.values().map(|held| held.pause.until.min(held.patience)).min()
    }

    /// The shard was lost: it is not known what of the writes under way happened.
    pub(super) fn forget_marks(&mut self) {
        self.held.values_mut().for_each(|held| held.mark = None);
    }
}

impl Shard {
    /// A namespace is to be handed over: say when that cluster is near.
    pub fn watch_handover(&mut self, namespace: NamespaceId, to: ClusterName) {
        self.handovers.approaching.insert(namespace, to);
        self.look_at_handovers();
    }

    /// Hold writes back, or do so no longer, as the record of a namespace says. Answers whether they were held back and are
    /// not any more.
    pub(super) fn note_pause(&mut self, now: Timestamp, namespace: &Namespace) -> bool {
        let id = namespace.id;
        let is_active = namespace.is_active_in(self.topology.current());
        let pause = namespace.replication_state.pause().filter(|pause| is_active && now < pause.until);
        let Some(pause) = pause else {
            self.handovers.approaching.retain(|approaching, _| is_active || *approaching != id);
            return self.handovers.held.remove(&id).is_some();
        };
        self.handovers.pauses += 1;
        if let Some(held) = self.handovers.held.get_mut(&id) {
            if held.pause.to != pause.to {
                (held.number, held.is_drained) = (self.handovers.pauses, false);
            }
            held.pause = pause.clone();
            return false;
        }
        let (number, pause) = (self.handovers.pauses, pause.clone());
        let held = Held { number, pause, patience: now + PATIENCE, mark: None, is_drained: false };
        self.handovers.held.insert(id, held);
        self.write_kept_back(now, id);
        false
    }

    /// What events wait behind started workflow tasks is written, for peers never hear of it otherwise. A run that is not in
    /// memory shows by the timeout of its task.
    pub(super) fn write_kept_back(&mut self, now: Timestamp, id: NamespaceId) {
        if planted(Defect::KeptBackIsForgotten) {
            return;
        }
        let mut kept_back: BTreeSet<RunKey> = BTreeSet::new();
        for (_, slot) in self.slots_of(id) {
            let runs = slot.runs.values().filter(|run| !run.state.local.buffered.is_empty());
            kept_back.extend(runs.map(|run| run.state.run.clone()));
        }
        let is_loaded = |run: &&RunKey| self.slots.get(&run.workflow).is_some_and(|s| s.runs.contains_key(&run.run));
        kept_back.extend(self.queues.with_a_worker(id).filter(|run| !is_loaded(run)).cloned());
        for run in kept_back {
            self.park(now, run.workflow.clone(), Work::Moved(run));
        }
    }

    /// Do what is due: take writes again, or tell who waits to come again.
    pub(super) fn end_overdue_pauses(&mut self, now: Timestamp) {
        let over = self.handovers.held.iter().filter(|(_, held)| held.pause.until <= now).map(|(id, _)| *id);
        for id in over.collect::<Vec<_>>() {
            self.handovers.held.remove(&id);
            self.advance_all(now, id);
        }
        let mut tired = Vec::new();
        for (id, held) in self.handovers.held.iter_mut().filter(|(_, held)| held.patience <= now) {
            held.patience = now + PATIENCE;
            tired.push(*id);
        }
        for id in tired {
            self.send_away(id);
        }
    }

    /// Every workflow of the namespace may go on.
    pub(super) fn advance_all(&mut self, now: Timestamp, id: NamespaceId) {
        for key in self.parked_slots_of(id) {
            self.advance(now, &key);
        }
    }

    /// Say what there is to be said of namespaces that are being handed over.
    pub(super) fn look_at_handovers(&mut self) {
        if self.handovers.approaching.is_empty() && self.handovers.held.is_empty() {
            return;
        }
        let near = self.handovers.approaching.iter().filter(|(id, to)| self.is_near(to, **id)).map(|(id, _)| *id);
        for id in near.collect::<Vec<_>>() {
            self.handovers.approaching.remove(&id);
            self.outbox.push(Output::Handover(id, HandoverProgress::Near));
        }
        if !self.is_ready() {
            return;
        }
        // What a cluster is told anew lies above a mark that was noted before.
        let told_anew: Vec<NamespaceId> = (self.handovers.held.iter())
            .filter(|(id, held)| held.pause.to.as_ref().is_some_and(|to| self.is_seeding(to, **id)))
            .map(|(id, _)| *id)
            .collect();
        for id in &told_anew {
            self.handovers.held.entry(*id).and_modify(|held| held.mark = None);
        }
        let has_settled = |id: &NamespaceId| !told_anew.contains(id) && self.has_settled(*id);
        let quiet = self.handovers.held.iter().filter(|(id, held)| held.mark.is_none() && has_settled(id));
        let quiet: Vec<_> = quiet.map(|(id, _)| *id).collect();
        let end = self.drawn_end();
        for id in quiet {
            self.handovers.held.entry(id).and_modify(|held| held.mark = Some(end));
        }
        let drained = self.handovers.held.iter().filter(|(_, held)| !held.is_drained && self.has_all(held));
        let drained: Vec<_> = drained.map(|(id, held)| Drain { namespace: *id, pause: held.number }).collect();
        for drain in &drained {
            self.handovers.held.entry(drain.namespace).and_modify(|held| held.is_drained = true);
        }
        match self.has_rivals {
            true => self.prove_drained(drained),
            false => self.on_drain_proved(&drained),
        }
    }

    /// Another host may have the shard, and write for these namespaces: only a write says that none does.
    fn prove_drained(&mut self, drained: Vec<Drain>) {
        let Ownership::Owned { range, .. } = &self.ownership else { return };
        if drained.is_empty() {
            return;
        }
        let range = *range;
        let transaction = Transaction::of(self.next_transaction(), self.id, range);
        let flight = InFlight { lowest: TaskId(i64::MAX), drained, ..InFlight::default() };
        self.in_flight.insert(transaction.id, flight);
        self.outbox.begin(transaction.id, Output::Commit(Box::new(transaction)));
    }

    /// The new side has everything of these namespaces. Writes may have gone on since that was asked, and be held back anew.
    pub(super) fn on_drain_proved(&mut self, drained: &[Drain]) {
        for drain in drained {
            if self.handovers.held.get(&drain.namespace).is_some_and(|held| held.number == drain.pause) {
                self.outbox.push(Output::Handover(drain.namespace, HandoverProgress::Drained));
            }
        }
    }

    /// It is not known whether it has.
    pub(super) fn on_drain_not_proved(&mut self, drained: &[Drain]) {
        for drain in drained {
            let held = self.handovers.held.get_mut(&drain.namespace).filter(|held| held.number == drain.pause);
            if let Some(held) = held {
                held.is_drained = false;
            }
        }
    }

    /// Whether nothing of ours is on its way to the store for a namespace.
    pub(super) fn has_settled(&self, id: NamespaceId) -> bool {
        self.slots_of(id).all(|(_, slot)| Self::is_settled(slot))
    }

    /// Whether a cluster would have everything of a namespace in a moment.
    fn is_near(&self, to: &ClusterName, id: NamespaceId) -> bool {
        let mut streams = self.sources_to(to).peekable();
        let is_near = |source: &Source| self.floor <= source.acked && source.is_within(NEAR, self.tail.floor());
        self.is_ready() && streams.peek().is_some() && streams.all(is_near) && !self.is_seeding(to, id)
    }

    /// Whether a cluster is being told all of a namespace: what it has acknowledged is not all that it needs.
    fn is_seeding(&self, to: &ClusterName, id: NamespaceId) -> bool {
        self.topology.id_of(to).is_some_and(|cluster| self.seeding_to(cluster).any(|namespace| namespace == id))
    }

    fn has_all(&self, held: &Held) -> bool {
        let (Some(mark), Some(to)) = (held.mark, &held.pause.to) else { return false };
        let mut streams = self.sources_to(to).peekable();
        streams.peek().is_some() && streams.all(|source| mark <= source.acked.next())
    }

    fn sources_to(&self, to: &ClusterName) -> impl Iterator<Item = &Source> {
        let cluster = self.topology.id_of(to);
        self.sources.values().filter(move |source| Some(source.key.cluster) == cluster)
    }

    /// Requests that wait are told to come again; what else waits, waits on.
    fn send_away(&mut self, id: NamespaceId) {
        let name = self.namespaces.get(&id).map(|namespace| namespace.name.clone()).unwrap_or_default();
        for key in self.parked_slots_of(id) {
            let Some(slot) = self.slots.get_mut(&key) else { continue };
            let (requests, rest): (VecDeque<_>, VecDeque<_>) =
                core::mem::take(&mut slot.parked).into_iter().partition(|work| matches!(work, Work::Request(..)));
            slot.parked = rest;
            for work in requests {
                if let Work::Request(request, _) = work {
                    let text = format!("namespace {name} is being handed over to another cluster; try again");
                    self.outbox.push(Output::Reply(request, Box::new(Err(Failure::Unavailable(text)))));
                }
            }
        }
    }
}

/// Whether work goes on while writes of its namespace are held back: what peers tell and are to be told, what had been kept
/// back, and looking.
pub(super) fn goes_on(work: &Work) -> bool {
    match work {
        Work::Incoming(_) | Work::Moved(..) | Work::Seed(..) => true,
        Work::Request(_, request) => matches!(request.call, Call::View | Call::Describe),
        Work::Task(_) => false,
    }
}

/// A peer is near when no stream has more tasks in flight than this. It takes them in a fraction of a second.
const NEAR: usize = 1024;
/// A request waits no longer for a handover, and its caller usually no less.
const PATIENCE: Duration = Duration::from_secs(3);
