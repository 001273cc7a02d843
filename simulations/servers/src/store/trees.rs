//! Histories: trees of branches of batches, read as the store contract says.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use replicator::{
    history::Branch,
    ids::{BranchId, EventId, RunId, TaskId, WorkflowKey},
    shard::io::HistoryWrite,
};
use store::{HistoryError, HistoryPage, Node, StoredBatch};

/// All trees of a cluster.
#[derive(Debug, Default)]
pub(super) struct Trees(BTreeMap<(WorkflowKey, RunId), Tree>);

#[derive(Debug, Default)]
struct Tree {
    /// Batches of each branch, by their first event and the transaction that wrote them.
    branches: BTreeMap<BranchId, BTreeMap<(EventId, TaskId), Batch>>,
    /// Branches that belong to no run any more, of which others still read a part.
    dropped: BTreeSet<BranchId>,
}

#[derive(Clone, Debug)]
struct Batch {
    next: EventId,
    previous: TaskId,
    events: Bytes,
}

/// What a page may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) events: usize,
    pub(super) bytes: usize,
}

impl Room {
    /// As many events, and no more bytes than go into a message.
    pub(super) fn of(events: usize) -> Self {
        Self { events, bytes: PAGE_BYTES }
    }
}

impl Trees {
    /// Keep a batch.
    pub(super) fn write(&mut self, workflow: &WorkflowKey, write: &HistoryWrite) {
        let HistoryWrite { tree, branch, node, next, transaction, previous, events } = write.clone();
        let tree = self.0.entry((workflow.clone(), tree)).or_default();
        tree.branches.entry(branch).or_default().insert((node, transaction), Batch { next, previous, events });
    }

    /// A run is written that was not there: its tree is its own again.
    pub(super) fn adopt(&mut self, workflow: &WorkflowKey, run: RunId) {
        if let Some(tree) = self.0.get_mut(&(workflow.clone(), run)) {
            tree.dropped.clear();
        }
    }

    /// A run is gone, and these branches with it, but for what other branches read.
    pub(super) fn delete(&mut self, workflow: &WorkflowKey, run: RunId, branches: &[Branch]) {
        let named: BTreeSet<RunId> = branches.iter().map(|branch| branch.tree).chain([run]).collect();
        for id in named {
            let key = (workflow.clone(), id);
            let Some(tree) = self.0.get_mut(&key) else { continue };
            let of_tree = branches.iter().filter(|branch| branch.tree == id);
            tree.dropped.extend(of_tree.map(|branch| branch.id).filter(|branch| tree.branches.contains_key(branch)));
            tree.prune();
            if tree.branches.is_empty() {
                self.0.remove(&key);
            }
        }
    }

    /// Batches from the one that holds `first` to before `end`, oldest first.
    pub(super) fn read(
        &self,
        workflow: &WorkflowKey,
        branch: &Branch,
        first: EventId,
        end: EventId,
        room: Room,
    ) -> Result<HistoryPage, HistoryError> {
        let tree = self.0.get(&(workflow.clone(), branch.tree)).ok_or(HistoryError::NotFound)?;
        let mut page = Page::new(room);
        let (mut expected, mut last) = (first, None);
        for range in branch.ranges(first, end) {
            let Some(batches) = tree.branches.get(&range.branch) else { continue };
            let mut from = (range.begin, LOWEST);
            while let Some(((node, _), _)) = batches.range(from..(range.end, LOWEST)).next() {
                from = (EventId(node.0 + 1), LOWEST);
                // Of what was written at one place the last counts that follows what counted before it (BR-5, BR-6).
                let follows = |id: &TaskId, batch: &Batch| {
                    last.is_none_or(|last| last < *id && (batch.previous == TaskId(0) || batch.previous == last))
                };
                let mut here = batches.range((*node, LOWEST)..=(*node, HIGHEST)).rev();
                let Some(((node, id), batch)) = here.find(|((_, id), batch)| follows(id, batch)) else { continue };
                if *node != expected {
                    return Err(missing(expected, *node));
                }
                if !page.add(*node, batch) {
                    return Ok(page.ends_before(expected));
                }
                (expected, last) = (batch.next, Some(*id));
            }
        }
        page.done()
    }

