//! A cluster's memory: the store contract as a plain struct that answers at once. When it is asked, what is lost on the
//! way and what is answered in doubt is for the world to decide (`world/storage.rs`).

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use proto::temporal::api::history::v1::HistoryEvent;
use replicator::{
    defects::{Defect, planted},
    history::Branch,
    ids::{BranchId, EventId, Life, RangeId, RecordVersion, RunId, RunKey, ShardId, TaskId, WorkflowKey},
    shard::io::{BacklogTask, CommitOutcome, HistoryWrite, ItemKey, Load, Loaded, RunChange, StoredRun, Transaction},
    task::{Category, HistoryTask, ReplicationTask, TaskKey, TaskKind, WrittenBatch},
    time::Timestamp,
    workflow::MutableState,
};

use crate::program;

/// What is durable.
#[derive(Clone, Debug, Default)]
pub struct Store {
    /// How often it was brought back from a copy.
    restored: u8,
    shards: BTreeMap<ShardId, Owned>,
    current: BTreeMap<WorkflowKey, RunId>,
    runs: BTreeMap<RunKey, Row>,
    /// Batches of a branch by their first event and the transaction that wrote them.
    branches: BTreeMap<BranchId, BTreeMap<(EventId, TaskId), Node>>,
    tasks: BTreeMap<(ShardId, Category, TaskKey), HistoryTask>,
}

#[derive(Clone, Debug, Default)]
struct Owned {
    range: i64,
    record: Bytes,
}

#[derive(Clone, Debug)]
struct Row {
    record: RecordVersion,
    state: Bytes,
    items: BTreeMap<ItemKey, Bytes>,
}

#[derive(Clone, Debug)]
struct Node {
    next: EventId,
    previous: TaskId,
    events: Bytes,
    /// The same, for those who look: workers and checkers.
    read: Events,
}

/// The events of a batch.
pub type Events = Arc<Vec<HistoryEvent>>;

impl Store {
    /// Write a transaction if its conditions hold: the range first, then pointer and records.
    pub fn write(&mut self, transaction: &Transaction) -> CommitOutcome {
        let outcome = self.check(transaction);
        if outcome == CommitOutcome::Committed {
            self.apply(transaction);
        }
        outcome
    }

    /// Which life it lives.
    #[must_use]
    pub fn life(&self) -> Life {
        Life::counted(i64::from(self.restored) + 1)
    }

    /// What was in it is there again, in another life than `before`.
    #[must_use]
    pub fn restored(&self, before: &Self) -> Self {
        Self { restored: before.restored + 1, ..self.clone() }
    }

    /// The range under which a shard may be written, if it was ever taken.
    #[must_use]
    pub fn range(&self, shard: ShardId) -> Option<RangeId> {
        self.shards.get(&shard).map(|owned| RangeId(owned.range))
    }

    /// Whether the conditions of a transaction hold.
    #[must_use]
    pub fn check(&self, transaction: &Transaction) -> CommitOutcome {
        if self
            .shards
            .get(&transaction.shard)
            .is_none_or(|owned| owned.range != transaction.range.0 && !planted(Defect::StaleRangeIsAccepted))
        {
            return CommitOutcome::ShardOwnershipLost;
        }
        let pointer = transaction.current.as_ref();
        let pointer_holds = pointer.is_none_or(|write| {
            let target = |run| RunKey { workflow: write.workflow.clone(), run };
            let remains = |key: &RunKey| match transaction.runs.iter().rev().find(|write| write.run == *key) {
                Some(write) => matches!(write.change, RunChange::Put { .. }),
                None => self.runs.contains_key(key),
            };
            self.current.get(&write.workflow).copied() == write.expected
                && write.next.is_none_or(|run| remains(&target(run)))
        });
        let record = |run: &RunKey| self.runs.get(run).map(|row| row.record);
        if pointer_holds && transaction.runs.iter().all(|write| record(&write.run) == write.expected) {
            CommitOutcome::Committed
        } else {
            CommitOutcome::ConditionFailed
        }
    }

