//! Between a shard and its store: how long writes and reads take, in which order they come, which are lost and which are
//! answered in doubt.

use replicator::{
    ids::WorkflowId,
    shard::io::{CommitOutcome, Load, LoadId, Loaded, RunChange, Transaction, TransactionId},
    task::Category,
    workflow::MutableState,
};

use super::{Event, Standing, World, paths, shards::NodeId};
use crate::{
    checkers::{Finding, Seen},
    trace::{Place, name},
};

impl World {
    /// A shard wants something written.
    pub(super) fn write(&mut self, id: NodeId, transaction: Box<Transaction>) {
        let Some(cluster) = self.nodes.get(&id).map(|node| node.cluster) else { return };
        let place = Place::Shard(cluster, transaction.shard.0);
        let subject = workflow_of(&transaction);
        let (number, range) = (transaction.id.0, transaction.range);
        self.note(place, "writes", subject.as_ref(), format_args!("{number} under {range}"));
        self.trace.detail(|| Summary(&transaction).to_string());
        let here = &mut self.clusters[cluster];
        here.writing.insert((id, transaction.id));
        let delay = here.random.duration(self.plan.store.arrival);
        let incarnation = here.incarnation;
        self.after(delay, Event::Written(cluster, incarnation, id, transaction));
    }

    pub(super) fn on_written(&mut self, cluster: usize, incarnation: u64, id: NodeId, transaction: Box<Transaction>) {
        let now = self.now;
        let here = &mut self.clusters[cluster];
        if here.incarnation != incarnation {
            return;
        }
        if here.full_until > now {
            self.coverage.hit("path: commit unavailable");
            return self.decide(cluster, id, transaction.id, CommitOutcome::Unavailable);
        }
        if here.group.is_empty() {
            let sync = here.stalled_until.since(now) + here.random.duration(self.plan.store.sync);
            self.agenda.put(now + sync, Event::Sync(cluster, incarnation));
        }
        here.group.push((id, transaction));
    }

    /// A group becomes durable.
    pub(super) fn on_sync(&mut self, cluster: usize, incarnation: u64) {
        if self.clusters[cluster].incarnation != incarnation {
            return;
        }
        let group = std::mem::take(&mut self.clusters[cluster].group);
        let mut latest: std::collections::BTreeMap<NodeId, TransactionId> = Default::default();
        for (id, transaction) in group {
            let last = latest.entry(id).or_insert(transaction.id);
            if transaction.id < *last {
                self.coverage.hit("path: commits out of order");
            }
            *last = (*last).max(transaction.id);
            let here = &mut self.clusters[cluster];
            if !here.random.chance(self.plan.store.unknown) {
                let outcome = self.make_durable(cluster, &transaction);
                self.decide(cluster, id, transaction.id, outcome);
                continue;
            }
            match here.random.below(3) {
                0 => self.coverage.hit("path: commit in doubt, not written"),
                1 => {
                    self.coverage.hit("path: commit in doubt, written");
                    self.make_durable(cluster, &transaction);
                }
                _ => {
                    self.coverage.hit("path: commit in doubt, written late");
                    let delay = here.random.duration(self.plan.store.sync) * 4;
                    here.writing.insert((LATE, transaction.id));
                    self.after(delay, Event::Written(cluster, incarnation, LATE, transaction.clone()));
                }
            }
            self.decide(cluster, id, transaction.id, CommitOutcome::Unknown);
        }
    }

    /// Write, and show the checkers what is durable now.
    fn make_durable(&mut self, cluster: usize, transaction: &Transaction) -> CommitOutcome {
        let outcome = self.clusters[cluster].store.write(transaction);
        let place = Place::Shard(cluster, transaction.shard.0);
        let subject = workflow_of(transaction);
        let (now, id) = (self.now, transaction.id.0);
        self.trace.note(now, place, "durable", subject.as_ref(), format_args!("{id} {outcome:?}"));
        match outcome {
            CommitOutcome::ConditionFailed => {
                let text = format!("shard {} of {} does not", transaction.shard.0, name(cluster));
                self.find("who owns a shard knows what it stored", Finding::of_all(text));
            }
            CommitOutcome::ShardOwnershipLost => self.coverage.hit("path: commit ownership lost"),
            _ => {}
        }
        if outcome != CommitOutcome::Committed {
            return outcome;
        }
        let here = &mut self.clusters[cluster];
        let mut runs = Vec::new();
        for write in &transaction.runs {
            if matches!(write.change, RunChange::Delete { .. }) {
                here.runs.remove(&write.run);
                continue;
            }
            let stored = here.store.run(&write.run).expect("it was just written");
            let state = MutableState::decode(stored).expect("the shard wrote what can be read");
            let standing = Standing::of(&state);
            let written = transaction.history.iter().map(|batch| here.store.written(batch));
            paths::count_timeouts(&mut self.coverage, transaction, written, &state);
            paths::count(&mut self.coverage, transaction, here.runs.get(&write.run), &state, &standing);
            here.runs.insert(write.run.clone(), standing);
            runs.push(state);
        }
        let seen = Seen::Committed { cluster, transaction, runs: &runs, store: &here.store };
        if let Err((promise, finding)) = self.checkers.see(&seen) {
            self.find(promise, finding);
        }
        outcome
    }