    /// Batches that begin in `first` to before `end`, youngest first.
    pub(super) fn read_reverse(
        &self,
        workflow: &WorkflowKey,
        branch: &Branch,
        first: EventId,
        end: EventId,
        room: Room,
    ) -> Result<HistoryPage, HistoryError> {
        let tree = self.0.get(&(workflow.clone(), branch.tree)).ok_or(HistoryError::NotFound)?;
        let mut page = Page::new(room);
        // The batch that was taken last: its first event, its transaction, and the one before that.
        let mut after: Option<(EventId, TaskId, TaskId)> = None;
        let ranges: Vec<_> = branch.ranges(first, end).collect();
        for range in ranges.into_iter().rev() {
            let Some(batches) = tree.branches.get(&range.branch) else { continue };
            for ((node, id), batch) in batches.range((range.begin, LOWEST)..(range.end, LOWEST)).rev() {
                match after {
                    None if end != EventId(i64::MAX) && batch.next != end => continue,
                    None => {}
                    Some((begin, transaction, previous)) => {
                        let is_told = if previous == TaskId(0) { batch.next == begin } else { *id == previous };
                        if *node == begin || *id >= transaction || !is_told {
                            continue;
                        }
                        if batch.next != begin {
                            return Err(missing(batch.next, begin));
                        }
                    }
                }
                if !page.add(*node, batch) {
                    return Ok(page.ends_before(after.map_or(end, |(begin, ..)| begin)));
                }
                after = Some((*node, *id, batch.previous));
            }
        }
        match after {
            Some((oldest, ..)) if oldest != first => Err(missing(first, oldest)),
            _ => page.done(),
        }
    }
}

impl Tree {
    /// Let go of what nobody reads: of a dropped branch, everything from where the last branch that stays forks off.
    fn prune(&mut self) {
        let begin =
            |batches: &BTreeMap<(EventId, TaskId), Batch>| batches.first_key_value().map(|((node, _), _)| *node);
        let staying = self.branches.iter().filter(|(id, _)| !self.dropped.contains(id));
        let mut forks: Vec<EventId> = staying.filter_map(|(_, batches)| begin(batches)).collect();
        let mut kept: BTreeMap<BranchId, EventId> = BTreeMap::new();
        // A write does not say what its branch forked from; but forks lie where batches end.
        while let Some(fork) = forks.pop() {
            for id in &self.dropped {
                let Some(batches) = self.branches.get(id) else { continue };
                if !batches.values().any(|batch| batch.next == fork) {
                    continue;
                }
                let before = kept.get(id).copied();
                kept.insert(*id, before.map_or(fork, |before| before.max(fork)));
                // What is kept of this one may read another.
                if before.is_none() {
                    forks.extend(begin(batches));
                }
            }
        }
        for id in std::mem::take(&mut self.dropped) {
            match (kept.get(&id), self.branches.get_mut(&id)) {
                (Some(fork), Some(batches)) => {
                    batches.retain(|(node, _), _| node < fork);
                    self.dropped.insert(id);
                }
                _ => drop(self.branches.remove(&id)),
            }
        }
    }
}

/// A page in the making.
struct Page {
    batches: Vec<StoredBatch>,
    room: Room,
}

impl Page {
    fn new(room: Room) -> Self {
        Self { batches: Vec::new(), room }
    }

    /// Add a batch, the first in any case. Whether there was room.
    fn add(&mut self, first: EventId, batch: &Batch) -> bool {
        let events = usize::try_from(batch.next.0 - first.0).unwrap_or(usize::MAX);
        let fits = events <= self.room.events && batch.events.len() <= self.room.bytes;
        if !fits && !self.batches.is_empty() {
            return false;
        }
        self.room.events = self.room.events.saturating_sub(events);
        self.room.bytes = self.room.bytes.saturating_sub(batch.events.len());
        self.batches.push(StoredBatch { node: Node { first, next: batch.next }, events: batch.events.clone() });
        true
    }

    fn ends_before(self, next: EventId) -> HistoryPage {
        HistoryPage { batches: self.batches, next: Some(next) }
    }

    fn done(self) -> Result<HistoryPage, HistoryError> {
        if self.batches.is_empty() {
            return Err(HistoryError::NotFound);
        }
        Ok(HistoryPage { batches: self.batches, next: None })
    }
}

fn missing(from: EventId, to: EventId) -> HistoryError {
    HistoryError::DataLoss(format!("events from {from} to before {to} are missing"))
}

const LOWEST: TaskId = TaskId(i64::MIN);
const HIGHEST: TaskId = TaskId(i64::MAX);

/// Bytes of a page, unless its first batch alone has more.
const PAGE_BYTES: usize = 3 << 20;