    fn apply(&mut self, transaction: &Transaction) {
        for write in &transaction.runs {
            let before = self.runs.remove(&write.run);
            match &write.change {
                RunChange::Put { record, state, upserts, deletes } => {
                    let mut items = before.map(|row| row.items).unwrap_or_default();
                    items.extend(upserts.iter().cloned());
                    deletes.iter().for_each(|key| drop(items.remove(key)));
                    self.runs.insert(write.run.clone(), Row { record: *record, state: state.clone(), items });
                }
                RunChange::Delete { branches } => {
                    self.remove_branches(&write.run.workflow, branches);
                    if self.current.get(&write.run.workflow) == Some(&write.run.run) {
                        self.current.remove(&write.run.workflow);
                    }
                }
            }
        }
        if let Some(write) = &transaction.current {
            match write.next {
                Some(run) => self.current.insert(write.workflow.clone(), run),
                None => self.current.remove(&write.workflow),
            };
        }
        for HistoryWrite { branch, node, next, transaction, previous, events, .. } in &transaction.history {
            let read = program::events(events).into();
            let batch = Node { next: *next, previous: *previous, read, events: events.clone() };
            self.branches.entry(*branch).or_default().insert((*node, *transaction), batch);
        }
        for task in &transaction.tasks {
            self.tasks.insert((transaction.shard, task.kind.category(), task.key), task.clone());
        }
        for (category, key) in &transaction.completed {
            self.tasks.remove(&(transaction.shard, *category, *key));
        }
        if let Some(replicated) = transaction.replicated {
            let first = (transaction.shard, Category::Replication, first_key());
            let told = self.tasks.range(first..).take_while(|((shard, category, key), _)| {
                *shard == transaction.shard && *category == Category::Replication && key.id <= replicated
            });
            let told: Vec<_> = told.map(|(key, _)| *key).collect();
            told.iter().for_each(|key| drop(self.tasks.remove(key)));
        }
        if let Some(record) = &transaction.shard_state {
            self.shards.entry(transaction.shard).or_default().record = record.clone();
        }
    }

    /// Branches of a run that is gone: what branches of other runs read of them stays.
    fn remove_branches(&mut self, workflow: &WorkflowKey, gone: &[Branch]) {
        let first = RunKey { workflow: workflow.clone(), run: RunId::from_bytes([0; 16]) };
        let others = self.runs.range(first..).map(|(run, _)| run).take_while(|run| run.workflow == *workflow);
        let mut read: BTreeMap<BranchId, EventId> = BTreeMap::new();
        // What is no run of a shard's has no branches: the contract is tested with bytes of all kinds.
        for state in others.filter_map(|run| MutableState::decode(self.run(run)?).ok()) {
            for range in state.histories.all().iter().flat_map(|history| history.branch.ranges(EventId::FIRST, LAST)) {
                let end = read.entry(range.branch).or_insert(range.end);
                *end = range.end.max(*end);
            }
        }
        for range in gone.iter().flat_map(|branch| branch.ranges(EventId::FIRST, LAST)) {
            match (read.get(&range.branch), self.branches.get_mut(&range.branch)) {
                (Some(end), Some(batches)) => batches.retain(|(node, _), _| node < end),
                (None, Some(_)) => drop(self.branches.remove(&range.branch)),
                (_, None) => {}
            }
        }
    }

    /// Answer a read of a shard, of a history so many batches at once. Taking the shard raises its range, which fences every write under a lower one.
    pub fn read(&mut self, shard: ShardId, load: &Load, page: usize) -> Loaded {
        match load {
            Load::AcquireShard { leaps } => {
                let life = self.life();
                let owned = self.shards.entry(shard).or_default();
                owned.range = RangeId(owned.range).next(*leaps).0;
                Loaded::Shard { range: RangeId(owned.range), state: owned.record.clone(), life }
            }
            Load::Current(workflow) => {
                let run = |run| RunKey { workflow: workflow.clone(), run };
                match self.current.get(workflow) {
                    Some(current) => Loaded::Current(self.run(&run(*current))),
                    None => {
                        let mut rest = self.runs.range(run(RunId::from_bytes([0; 16]))..);
                        let is_known = rest.next().is_some_and(|(first, _)| first.workflow == *workflow);
                        if is_known { Loaded::Current(None) } else { Loaded::NoRuns }
                    }
                }
            }
            Load::Run(run) => Loaded::Run(self.run(run)),
            Load::Tasks { category, after, limit } => {
                Loaded::Tasks(self.tasks_after(shard, *category, *after).take(*limit).cloned().collect())
            }
            Load::Backlog { after, limit } => {
                let after = TaskKey { id: *after, ..first_key() };
                let tasks = self.tasks_after(shard, Category::Replication, Some(after)).take(*limit);
                Loaded::Backlog(tasks.map(|task| self.backlog(task)).collect())
            }
            Load::Runs { namespace, after, limit } => {
                let place = |run: &RunKey| (run.workflow.workflow.clone(), run.run);
                let runs = self.runs.keys().filter(|run| run.workflow.namespace == *namespace);
                Loaded::Runs(runs.filter(|run| Some(place(run)) > *after).take(*limit).cloned().collect())
            }
            Load::Branch { branch, first, end, .. } => {
                let mut nodes = self.nodes(branch, *first, *end);
                let next = nodes.get(page).map(|(first, _)| *first);
                nodes.truncate(page);
                Loaded::Branch { batches: nodes.iter().map(|(_, node)| node.events.clone()).collect(), next }
            }
            Load::PeerHistory { .. } => Loaded::Failed("a store has no peers".into()),
        }
    }

