//! A store in a nutshell, which checks what is written to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};

use bytes::Bytes;

use crate::{
    history::{Branch, HistoryBatch, content},
    ids::{BranchId, EventId, Life, RangeId, RecordVersion, RunId, RunKey, TaskId, WorkflowKey},
    shard::io::{BacklogTask, CommitOutcome, ItemKey, Load, Loaded, RunChange, StoredRun, Transaction},
    task::{Category, HistoryTask, ReplicationTask, TaskKey, TaskKind, WrittenBatch},
    workflow::{MutableState, execution::Phase},
};

/// What one shard of one cluster stored.
#[derive(Clone, Debug, Default)]
pub(super) struct Store {
    range: i64,
    record: Bytes,
    /// How often it was brought back from a copy.
    pub(super) restored: i64,
    pub(super) current: BTreeMap<WorkflowKey, RunId>,
    runs: BTreeMap<RunKey, (RecordVersion, Bytes, BTreeMap<ItemKey, Bytes>)>,
    pub(super) tasks: BTreeMap<(Category, TaskKey), HistoryTask>,
    nodes: BTreeMap<(BranchId, EventId, TaskId), Node>,
    /// Reads of history fail, after so many more that do not.
    pub(super) is_damaged: bool,
    pub(super) reads_before_damage: usize,
    /// Batches that were read back.
    pub(super) batches_read: usize,
    /// Writes that did not succeed.
    pub(super) refused: usize,
    /// So many writes succeed, and then none.
    pub(super) writes_left: Option<usize>,
}

#[derive(Clone, Debug)]
struct Node {
    next: EventId,
    previous: TaskId,
    events: Bytes,
}

impl Store {
    /// Which life it lives.
    pub(super) fn life(&self) -> Life {
        Life::counted(1 + self.restored)
    }

    pub(super) fn load(&mut self, load: Load) -> Loaded {
        match load {
            Load::AcquireShard { leaps } => {
                self.range = RangeId(self.range).next(leaps).0;
                let life = self.life();
                Loaded::Shard { range: RangeId(self.range), state: self.record.clone(), life }
            }
            Load::Current(workflow) => {
                let run = self.current.get(&workflow).map(|run| RunKey { workflow: workflow.clone(), run: *run });
                if self.runs.keys().all(|run| run.workflow != workflow) {
                    return Loaded::NoRuns;
                }
                Loaded::Current(run.and_then(|run| self.stored(&run)))
            }
            Load::Run(run) => Loaded::Run(self.stored(&run)),
            Load::Tasks { category, after, limit } => {
                let tasks = self.tasks.iter().filter(|((of, key), _)| *of == category && Some(*key) > after);
                Loaded::Tasks(tasks.take(limit).map(|(_, task)| task.clone()).collect())
            }
            Load::Backlog { after, limit } => {
                let is_told = |category: Category, key: &TaskKey| category == Category::Replication && key.id > after;
                let tasks: Vec<_> = self.tasks.iter().filter(|((of, key), _)| is_told(*of, key)).take(limit).collect();
                Loaded::Backlog(tasks.into_iter().map(|(_, task)| self.backlog(task)).collect())
            }
            Load::Runs { namespace, after, limit } => {
                let place = |run: &RunKey| (run.workflow.workflow.clone(), run.run);
                let runs = self.runs.keys().filter(|run| run.workflow.namespace == namespace);
                Loaded::Runs(runs.filter(|run| Some(place(run)) > after).take(limit).cloned().collect())
            }
            Load::Branch { .. } if self.is_damaged && self.reads_before_damage == 0 => {
                Loaded::Failed("a page is damaged".into())
            }
            Load::Branch { branch, first, end, .. } => {
                self.reads_before_damage = self.reads_before_damage.saturating_sub(1);
                // Small pages, so that reading on is tested.
                let mut batches = self.history(&branch, first, end);
                let next = batches.get(PAGE).map(|bytes| HistoryBatch::received(bytes.clone()).unwrap().first());
                batches.truncate(PAGE);
                self.batches_read += batches.len();
                Loaded::Branch { batches, next }
            }
            Load::PeerHistory { .. } => panic!("not for a store"),
        }
    }

