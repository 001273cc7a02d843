//! What a peer does not have: what would be lost if this cluster were lost now.

use alloc::collections::{BTreeMap, BTreeSet};

use super::{
    Shard,
    io::{BacklogTask, Limit},
};
use crate::{
    ids::{ClusterId, NamespaceId, TaskId, WorkflowKey},
    stream::Source,
    task::{ReplicationTask, TaskKind},
    time::Timestamp,
};

/// How far one peer is behind a shard.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// The peer.
    pub peer: ClusterId,
    /// Whether it takes what this shard tells.
    pub is_open: bool,
    /// It has everything up to and including this task, or it is none of its business.
    pub acked: TaskId,
    /// Of what it does not have, tasks up to and including this one are only in the store and not among `exposures`.
    pub stored: Option<TaskId>,
    /// No task has this id or a higher one.
    pub next: TaskId,
    /// What it does not have, whether or not it has the namespace.
    pub exposures: BTreeMap<NamespaceId, Exposure>,
    /// Whether it was away for longer than tasks are kept for it: what went is not among `exposures`.
    pub has_gap: bool,
    /// Namespaces of which it is being told everything. What it lacks of them is not known.
    pub seeding: BTreeSet<NamespaceId>,
    /// What has kept more from being sent to it, and since when.
    pub held_back: Option<(Limit, Timestamp)>,
}

impl Standing {
    /// Whether all that the peer does not have of what was told in the order of tasks is among `exposures`.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        self.stored.is_none() && !self.has_gap
    }
}

/// What was acknowledged to callers and a peer does not have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exposure {
    /// Tasks that tell of it.
    pub tasks: u64,
    /// Events.
    pub events: u64,
    /// Bytes of these events.
    pub bytes: u64,
    /// Workflows that they are about.
    pub workflows: BTreeSet<WorkflowKey>,
    /// When the oldest was written.
    pub since: Option<Timestamp>,
}

impl Exposure {
    /// Count something that was written and not told.
    pub fn add(&mut self, row: &BacklogTask) {
        let TaskKind::Replication(kind) = &row.task.kind else { return };
        let written = match kind {
            ReplicationTask::History(stretch) => {
                let batches = [Some(&stretch.batch), stretch.new_run.as_ref().map(|(_, batch)| batch)];
                let events = batches.into_iter().flatten().map(|batch| batch.next.0.abs_diff(batch.first.0));
                self.events += events.sum::<u64>();
                stretch.written
            }
            // No event tells of an attempt, nor of a deletion.
            ReplicationTask::SyncActivity { written, .. } | ReplicationTask::Deletion { written, .. } => *written,
        };
        self.tasks += 1;
        self.bytes += row.events.iter().chain(&row.new_run_events).map(|events| events.len() as u64).sum::<u64>();
        self.workflows.insert(row.task.run.workflow.clone());
        self.since = Some(self.since.map_or(written, |since| since.min(written)));
    }

    /// Count what another shard found.
    pub fn merge(&mut self, other: &Self) {
        self.tasks += other.tasks;
        self.events += other.events;
        self.bytes += other.bytes;
        self.workflows.extend(other.workflows.iter().cloned());
        self.since = self.since.into_iter().chain(other.since).min();
    }
}

impl Shard {
    /// How far each peer is behind, as far as memory tells.
    pub fn standings(&self) -> impl Iterator<Item = Standing> + '_ {
        let peers = self.topology.clusters().map(|(_, id)| id).filter(|id| *id != self.topology.current_id());
        peers.map(|peer| self.standing(peer))
    }

    fn standing(&self, peer: ClusterId) -> Standing {
        let streams = || self.sources.values().filter(|source| source.key.cluster == peer);
        let acked = streams().map(|source: &Source| source.acked).min().unwrap_or_default();
        let mut exposures: BTreeMap<NamespaceId, Exposure> = BTreeMap::new();
        for row in self.tail.newer(acked).filter(|row| row.task.is_for(peer)) {
            exposures.entry(row.task.run.workflow.namespace).or_default().add(row);
        }
        // What waits behind a started workflow task was acknowledged as well, and is told of only when the task ends.
        for (key, slot) in self.slots.iter().filter(|(key, _)| self.is_active(key.namespace)) {
            for event in slot.runs.values().flat_map(|run| &run.state.local.buffered) {
                let exposure = exposures.entry(key.namespace).or_default();
                exposure.events += 1;
                exposure.bytes += prost::Message::encoded_len(event) as u64;
                exposure.workflows.insert(key.clone());
            }
        }
        Standing {
            peer,
            is_open: streams().next().is_some() && streams().all(|source| source.is_open),
            acked,
            stored: (acked < self.tail.floor()).then_some(self.tail.floor()),
            next: self.drawn_end(),
            exposures,
            has_gap: streams().next().is_some() && acked < self.floor,
            seeding: self.seeding_to(peer).collect(),
            held_back: streams().filter_map(Source::held_back).min_by_key(|(_, since)| *since),
        }
    }
}