    fn tasks_after(
        &self,
        shard: ShardId,
        category: Category,
        after: Option<TaskKey>,
    ) -> impl Iterator<Item = &HistoryTask> {
        let from = after.unwrap_or(TaskKey { fire_time: Timestamp(i64::MIN), id: TaskId(i64::MIN) });
        let rows = self.tasks.range((shard, category, from)..);
        let rows = rows.take_while(move |((of, kind, _), _)| *of == shard && *kind == category);
        rows.filter(move |((_, _, key), _)| Some(*key) != after).map(|(_, task)| task)
    }

    fn backlog(&self, task: &HistoryTask) -> BacklogTask {
        let (mut events, mut new_run_events) = (Vec::new(), None);
        if let TaskKind::Replication(ReplicationTask::History(stretch)) = &task.kind {
            let of = |batch: &WrittenBatch| self.history(&batch.branch, batch.first, batch.next);
            events = of(&stretch.batch);
            new_run_events = stretch.new_run.as_ref().and_then(|(_, batch)| of(batch).into_iter().next());
        }
        BacklogTask { task: task.clone(), events, new_run_events }
    }

    /// A run as it rests.
    #[must_use]
    pub fn run(&self, key: &RunKey) -> Option<StoredRun> {
        let Row { record, state, items } = self.runs.get(key)?;
        let items = items.iter().map(|(key, item)| (key.clone(), item.clone())).collect();
        Some(StoredRun { run: key.clone(), record: *record, state: state.clone(), items })
    }

    /// Every task that is stored, with its shard.
    pub fn tasks(&self) -> impl Iterator<Item = (ShardId, &HistoryTask)> {
        self.tasks.iter().map(|((shard, ..), task)| (*shard, task))
    }

    /// Every run that is stored.
    pub fn runs(&self) -> impl Iterator<Item = &RunKey> {
        self.runs.keys()
    }

    /// The run that a workflow's id alone names.
    #[must_use]
    pub fn current(&self, workflow: &WorkflowKey) -> Option<RunId> {
        self.current.get(workflow).copied()
    }

    /// Batches of a branch from the one at `first` to before `end`.
    #[must_use]
    pub fn history(&self, branch: &Branch, first: EventId, end: EventId) -> Vec<Bytes> {
        self.nodes(branch, first, end).into_iter().map(|(_, node)| node.events.clone()).collect()
    }

    /// The same, read.
    pub fn events(&self, branch: &Branch, first: EventId, end: EventId) -> impl Iterator<Item = &Events> {
        self.nodes(branch, first, end).into_iter().map(|(_, node)| &node.read)
    }

    /// The events of a batch that was just written.
    #[must_use]
    pub fn written(&self, batch: &HistoryWrite) -> Events {
        let nodes = self.branches.get(&batch.branch);
        let node = nodes.and_then(|nodes| nodes.get(&(batch.node, batch.transaction)));
        node.map(|node| node.read.clone()).unwrap_or_default()
    }

    /// Of the batches at one node the one of the highest transaction counts that follows on what counted before it; others
    /// are leftovers of writes that lost.
    fn nodes(&self, branch: &Branch, first: EventId, end: EventId) -> Vec<(EventId, &Node)> {
        let (mut batches, mut expected, mut before) = (Vec::new(), first, None);
        for range in branch.ranges(first, end) {
            let Some(nodes) = self.branches.get(&range.branch) else { continue };
            while expected < range.end {
                let at_node = nodes.range((expected, TaskId(i64::MIN))..=(expected, TaskId(i64::MAX)));
                let follows = |id: &TaskId, node: &Node| {
                    before.is_none_or(|before| *id > before && (node.previous == TaskId(0) || node.previous == before))
                };
                let Some(((_, id), node)) = at_node.rev().find(|((_, id), node)| follows(id, node)) else { break };
                batches.push((expected, node));
                (expected, before) = (node.next, Some(*id));
            }
        }
        batches
    }
}

/// Behind every event.
const LAST: EventId = EventId(i64::MAX);

/// Replication tasks have no fire time.
fn first_key() -> TaskKey {
    TaskKey { fire_time: Timestamp::ZERO, id: TaskId(i64::MIN) }
}
