//! Which task is told next: of the namespaces that have some, each in its turn.
//!
//! A queue holds tasks of all namespaces in one order. Told in that order, a quiet namespace waits for everything that a
//! loud one wrote before. Here each namespace has a lane, and lanes take turns, by bytes: of one namespace, and so of one
//! workflow, tasks stay in their order. What a lane cannot hold is read again when its turn has come, so the queue is
//! looked through to its end however much one namespace has in it.
//!
//! ```text
//!   queue     a1 a2 b1 a3 a4 a5 a6 b2 a7 │ not looked at
//!   lane a    a1 a2 a3 a4 … (the rest is read again after a4)
//!   lane b    b1 b2
//!   told      a1 b1 a2 b2 a3 …              everything below a2 was told: the watermark
//! ```

use alloc::collections::{BTreeMap, VecDeque};
use core::ops::Bound;

use super::tail::weight;
use crate::{
    ids::{NamespaceId, TaskId},
    shard::io::BacklogTask,
};

/// The tasks of one stream that were looked at and not sent.
#[derive(Debug, Default)]
pub struct Lanes {
    /// Lanes that hold something or have something to be read again.
    lanes: BTreeMap<Key, Lane>,
    /// The lane that was served last.
    last: Option<Key>,
    /// Every task up to and including this one was put into a lane, or was none of the peer's business.
    scanned: TaskId,
}

/// A namespace; `None`: all of them in one lane, for a peer that takes tasks in their order only.
pub type Key = Option<NamespaceId>;

#[derive(Debug, Default)]
struct Lane {
    /// Oldest first.
    rows: VecDeque<BacklogTask>,
    /// Bytes of `rows`.
    bytes: usize,
    /// Tasks behind this one, up to what was looked at, did not fit and are to be read again.
    spilled: Option<TaskId>,
    /// Bytes that it may still send in this turn.
    credit: usize,
}

impl Lanes {
    /// Nothing after `scanned` was looked at.
    #[must_use]
    pub fn starting_after(scanned: TaskId) -> Self {
        Self { scanned, ..Self::default() }
    }

    /// Everything up to and including this was looked at.
    #[must_use]
    pub fn scanned(&self) -> TaskId {
        self.scanned
    }

    /// A task that is for the peer, the next one that was looked at. `in_turns`: the peer takes tasks in another order.
    pub fn add(&mut self, row: BacklogTask, in_turns: bool) {
        self.scanned = self.scanned.max(row.task.key.id);
        // What was begun in one lane is finished in it.
        let key = Some(row.task.run.workflow.namespace).filter(|_| in_turns && !self.lanes.contains_key(&None));
        let lane = self.lanes.entry(key).or_default();
        if lane.spilled.is_some() {
            return;
        }
        match lane.rows.back().filter(|_| lane.is_full()) {
            Some(held) => lane.spilled = Some(held.task.key.id),
            None => lane.push(row),
        }
    }

    /// Tasks up to and including `last` were looked at.
    pub fn skip_to(&mut self, last: TaskId) {
        self.scanned = self.scanned.max(last);
    }

    /// The lane that has nothing left but what did not fit: which one, and behind which task that begins.
    #[must_use]
    pub fn starving(&self) -> Option<(Key, TaskId)> {
        let starving = |(id, lane): (&Key, &Lane)| Some((*id, lane.spilled.filter(|_| lane.rows.is_empty())?));
        self.lanes.iter().find_map(starving)
    }

    /// Tasks behind what a starving lane had were read again, up to and including `last`: its own among those of others.
    pub fn refill(&mut self, key: Key, rows: impl IntoIterator<Item = BacklogTask>, last: TaskId) {
        let scanned = self.scanned;
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let Some(after) = lane.spilled.take() else { return };
        let is_own = |row: &BacklogTask| key.is_none_or(|namespace| row.task.run.workflow.namespace == namespace);
        let is_behind = |row: &BacklogTask| after < row.task.key.id && row.task.key.id <= scanned;
        let mut end = last.min(scanned).max(after);
        for row in rows.into_iter().filter(|row| is_own(row) && is_behind(row)) {
            if lane.is_full() {
                end = TaskId(row.task.key.id.0 - 1);
                break;
            }
            lane.push(row);
        }
        lane.spilled = (end < scanned).then_some(end);
        self.forget_empty(key);
    }

    /// The next task to be told.
    pub fn take_next(&mut self) -> Option<BacklogTask> {
        let key = self.turn()?;
        let lane = self.lanes.get_mut(&key)?;
        let row = lane.rows.pop_front()?;
        lane.bytes -= weight(&row);
        lane.credit = lane.credit.saturating_sub(weight(&row));
        self.forget_empty(key);
        Some(row)
    }

    fn forget_empty(&mut self, key: Key) {
        if self.lanes.get(&key).is_some_and(|lane| lane.rows.is_empty() && lane.spilled.is_none()) {
            self.lanes.remove(&key);
        }
    }

    /// Whose turn it is: of the one that was served last while it has credit, else of the next that has something.
    fn turn(&mut self) -> Option<Key> {
        let has_rows = |(_, lane): &(&Key, &Lane)| !lane.rows.is_empty();
        if let Some(last) = self.last
            && self.lanes.get(&last).is_some_and(|lane| lane.credit > 0 && !lane.rows.is_empty())
        {
            return Some(last);
        }
        let after = self.last.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = self.lanes.range((after, Bound::Unbounded)).find(has_rows);
        let next = *behind.or_else(|| self.lanes.iter().find(has_rows))?.0;
        self.lanes.get_mut(&next)?.credit = TURN;
        self.last = Some(next);
        Some(next)
    }

