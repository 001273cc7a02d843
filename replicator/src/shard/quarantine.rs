//! Peers' tasks that could not be applied: kept in the store, tried again, and never in the way of anybody else.
//!
//! A task that cannot be applied waits here, and everything that is told of its run afterwards waits behind it, in order.
//! Being kept is durable, so the stream goes on and its watermark passes. The first task of each run is tried again after
//! a while, longer each time; when it can be applied, those behind it follow at once. An operator may have a run tried
//! now, or let a task go.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    string::{String, ToString},
    vec,
    vec::Vec,
};
use core::time::Duration;

use prost::Message;
use proto::temporal::server::api::replication::v1::ReplicationTask;

use super::{
    Shard,
    flight::InFlight,
    io::{
        Failure, Output, QuarantinedTask, Report, RequestId, Response, StreamKey, StreamRole, Transaction,
        TransactionId,
    },
    loading::RETRY,
    ownership::Ownership,
    work::{How, Told, Work},
};
use crate::{
    ids::{NamespaceId, RunId, RunKey, TaskId, WorkflowKey},
    stream::Incoming,
    task::{Category, HistoryTask, Quarantined, TaskKey, TaskKind},
    time::Timestamp,
    version::FailoverVersion,
};

/// What is kept, by run.
#[derive(Debug, Default)]
pub(super) struct Quarantine {
    runs: BTreeMap<RunKey, Held>,
    /// The run of each task.
    places: BTreeMap<TaskKey, RunKey>,
    /// Tasks that are being written, or removed.
    writing: BTreeSet<TaskKey>,
    /// Tasks whose write failed, oldest first.
    unwritten: Vec<Refused>,
    /// When to try those.
    again: Timestamp,
}

/// A peer's task that cannot be applied.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refused {
    /// Where it was told.
    pub(super) stream: StreamKey,
    /// Its id there.
    pub(super) source: TaskId,
    /// Its run.
    pub(super) run: RunKey,
    /// The task.
    pub(super) task: Box<ReplicationTask>,
    /// Why it cannot be applied; empty when it waits behind another.
    pub(super) reason: String,
}

/// What is kept of one run.
#[derive(Debug)]
struct Held {
    /// In the order in which it was told. Never empty.
    tasks: BTreeMap<TaskKey, Quarantined>,
    /// When the first is tried again.
    due: Timestamp,
    /// How long to wait after that.
    backoff: Duration,
    /// How often it was tried.
    tries: u32,
}

impl Quarantine {
    /// A task rests in the store, or is about to.
    fn add(&mut self, now: Timestamp, task: HistoryTask) {
        let TaskKind::Quarantined(told) = task.kind else { return };
        let fresh = || Held { tasks: BTreeMap::new(), due: now + SHORTEST, backoff: SHORTEST, tries: 0 };
        let held = self.runs.entry(task.run.clone()).or_insert_with(fresh);
        held.tasks.insert(task.key, *told);
        self.places.insert(task.key, task.run);
    }

    /// A task is gone from the store. Those behind it are tried at once.
    fn remove(&mut self, now: Timestamp, key: TaskKey) -> Option<(RunKey, Quarantined)> {
        let run = self.places.remove(&key)?;
        self.writing.remove(&key);
        let held = self.runs.get_mut(&run)?;
        let task = held.tasks.remove(&key)?;
        (held.due, held.backoff, held.tries) = (now, SHORTEST, 0);
        if held.tasks.is_empty() {
            self.runs.remove(&run);
        }
        Some((run, task))
    }

    /// It was tried again, and this is why it still cannot be applied.
    pub(super) fn note(&mut self, key: TaskKey, reason: String) {
        let held = self.places.get(&key).and_then(|run| self.runs.get_mut(run));
        if let Some(task) = held.and_then(|held| held.tasks.get_mut(&key)) {
            task.reason = reason;
        }
    }

    /// Whether what is told of the run has to wait.
    pub(super) fn holds(&self, run: &RunKey) -> bool {
        self.runs.contains_key(run)
    }

    /// Runs of a workflow of which something is kept that was tried a few times only, for two minutes at most. What is kept for
    /// longer waits for an operator, and nothing else for it.
    pub(super) fn settling(&self, workflow: &WorkflowKey) -> BTreeSet<RunId> {
        let first = RunKey { workflow: workflow.clone(), run: RunId::from_bytes([0; 16]) };
        let held = self.runs.range(first..).take_while(|(run, _)| run.workflow == *workflow);
        let held = held.filter(|(_, held)| held.tries <= SETTLING).map(|(run, _)| run.run);
        let unwritten = self.unwritten.iter().map(|refused| &refused.run).filter(|run| run.workflow == *workflow);
        held.chain(unwritten.map(|run| run.run)).collect()
    }

    /// Whether what is told of some run of the namespace has to wait.
    pub(super) fn holds_in(&self, namespace: NamespaceId) -> bool {
        let workflow = WorkflowKey { namespace, workflow: "".into() };
        let first = RunKey { workflow, run: RunId::from_bytes([0; 16]) };
        self.runs.range(first..).next().is_some_and(|(run, _)| run.workflow.namespace == namespace)
    }

