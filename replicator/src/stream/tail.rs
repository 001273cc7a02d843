//! The newest replication tasks with their events, kept in memory so that what was just written is not read again.

use alloc::{collections::BTreeMap, vec::Vec};

use bytes::Bytes;

use crate::{
    defects::{Defect, planted},
    ids::TaskId,
    shard::io::BacklogTask,
    task::{HistoryTask, ReplicationTask, TaskKind},
};

/// The end of the shard's replication queue.
#[derive(Debug, Default)]
pub struct Tail {
    rows: BTreeMap<TaskId, BacklogTask>,
    /// Bytes of events in `rows`.
    size: usize,
    /// Every task with a higher id is in `rows`; those up to it are only in the store.
    floor: TaskId,
    /// What `size` may be, if it may not be what it usually may.
    limit: Option<usize>,
}

impl Tail {
    /// A queue of which everything up to `floor` is only in the store, and which may be as large as this one.
    #[must_use]
    pub fn again_after(&self, floor: TaskId) -> Self {
        Self { floor, limit: self.limit, ..Self::default() }
    }

    /// Keep at most so many bytes from now on, and never more than [`MAX_BYTES`].
    pub fn limit(&mut self, bytes: usize) {
        self.limit = Some(bytes);
    }

    /// A task became durable. Transactions commit in any order, so it may come before others.
    pub fn add(&mut self, row: BacklogTask) {
        if row.task.key.id <= self.floor {
            return;
        }
        self.size += weight(&row);
        self.rows.insert(row.task.key.id, row);
        let limit = self.limit.unwrap_or(MAX_BYTES).min(MAX_BYTES);
        while self.size > limit || self.rows.len() > MAX_ROWS {
            let Some((id, row)) = self.rows.pop_first() else { break };
            self.size -= weight(&row);
            self.floor = id;
        }
    }

    /// Tasks up to and including `id` will not be asked for again.
    pub fn forget(&mut self, id: TaskId) {
        while let Some(entry) = self.rows.first_entry() {
            if *entry.key() > id {
                break;
            }
            self.size -= weight(&entry.remove());
        }
        self.floor = self.floor.max(id);
    }

    /// Tasks after `after` and below `end`, oldest first; `None` when some of them are only in the store.
    #[must_use]
    pub fn after(&self, after: TaskId, end: TaskId) -> Option<impl Iterator<Item = &BacklogTask>> {
        let is_here = after >= self.floor || planted(Defect::StoreIsNotAsked);
        (is_here && after.0 < end.0).then(|| {
            self.rows.range((core::ops::Bound::Excluded(after), core::ops::Bound::Excluded(end))).map(|(_, row)| row)
        })
    }

    /// Tasks after `after` as far as they are in memory, whether or not they can be told yet; oldest first.
    pub fn newer(&self, after: TaskId) -> impl Iterator<Item = &BacklogTask> {
        self.rows.range((core::ops::Bound::Excluded(after), core::ops::Bound::Unbounded)).map(|(_, row)| row)
    }

    /// Everything up to here is only in the store.
    #[must_use]
    pub fn floor(&self) -> TaskId {
        self.floor
    }

    /// Tasks in memory.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether none is in memory.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// Join a replication task with the batches that the same transaction wrote.
#[must_use]
pub fn with_events(task: HistoryTask, written: &[crate::shard::io::HistoryWrite]) -> BacklogTask {
    let mut events = Vec::new();
    let mut new_run_events = None;
    if let TaskKind::Replication(ReplicationTask::History(stretch)) = &task.kind {
        let batch = |branch, first, next| {
            let wanted = move |write: &&crate::shard::io::HistoryWrite| {
                write.branch == branch && first <= write.node && write.node < next
            };
            written.iter().filter(wanted).map(|write| write.events.clone())
        };
        events = batch(stretch.batch.branch.id, stretch.batch.first, stretch.batch.next).collect();
        if let Some((_, new)) = &stretch.new_run {
            new_run_events = batch(new.branch.id, new.first, new.next).next();
        }
    }
    BacklogTask { task, events, new_run_events }
}

/// What a row costs in memory, and about what it costs in the store.
#[must_use]
pub fn weight(row: &BacklogTask) -> usize {
    let events: usize = row.events.iter().chain(&row.new_run_events).map(Bytes::len).sum();
    events + ROW_BYTES
}

/// Enough for a second of heavy load; a peer that is further behind reads from the store.
const MAX_BYTES: usize = 8 << 20;
/// Bounds what rows without events cost.
const MAX_ROWS: usize = 16 << 10;
/// What a row costs beside its events.
const ROW_BYTES: usize = 256;