    /// A shard will hear what became of its write.
    fn decide(&mut self, cluster: usize, id: NodeId, transaction: TransactionId, outcome: CommitOutcome) {
        let here = &mut self.clusters[cluster];
        here.writing.remove(&(id, transaction));
        let delay = here.random.duration(self.plan.store.answer);
        self.after(delay, Event::Decided(id, transaction, outcome));
    }

    pub(super) fn on_decided(&mut self, id: NodeId, transaction: TransactionId, outcome: CommitOutcome) {
        let Some(node) = self.nodes.get(&id) else { return };
        let place = Place::Shard(node.cluster, node.shard.0);
        self.note(place, "decided", None, format_args!("{} {outcome:?}", transaction.0));
        self.tell(id, |core, now| core.handle_commit(now, transaction, outcome));
    }

    /// The process ends in the middle: of the group that waits for its sync, all is lost or some of it, or it was synced
    /// and nobody was told.
    pub(super) fn lose_unsynced(&mut self, cluster: usize) {
        let here = &mut self.clusters[cluster];
        let group = std::mem::take(&mut here.group);
        if group.is_empty() {
            return;
        }
        let kept = match here.random.below(4) {
            0 => group.len(),
            1 => here.random.index(group.len()),
            _ => 0,
        };
        if kept < group.len() {
            self.coverage.hit("fault: unsynced writes lost");
            let lost = group.len() - kept;
            self.note(Place::Cluster(cluster), "loses", None, format_args!("{lost} unsynced writes, and keeps {kept}"));
        }
        for (_, transaction) in group.into_iter().take(kept) {
            self.make_durable(cluster, &transaction);
        }
    }

    /// A shard wants something read.
    pub(super) fn read(&mut self, id: NodeId, load: LoadId, what: Load) {
        let Some(cluster) = self.nodes.get(&id).map(|node| node.cluster) else { return };
        if let Load::Backlog { .. } = what {
            self.coverage.hit("path: backlog read");
        }
        if let Load::PeerHistory { from, run, after, before } = what {
            return self.ask_peer_history(id, load, from, run, after, before);
        }
        let here = &mut self.clusters[cluster];
        let delay = here.random.duration(self.plan.store.read);
        let incarnation = here.incarnation;
        self.after(delay, Event::Read(cluster, incarnation, id, load, Box::new(what)));
    }

    pub(super) fn on_read(&mut self, cluster: usize, incarnation: u64, id: NodeId, load: LoadId, what: &Load) {
        if self.clusters[cluster].incarnation != incarnation {
            return;
        }
        let Some(shard) = self.nodes.get(&id).map(|node| node.shard) else { return };
        let here = &mut self.clusters[cluster];
        let fails = here.random.chance(self.plan.store.failed);
        // A read that fails may have failed on its way back: a shard may be taken without its taker knowing.
        let serves = !fails || here.random.chance(500_000);
        let loaded = serves.then(|| here.store.read(shard, what, self.plan.store.page));
        let loaded = loaded.filter(|_| !fails).unwrap_or_else(|| {
            self.coverage.hit("path: read failed");
            Loaded::Failed("simulated".into())
        });
        let here = &mut self.clusters[cluster];
        let delay = here.random.duration(self.plan.store.answer) + here.random.duration(self.plan.store.read);
        let place = Place::Shard(cluster, shard.0);
        self.note(place, "reads", None, format_args!("{} {what:?}", load.0));
        self.after(delay, Event::Loaded(id, load, Box::new(loaded)));
    }

    pub(super) fn on_loaded(&mut self, id: NodeId, load: LoadId, loaded: Loaded) {
        let Some(node) = self.nodes.get(&id) else { return };
        let place = Place::Shard(node.cluster, node.shard.0);
        self.note(place, "loaded", None, format_args!("{}", load.0));
        self.tell(id, |core, now| core.handle_loaded(now, load, loaded));
    }

    /// From now on stores do what they are told.
    pub(super) fn heal_stores(&mut self) {
        self.plan.store.unknown = 0;
        self.plan.store.failed = 0;
        for cluster in &mut self.clusters {
            cluster.stalled_until = self.now;
            cluster.full_until = self.now;
        }
    }
}

/// Nobody waits for the outcome of a write that was answered in doubt.
const LATE: NodeId = NodeId(0);

/// A transaction, in a few words.
struct Summary<'a>(&'a Transaction);

impl std::fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(transaction) = self;
        for batch in &transaction.history {
            let events = crate::program::events(&batch.events);
            let kinds: Vec<&str> = events.iter().map(|event| event.event_type().as_str_name()).collect();
            let kinds = kinds.join(" ").replace("EVENT_TYPE_", "").to_lowercase();
            let version = events.first().map_or(0, |event| event.version);
            write!(f, ", {}..{}@{version} {kinds}", batch.node, batch.next.0 - 1)?;
        }
        let (added, done) = (transaction.tasks.len(), transaction.completed.len());
        write!(f, ", +{added} -{done} tasks")?;
        let told = transaction.tasks.iter().filter(|task| task.kind.category() == Category::Replication);
        for (number, task) in told.enumerate() {
            write!(f, "{} {}", if number == 0 { ", tells" } else { "" }, task.key.id.0)?;
        }
        Ok(())
    }
}

/// The workflow that a transaction is about.
fn workflow_of(transaction: &Transaction) -> Option<WorkflowId> {
    transaction.runs.first().map(|write| write.run.workflow.workflow.clone())
}