    fn backlog(&self, task: &HistoryTask) -> BacklogTask {
        let mut told = BacklogTask { task: task.clone(), events: Vec::new(), new_run_events: None };
        if let TaskKind::Replication(ReplicationTask::History(stretch)) = &task.kind {
            let of = |batch: &WrittenBatch| self.history(&batch.branch, batch.first, batch.next);
            told.events = of(&stretch.batch);
            told.new_run_events = stretch.new_run.as_ref().and_then(|(_, batch)| of(batch).into_iter().next());
        }
        told
    }

    /// Batches of a branch, through its ancestors (BR-5).
    pub(super) fn history(&self, branch: &Branch, first: EventId, end: EventId) -> Vec<Bytes> {
        let (mut batches, mut at, mut before) = (Vec::new(), first, None);
        for range in branch.ranges(first, end) {
            while at < range.end {
                let here =
                    self.nodes.range((range.branch, at, TaskId(i64::MIN))..=(range.branch, at, TaskId(i64::MAX)));
                let follows = |id: &TaskId, node: &Node| {
                    before.is_none_or(|before| *id > before && (node.previous == TaskId(0) || node.previous == before))
                };
                let found = here.rev().find(|((_, _, id), node)| follows(id, node));
                let Some(((_, _, id), node)) = found else { break };
                batches.push(node.events.clone());
                (at, before) = (node.next, Some(*id));
            }
        }
        batches
    }

    /// A bad disk makes a run unreadable.
    pub(super) fn damage(&mut self, run: &RunKey) {
        self.runs.get_mut(run).expect("the run is here").1 = Bytes::from_static(b"\xff");
    }

    pub(super) fn commit(&mut self, transaction: Transaction) -> CommitOutcome {
        if transaction.range != RangeId(self.range) {
            return CommitOutcome::ShardOwnershipLost;
        }
        match &mut self.writes_left {
            Some(0) => {
                self.refused += 1;
                return CommitOutcome::Unavailable;
            }
            Some(left) => *left -= 1,
            None => {}
        }
        if let Some(write) = &transaction.current {
            assert_eq!(self.current.get(&write.workflow).copied(), write.expected, "the pointer is as expected");
        }
        for write in &transaction.runs {
            let known = self.runs.get(&write.run).map(|(record, ..)| *record);
            assert_eq!(known, write.expected, "the run is as expected");
        }
        for write in transaction.history {
            let node = Node { next: write.next, previous: write.previous, events: write.events };
            let old = self.nodes.insert((write.branch, write.node, write.transaction), node);
            assert!(old.is_none(), "every batch has a place of its own");
        }
        let mut touched = BTreeSet::new();
        for write in transaction.runs {
            touched.insert(write.run.workflow.clone());
            match write.change {
                RunChange::Put { record, state, upserts, deletes } => {
                    let row = self.runs.entry(write.run).or_insert((record, state.clone(), BTreeMap::new()));
                    (row.0, row.1) = (record, state);
                    row.2.extend(upserts);
                    deletes.iter().for_each(|key| drop(row.2.remove(key)));
                }
                RunChange::Delete { .. } => drop(self.runs.remove(&write.run)),
            }
        }
        if let Some(write) = transaction.current {
            match write.next {
                Some(run) => self.current.insert(write.workflow, run),
                None => self.current.remove(&write.workflow),
            };
        }
        for done in &transaction.completed {
            self.tasks.remove(done);
        }
        for task in transaction.tasks {
            let task = HistoryTask::decode(task.key, task.encode()).expect("what was encoded can be decoded");
            let old = self.tasks.insert((task.kind.category(), task.key), task);
            assert!(old.is_none(), "every task has a place of its own");
        }
        let replicated = transaction.replicated.unwrap_or(TaskId(0));
        self.tasks.retain(|(category, key), _| *category != Category::Replication || key.id > replicated);
        self.record = transaction.shard_state.unwrap_or_else(|| self.record.clone());
        touched.iter().for_each(|workflow| self.check(workflow));
        CommitOutcome::Committed
    }

