//! Writes under way, and what their outcome means.

use alloc::{boxed::Box, vec::Vec};

use super::{
    Shard,
    handover::Drain,
    io::{Failure, Output, Report, StreamKey, TransactionId},
    loading::RETRY,
    ownership::Ownership,
    quarantine::Refused,
    slot::Phase,
    streams::RECORD_AFTER,
    work::Work,
};
use crate::{
    defects::{Defect, planted},
    ids::{RunKey, TaskId, WorkflowKey},
    shard::io::BacklogTask,
    stream::tail,
    task::{Category, HistoryTask, TaskKey, TaskKind, TransferTask},
    time::Timestamp,
};

/// A write under way.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    /// The slot that waits for it, if it is about a workflow.
    pub(super) workflow: Option<WorkflowKey>,
    /// No id that it draws is lower.
    pub(super) lowest: TaskId,
    /// Tasks that will wait once it is durable.
    pub(super) tasks: Vec<HistoryTask>,
    /// Whether the namespace was active elsewhere when it was decided: what it adds for workers was not offered then.
    pub(super) is_unoffered: bool,
    /// Tasks that will be done.
    pub(super) completed: Vec<(Category, TaskKey)>,
    /// What peers will be told.
    pub(super) rows: Vec<BacklogTask>,
    /// Peers' tasks that will be durable.
    pub(super) applied: Vec<(StreamKey, TaskId)>,
    /// What was decided and is decided again if the write fails. Requests are not among it: they are answered.
    pub(super) works: Vec<Work>,
    /// What peers asked to be told from the beginning, and is told with this.
    pub(super) seeded: Vec<(StreamKey, RunKey)>,
    /// With the shard's own record: watermarks of peers that have gaps, which count when it is durable.
    pub(super) record: Option<Vec<(StreamKey, TaskId)>>,
    /// A peer's task that is being kept.
    pub(super) refused: Option<Refused>,
    /// Namespaces of which it is said, once this has proved that the shard is ours, that the new side has everything.
    pub(super) drained: Vec<Drain>,
}

impl Shard {
    /// The write is durable: let out what waited for it.
    pub(super) fn on_committed(&mut self, now: Timestamp, id: TransactionId, flight: InFlight) {
        self.note_proof(now);
        for (category, key) in &flight.completed {
            self.queues.remove(*category, *key);
        }
        let mut at_once = Vec::new();
        for task in flight.tasks {
            match &task.kind {
                TaskKind::Quarantined(_) => self.on_kept(task),
                TaskKind::Tombstone(_) => self.tombstones.add(&task),
                TaskKind::Transfer(kind) => {
                    let is_ours = matches!(kind, TransferTask::Reapply | TransferTask::Delete);
                    // The namespace may have come here while the write was under way.
                    if is_ours || flight.is_unoffered {
                        at_once.push(task.clone());
                    }
                    self.queues.add(task);
                }
                _ => self.queues.add(task),
            }
        }
        for row in flight.rows {
            let begins = self.backlog.add(now, row.task.key.id, tail::weight(&row), &self.backlog_limit);
            if begins && self.replicated(now).is_some_and(|replicated| replicated > self.floor) {
                self.chores.record.get_or_insert(now + RECORD_AFTER);
            }
            self.tail.add(row);
        }
        self.outbox.on_committed(id);
        self.on_drain_proved(&flight.drained);
        for (key, high) in flight.record.into_iter().flatten() {
            if let Some(target) = self.targets.get_mut(&key) {
                target.on_watermark(high);
            }
        }
        self.on_applied(now, &flight.applied);
        self.on_seeded(now, &flight.seeded);
        if let Some(key) = flight.workflow {
            if let Some(slot) = self.slots.get_mut(&key) {
                assert_eq!(slot.phase, Phase::Committing(id), "one write at a time");
                slot.phase = Phase::Ready;
            }
            let is_active = self.is_active(key.namespace);
            let is_due = |task: &HistoryTask| is_active || task.kind == TaskKind::Transfer(TransferTask::Delete);
            for task in at_once.into_iter().filter(is_due) {
                if !self.is_reapplied_later(now, &task) {
                    self.park_quietly(&key, Work::Task(Box::new(task)));
                }
            }
            self.advance(now, &key);
        }
        for (category, key) in flight.completed {
            match category {
                Category::Quarantine => self.on_released(now, key),
                Category::Tombstone => self.tombstones.remove(key),
                _ => {}
            }
        }
        self.settle();
        self.pump_soon(now);
        // What was written can be forgotten.
        self.slots.evict_some();
        if self.ownership.is_exhausted() && self.in_flight.is_empty() {
            // A new range brings new ids; nothing is under way that the old one could fence.
            self.renew();
        }
    }