    /// Whether a task is kept, and neither it nor its end is on the way to the store.
    pub(super) fn is_at_rest(&self, key: TaskKey) -> bool {
        self.places.contains_key(&key) && !self.writing.contains(&key)
    }

    /// Whether something was kept and is not any more, or is about to leave.
    pub(super) fn was_let_go(&self, how: &How) -> bool {
        matches!(how, How::Kept(key) if !self.is_at_rest(*key))
    }

    /// Whether this very task is kept already, because the stream that told it began anew.
    fn has(&self, refused: &Refused) -> bool {
        let named = (refused.stream.cluster, refused.stream.shard, refused.source);
        let is_same = |kept: &Quarantined| (kept.cluster, kept.shard, kept.source) == named;
        self.runs.get(&refused.run).is_some_and(|held| held.tasks.values().any(is_same))
    }

    /// When something is to be tried again.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        let unwritten = (!self.unwritten.is_empty()).then_some(self.again);
        self.runs.values().map(|held| held.due).chain(unwritten).min()
    }

    /// The first tasks of runs whose time has come. They come again later, and later each time.
    fn take_due(&mut self, now: Timestamp) -> Vec<(RunKey, TaskKey, Quarantined)> {
        let mut due = Vec::new();
        for (run, held) in self.runs.iter_mut().filter(|(_, held)| held.due <= now) {
            if held.tasks.first_key_value().is_some_and(|(key, _)| self.writing.contains(key)) {
                held.due = now + SHORTEST;
                continue;
            }
            held.tries = held.tries.saturating_add(1);
            held.due = now + held.backoff;
            held.backoff = (held.backoff * 2).min(LONGEST);
            due.extend(held.tasks.first_key_value().map(|(key, task)| (run.clone(), *key, task.clone())));
        }
        due
    }

    /// Forget what rests in the store, because it is about to be read again.
    pub(super) fn clear(&mut self) {
        *self = Self { unwritten: core::mem::take(&mut self.unwritten), ..Self::default() };
    }
}