    /// At every durable moment: at most one run runs, and it is the current one; a run's tasks are those in the queues;
    /// every branch can be read, and is what is said to stand for it; and a zombie has nothing that a worker could get.
    fn check(&self, workflow: &WorkflowKey) {
        let mut known: BTreeSet<(Category, TaskKey)> = BTreeSet::new();
        for state in self.states(workflow) {
            let id = state.run.run;
            if state.execution.phase == Phase::Running {
                assert_eq!(self.current.get(workflow), Some(&id), "the run that runs is the current one");
            }
            assert_eq!(state.local.digest, state.digest(), "the stored digest is that of the stored state");
            for (index, history) in state.histories.all().iter().enumerate() {
                let last = history.versions.last();
                let batches = self.history(&history.branch, EventId::FIRST, last.event_id.next());
                let batches = batches.into_iter().map(|bytes| HistoryBatch::received(bytes).expect("a batch"));
                let batches: Vec<_> = batches.collect();
                let content = Some(content::sum(&batches));
                assert_eq!(state.local.contents.all().get(index).copied(), content, "content of {}", history.versions);
                let batches = batches.into_iter();
                let end = batches.fold(EventId::FIRST, |expected, batch| {
                    assert_eq!(batch.first(), expected, "no hole in {}", history.versions);
                    let version = history.versions.version_of(batch.last());
                    assert_eq!(Some(batch.version()), version, "{}", history.versions);
                    batch.last().next()
                });
                assert_eq!(end, last.event_id.next(), "{} ends where it says", history.versions);
            }
            let all: Vec<_> = state.outstanding().collect();
            if state.execution.is_zombie() {
                let own = [state.local.outstanding.reapply, state.local.outstanding.deletion];
                let is_kept = |(category, key): &(Category, TaskKey)| {
                    *category == Category::Divergence || own.contains(&Some(*key))
                };
                assert!(all.iter().all(is_kept), "a zombie dispatches nothing");
            }
            known.extend(all);
        }
        let mine = |task: &&HistoryTask| {
            matches!(task.kind, TaskKind::Transfer(_) | TaskKind::Timer(_) | TaskKind::Diverged)
                && task.run.workflow == *workflow
        };
        let rest: BTreeSet<_> = self.tasks.values().filter(mine).map(|task| (task.kind.category(), task.key)).collect();
        assert_eq!(known, rest, "the runs know the tasks that are in the queues");
    }

    /// After so many writes no other succeeds.
    pub(super) fn fails_after(&mut self, writes: usize) {
        self.writes_left = Some(writes);
    }

    /// Writes succeed again.
    pub(super) fn works(&mut self) {
        self.writes_left = None;
    }

    /// The run is lost.
    pub(super) fn forget(&mut self, run: &RunKey) {
        self.runs.remove(run);
        self.current.remove(&run.workflow);
    }

    fn stored(&self, run: &RunKey) -> Option<StoredRun> {
        let (record, state, items) = self.runs.get(run)?.clone();
        Some(StoredRun { run: run.clone(), record, state, items: items.into_iter().collect() })
    }

    pub(super) fn state(&self, run: &RunKey) -> Option<MutableState> {
        self.stored(run).map(|stored| MutableState::decode(stored).expect("what was encoded can be decoded"))
    }

    pub(super) fn states(&self, workflow: &WorkflowKey) -> Vec<MutableState> {
        let runs = self.runs.keys().filter(|run| run.workflow == *workflow);
        runs.filter_map(|run| self.state(run)).collect()
    }

    /// The events of a branch: ids, versions, and the bytes.
    pub(super) fn branch_bytes(&self, state: &MutableState, index: usize) -> Vec<Bytes> {
        let history = &state.histories.all()[index];
        self.history(&history.branch, EventId::FIRST, history.versions.last().event_id.next())
    }

    pub(super) fn categories(&self) -> String {
        std::format!("{:?}", self.tasks.keys().map(|(category, _)| *category).collect::<Vec<_>>())
    }
}

const PAGE: usize = 2;