    /// What is stored is not what we thought: read it again and decide again.
    pub(super) fn on_condition_failed(&mut self, now: Timestamp, id: TransactionId, flight: InFlight) {
        self.report(Report::ConditionFailed { workflow: flight.workflow.clone() });
        let key = flight.workflow.clone();
        self.reject(now, id, flight);
        if let Some(key) = key {
            if let Some(slot) = self.slots.get_mut(&key) {
                slot.unload();
            }
            self.advance(now, &key);
        }
    }

    /// Nothing can be written now: callers are told to try again, the rest is tried again by itself.
    pub(super) fn on_store_unavailable(&mut self, now: Timestamp, id: TransactionId, flight: InFlight) {
        let key = flight.workflow.clone();
        if key.is_none() {
            self.chores.record.get_or_insert(now + RETRY);
        }
        self.reject(now, id, flight);
        if let Some(slot) = key.as_ref().and_then(|key| self.slots.get_mut(key)) {
            slot.unload();
        }
        if let Some(key) = key.filter(|_| !planted(Defect::RetriesAreForgotten)) {
            self.try_again(now, &key);
        }
    }

    /// The write did not happen, or nobody knows: answer its requests so, and put the rest back.
    pub(super) fn reject(&mut self, now: Timestamp, id: TransactionId, mut flight: InFlight) {
        for output in self.outbox.on_rejected(id) {
            if planted(Defect::FailedWriteIsAcknowledged) {
                self.outbox.push(output);
            } else if let Output::Reply(request, _) = output {
                let failure = Failure::Unavailable("the write may or may not have happened; try again".into());
                self.outbox.push(Output::Reply(request, Box::new(Err(failure))));
            }
        }
        self.on_drain_not_proved(&flight.drained);
        self.on_not_dropped(&flight.completed);
        self.keep_tombstones(&flight.completed);
        if let Some(gaps) = flight.record.take() {
            self.gaps.extend(gaps);
            self.is_floor_doubtful = true;
            self.chores.record.get_or_insert(now + RETRY);
        }
        if let Some(refused) = flight.refused.take() {
            self.on_not_kept(now, &flight.tasks, refused);
        }
        let Some(slot) = flight.workflow.and_then(|key| self.slots.get_mut(&key)) else { return };
        // Questions that were waiting in memory go with the state that is given up.
        for request in slot.runs.values().flat_map(|run| run.queries.values()).map(|query| query.request) {
            let failure = Failure::Unavailable("the workflow is being read again; try again".into());
            self.outbox.push(Output::Reply(request, Box::new(Err(failure))));
        }
        for work in flight.works.into_iter().rev() {
            slot.parked.push_front(work);
        }
    }

    fn renew(&mut self) {
        self.loads.clear();
        for slot in self.slots.values_mut() {
            slot.forget_fetches();
            if matches!(slot.phase, Phase::Loading(_)) {
                slot.unload();
            }
        }
        for seeder in self.seeders.values_mut() {
            seeder.begin_again();
        }
        assert!(matches!(self.ownership, Ownership::Owned { .. }), "only an owner renews");
        self.queues.clear();
        self.quarantine.clear();
        self.tombstones.clear();
        self.queues_read = false;
        self.acquire();
    }
}