impl Shard {
    /// What is kept because it could not be applied, in the order in which it was told, run by run.
    pub fn quarantined(&self) -> impl Iterator<Item = QuarantinedTask> + '_ {
        self.quarantine.runs.iter().flat_map(|(run, held)| {
            held.tasks.iter().enumerate().map(move |(index, (key, task))| QuarantinedTask {
                run: run.clone(),
                task: key.id,
                from: StreamKey { cluster: task.cluster, shard: task.shard, role: StreamRole::Target },
                source: task.source,
                told: task.told.clone(),
                reason: task.reason.clone(),
                since: task.since,
                tries: if index == 0 { held.tries } else { 0 },
            })
        })
    }

    /// Try a task again now. Answers whether it is the first of its run: the others wait behind that.
    pub fn retry_quarantined(&mut self, now: Timestamp, task: TaskId) -> bool {
        let key = kept_key(task);
        let run = self.quarantine.places.get(&key);
        let Some(held) = run.and_then(|run| self.quarantine.runs.get_mut(run)) else { return false };
        if held.tasks.first_key_value().is_none_or(|(first, _)| *first != key) {
            return false;
        }
        (held.due, held.backoff) = (now, SHORTEST);
        self.retry_kept(now);
        true
    }

    /// Let tasks go without applying them, all in one write; what waited behind them is tried then. The reply, which comes
    /// when they are gone, names those that were there.
    pub fn skip_quarantined(&mut self, id: RequestId, tasks: &[TaskId]) {
        if !self.is_ready() {
            let failure = Failure::Unavailable("the shard is being taken over; try again".into());
            return self.outbox.push(Output::Reply(id, Box::new(Err(failure))));
        }
        let named: BTreeSet<TaskKey> = tasks.iter().map(|task| kept_key(*task)).collect();
        let found: Vec<TaskKey> = named.into_iter().filter(|key| self.quarantine.is_at_rest(*key)).collect();
        let reply = Response::Skipped(found.iter().map(|key| key.id).collect());
        let reply = Output::Reply(id, Box::new(Ok(reply)));
        match self.drop_all_kept(found) {
            Some(transaction) => self.outbox.push_after(transaction, reply),
            None => self.outbox.push(reply),
        }
    }

    /// A task cannot be applied: keep it. What is told of its run from here on waits behind it.
    pub(super) fn quarantine(&mut self, now: Timestamp, refused: Refused) {
        if self.quarantine.has(&refused) {
            return self.on_applied(now, &[(refused.stream, refused.source)]);
        }
        if !self.is_ready() {
            return self.quarantine.unwritten.push(refused);
        }
        let Ownership::Owned { range, ids, .. } = &mut self.ownership else { return };
        let range = *range;
        let kept = Quarantined {
            cluster: refused.stream.cluster,
            shard: refused.stream.shard,
            source: refused.source,
            told: refused.task.encode_to_vec().into(),
            reason: refused.reason.clone(),
            since: now,
        };
        let task = HistoryTask {
            key: TaskKey { fire_time: Timestamp::ZERO, id: ids.next() },
            run: refused.run.clone(),
            version: FailoverVersion::EMPTY,
            kind: TaskKind::Quarantined(Box::new(kept)),
        };
        self.quarantine.add(now, task.clone());
        self.quarantine.writing.insert(task.key);
        let transaction =
            Transaction { tasks: vec![task.clone()], ..Transaction::of(self.next_transaction(), self.id, range) };
        let flight = InFlight {
            lowest: TaskId(i64::MAX),
            tasks: vec![task],
            applied: vec![(refused.stream, refused.source)],
            refused: Some(refused),
            ..InFlight::default()
        };
        self.in_flight.insert(transaction.id, flight);
        self.outbox.begin(transaction.id, Output::Commit(Box::new(transaction)));
    }

    /// A task that was kept is of no use.
    pub(super) fn drop_kept(&mut self, key: TaskKey) {
        self.drop_all_kept(vec![key]);
    }

    /// Remove tasks that were kept, in one write; none of them is tried meanwhile.
    fn drop_all_kept(&mut self, keys: Vec<TaskKey>) -> Option<TransactionId> {
        let Ownership::Owned { range, .. } = &self.ownership else { return None };
        let range = *range;
        if keys.is_empty() {
            return None;
        }
        let completed: Vec<_> = keys.iter().map(|key| (Category::Quarantine, *key)).collect();
        self.quarantine.writing.extend(keys);
        let transaction =
            Transaction { completed: completed.clone(), ..Transaction::of(self.next_transaction(), self.id, range) };
        let id = transaction.id;
        let flight = InFlight { lowest: TaskId(i64::MAX), completed, ..InFlight::default() };
        self.in_flight.insert(id, flight);
        self.outbox.begin(id, Output::Commit(Box::new(transaction)));
        Some(id)
    }

    /// Try what is due again, and write what could not be written.
    pub(super) fn retry_kept(&mut self, now: Timestamp) {
        if self.quarantine.again <= now {
            for refused in core::mem::take(&mut self.quarantine.unwritten) {
                self.quarantine(now, refused);
            }
        }
        for (run, key, kept) in self.quarantine.take_due(now) {
            // What this release cannot read may be for the next one.
            let Ok(task) = ReplicationTask::decode(kept.told) else { continue };
            let Ok(incoming) = Incoming::parse(&task) else { continue };
            if !self.namespaces.contains_key(&run.workflow.namespace) {
                continue;
            }
            let stream = StreamKey { cluster: kept.cluster, shard: kept.shard, role: StreamRole::Target };
            self.park(now, run.workflow, Work::Incoming(Box::new(Told { stream, incoming, how: How::Kept(key) })));
        }
    }

    /// A task rests in the store.
    pub(super) fn on_kept(&mut self, task: HistoryTask) {
        let TaskKind::Quarantined(kept) = task.kind else { return };
        self.quarantine.writing.remove(&task.key);
        let waits = || "it waits behind another task of its run".to_string();
        let reason = if kept.reason.is_empty() { waits() } else { kept.reason };
        let run = (task.run != unknown_run()).then_some(task.run);
        self.report(Report::Refused { from: kept.cluster, task: kept.source, run, reason });
    }

    /// A task could not be written.
    pub(super) fn on_not_kept(&mut self, now: Timestamp, tasks: &[HistoryTask], refused: Refused) {
        for task in tasks {
            self.quarantine.remove(now, task.key);
        }
        self.quarantine.unwritten.push(refused);
        self.quarantine.again = now + RETRY;
    }

    /// Tasks could not be removed: they are still there.
    pub(super) fn on_not_dropped(&mut self, completed: &[(Category, TaskKey)]) {
        for (_, key) in completed.iter().filter(|(category, _)| *category == Category::Quarantine) {
            self.quarantine.writing.remove(key);
        }
    }

    /// A task is gone from the store: it was applied after all, or an operator let it go.
    pub(super) fn on_released(&mut self, now: Timestamp, key: TaskKey) {
        if let Some((run, kept)) = self.quarantine.remove(now, key) {
            self.report(Report::Released { from: kept.cluster, task: kept.source, run });
            self.retry_kept(now);
            self.end_recoveries(now);
        }
    }

    /// A task was read back.
    pub(super) fn restore_kept(&mut self, now: Timestamp, task: HistoryTask) {
        self.quarantine.add(now, task);
    }
}

/// The place of a task in the queue.
fn kept_key(task: TaskId) -> TaskKey {
    TaskKey { fire_time: Timestamp::ZERO, id: task }
}

/// The run of tasks that name none.
pub(super) fn unknown_run() -> RunKey {
    let workflow = WorkflowKey { namespace: NamespaceId::from_bytes([0; 16]), workflow: "".into() };
    RunKey { workflow, run: RunId::from_bytes([0; 16]) }
}

/// A cause that goes away by itself is mostly gone by then.
const SHORTEST: Duration = Duration::from_secs(1);
/// After a second, two, four and so on the last of these is after a minute, and the next one would be after two.
const SETTLING: u32 = 6;
/// Whoever repaired something does not wait longer than this, should he forget to say so.
const LONGEST: Duration = Duration::from_secs(300);