    /// Everything up to and including this one was sent, or was none of the peer's business.
    #[must_use]
    pub fn sent(&self) -> TaskId {
        let first = |lane: &Lane| match lane.rows.front() {
            Some(row) => Some(TaskId(row.task.key.id.0 - 1)),
            None => lane.spilled,
        };
        self.lanes.values().filter_map(first).min().map_or(self.scanned, |sent| sent.min(self.scanned))
    }

    /// Whether more tasks may be looked at: what lanes hold is bounded.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.lanes.values().map(|lane| lane.rows.len()).sum::<usize>() < ALL_LANES
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }
}

impl Lane {
    fn push(&mut self, row: BacklogTask) {
        self.bytes += weight(&row);
        self.rows.push_back(row);
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= LANE || self.bytes >= LANE_BYTES
    }
}

/// Tasks that a lane holds, and what they may weigh but for the last one. A frame of each of a few namespaces fits.
const LANE: usize = 256;
const LANE_BYTES: usize = 1 << 20;
/// Tasks that all lanes hold, about.
const ALL_LANES: usize = 4096;
/// Bytes that a lane sends in its turn: some dozens of ordinary tasks.
const TURN: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use std::{format, string::String, vec::Vec};

    use bytes::Bytes;

    use super::*;
    use crate::{
        ids::{EventId, RunId, RunKey, WorkflowKey},
        task::{HistoryTask, ReplicationTask, TaskKey, TaskKind},
        time::Timestamp,
        version::FailoverVersion,
    };

    /// A task of a namespace that is named by a letter.
    fn row(namespace: char, id: i64, bytes: usize) -> BacklogTask {
        let workflow = WorkflowKey { namespace: NamespaceId::from_bytes([namespace as u8; 16]), workflow: "w".into() };
        let run = RunKey { workflow, run: RunId::from_bytes([1; 16]) };
        let kind = ReplicationTask::SyncActivity {
            written: Timestamp::ZERO,
            scheduled: EventId(1),
            attributes: Bytes::new(),
            to: None,
        };
        let key = TaskKey { fire_time: Timestamp::ZERO, id: TaskId(id) };
        let task = HistoryTask { key, run, version: FailoverVersion(1), kind: TaskKind::Replication(kind) };
        BacklogTask { task, events: [Bytes::from(std::vec![0; bytes])].into(), new_run_events: None }
    }

    fn name(row: &BacklogTask) -> String {
        format!("{}{}", char::from(row.task.run.workflow.namespace.as_bytes()[0]), row.task.key.id.0)
    }

    fn all(lanes: &mut Lanes) -> String {
        core::iter::from_fn(|| lanes.take_next()).map(|row| name(&row)).collect::<Vec<_>>().join(" ")
    }

    /// Tasks that fill a turn each.
    fn queue(text: &str) -> Vec<BacklogTask> {
        (1..).zip(text.chars()).map(|(id, namespace)| row(namespace, id, TURN)).collect()
    }

    #[test]
    fn namespaces_take_turns_and_each_keeps_its_order() {
        check("aaaabb", true, "a1 b5 a2 b6 a3 a4");
        check("abcabc", true, "a1 b2 c3 a4 b5 c6");
        check("aaaabb", false, "a1 a2 a3 a4 b5 b6");
    }

    #[track_caller]
    fn check(text: &str, in_turns: bool, expected: &str) {
        let mut lanes = Lanes::default();
        queue(text).into_iter().for_each(|row| lanes.add(row, in_turns));
        assert_eq!(all(&mut lanes), expected);
        assert!(lanes.is_empty());
        assert_eq!(lanes.sent(), TaskId(6));
    }

    #[test]
    fn the_watermark_is_below_the_first_that_was_not_sent() {
        let mut lanes = Lanes::starting_after(TaskId(0));
        queue("aab").into_iter().for_each(|row| lanes.add(row, true));
        lanes.skip_to(TaskId(9));
        let sent: Vec<i64> = (0..4).map(|_| (lanes.sent().0, lanes.take_next()).0).collect();
        assert_eq!(sent, [0, 1, 1, 9]);
    }

    #[test]
    fn a_loud_namespace_spills_and_a_quiet_one_is_reached() {
        let loud: Vec<BacklogTask> = (1..=1000).map(|id| row('a', id, 1)).collect();
        let mut lanes = Lanes::default();
        loud.iter().cloned().for_each(|row| lanes.add(row, true));
        lanes.add(row('b', 1001, 1), true);
        assert!(lanes.has_room());
        let mut told = Vec::new();
        loop {
            while let Some(row) = lanes.take_next() {
                told.push(name(&row));
            }
            let Some((key, after)) = lanes.starving() else { break };
            assert_eq!(lanes.sent(), after);
            // Pages, as a store gives them.
            let page: Vec<_> = loud.iter().filter(|row| row.task.key.id > after).take(300).cloned().collect();
            let last = if page.len() < 300 { TaskId(1001) } else { page[299].task.key.id };
            lanes.refill(key, page, last);
        }
        assert!(told.iter().position(|name| name == "b1001").expect("it was told") < LANE + 1);
        let of_a: Vec<_> = told.iter().filter(|name| name.starts_with('a')).cloned().collect();
        assert_eq!(of_a, (1..=1000).map(|id| format!("a{id}")).collect::<Vec<_>>());
        assert_eq!(lanes.sent(), TaskId(1001));
    }
}
