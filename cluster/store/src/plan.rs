//! What a group of transactions comes to: which of them hold, and which rows they leave.
//!
//! While a shard is ours nobody else writes its workflows, so what the writer of a store has read or written of one it
//! still knows when the next transaction of the workflow comes, and need not read again ([`View`]). Conditions are checked
//! against the view, in the order of the group, before anything is written; what holds changes the view and adds to the
//! rows ([`Plan`]), which each store writes in its own way. When a write fails, the view is forgotten.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use replicator::{
    ids::{BranchId, RangeId, RecordVersion, RunId, ShardId, TaskId, WorkflowKey},
    shard::io::{CommitOutcome, ItemKind, RunChange, Transaction, VisibilityWrite},
    task::Category,
    time::Timestamp,
};

use crate::table::{dropped, item, name, node, run, start, task, visibility};

/// What is known of the rows that conditions speak of.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// Range ids and records of shards that were looked up; `None`: no such shard.
    pub(crate) shards: HashMap<ShardId, Option<(RangeId, Bytes)>>,
    /// Workflows that were looked up.
    pub(crate) workflows: HashMap<WorkflowKey, Workflow>,
}

/// What is known of a workflow.
#[derive(Debug, Default)]
pub(crate) struct Workflow {
    /// The current run, if it was looked up.
    pub(crate) pointer: Option<Option<RunId>>,
    /// Entries that were looked up; `None`: no such entry.
    pub(crate) entries: HashMap<RunId, Option<Entry>>,
}

/// What a run id stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Row number of the run and of its tree.
    pub(crate) row: i64,
    /// The run; `None`: only its tree is left, or was there first.
    pub(crate) run: Option<StoredRun>,
}

/// What is known of a stored run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoredRun {
    pub(crate) record: RecordVersion,
    pub(crate) listed: Option<run::Listed>,
}

/// Branches of a tree that a deletion concerns.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// Its branches.
    pub(crate) branches: BTreeMap<BranchId, Line>,
    /// Those that belong to no run.
    pub(crate) dropped: BTreeSet<BranchId>,
}

/// The nodes of one branch.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// The first.
    pub(crate) first: i64,
    /// Where batches end, and so where others may have forked; not looked up in a tree with one branch.
    pub(crate) ends: BTreeSet<i64>,
}

/// Rows to be written.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Entries, and the row that each leads to.
    pub(crate) names: BTreeMap<name::Key, Option<i64>>,
    /// Records of runs, by row number.
    pub(crate) runs: BTreeMap<i64, Option<run::Row>>,
    /// How runs were started, by row number.
    pub(crate) starts: BTreeMap<i64, Option<start::Row>>,
    /// Other items.
    pub(crate) items: BTreeMap<item::Key, Option<Bytes>>,
    /// Batches, and where they lie.
    pub(crate) nodes: Vec<(node::Row, node::Place)>,
    /// Tasks of queues.
    pub(crate) tasks: BTreeMap<task::Key, Option<Bytes>>,
    /// What lists see.
    pub(crate) visibility: BTreeMap<visibility::Key, Option<visibility::Row>>,
    /// Rows of runs that are not written, whose place in the list changed.
    pub(crate) moved: BTreeMap<i64, run::Listed>,
    /// Shards that are taken over.
    pub(crate) ranges: BTreeMap<ShardId, RangeId>,
    /// Records of shards.
    pub(crate) states: BTreeMap<ShardId, Bytes>,
    /// Up to where replication tasks of a shard go.
    pub(crate) replicated: BTreeMap<ShardId, TaskId>,
    /// Runs whose items go.
    pub(crate) emptied: BTreeSet<i64>,
    /// Trees that go.
    pub(crate) felled: BTreeSet<i64>,
    /// Nodes of a branch from a node on that go.
    pub(crate) cut: BTreeMap<(i64, BranchId), i64>,
    /// Branches that belong to no run any more.
    pub(crate) dropped: BTreeSet<dropped::Row>,
    /// Trees whose run is back.
    pub(crate) adopted: BTreeSet<i64>,
}

/// Numbers for new rows. They are not used twice while the program runs, and afterwards only if nothing bears them.
#[derive(Debug)]
pub(crate) struct Numbers {
    pub(crate) row: i64,
    pub(crate) seq: i64,
}

/// The one workflow that a transaction concerns, if it concerns one.
pub(crate) fn workflow(transaction: &Transaction) -> Option<&WorkflowKey> {
    let current = transaction.current.as_ref().map(|current| &current.workflow);
    let runs = transaction.runs.iter().map(|write| &write.run.workflow);
    let listed = transaction.visibility.iter().map(|VisibilityWrite::Put(record)| &record.run.workflow);
    current.into_iter().chain(runs).chain(listed).next()
}

/// Stop a caller that breaks the contract, before its transaction can stop the writer and so everybody.
pub(crate) fn validate(transaction: &Transaction) {
    match workflow(transaction) {
        None => assert!(transaction.history.is_empty(), "history belongs to a workflow"),
        Some(workflow) => {
            let current = transaction.current.as_ref().map(|current| &current.workflow);
            let runs = transaction.runs.iter().map(|write| &write.run.workflow);
            let listed = transaction.visibility.iter().map(|VisibilityWrite::Put(record)| &record.run.workflow);
            let mut named = current.into_iter().chain(runs).chain(listed);
            assert!(named.all(|named| named == workflow), "a transaction concerns one workflow");
        }
    }
    for write in &transaction.history {
        assert!(write.node.0 >= 1 && write.node < write.next, "a batch has events");
    }
    for task in &transaction.tasks {
        let is_told = task.kind.category() == Category::Replication;
        assert!(!is_told || task.key.fire_time == Timestamp::ZERO, "replication tasks are ordered by their ids alone");
    }
}

/// Whether a transaction deletes a run.
pub(crate) fn deletes(transaction: &Transaction) -> bool {
    transaction.runs.iter().any(|write| matches!(write.change, RunChange::Delete { .. }))
}

/// The entries whose conditions or rows a transaction needs; `None` is the pointer.
pub(crate) fn needs(transaction: &Transaction) -> BTreeSet<Option<RunId>> {
    let mut needed = BTreeSet::new();
    if let Some(current) = &transaction.current {
        needed.insert(None);
        needed.extend(current.next.map(Some));
    }
    for write in &transaction.runs {
        needed.insert(Some(write.run.run));
        if let RunChange::Delete { branches } = &write.change {
            needed.insert(None);
            needed.extend(branches.iter().map(|branch| Some(branch.tree)));
        }
    }
    needed.extend(transaction.history.iter().map(|write| Some(write.tree)));
    needed.extend(transaction.visibility.iter().map(|VisibilityWrite::Put(record)| Some(record.run.run)));
    needed
}

impl View {
    /// Rows of trees that a transaction's deletions concern.
    pub(crate) fn trees(&self, transaction: &Transaction) -> BTreeSet<i64> {
        let mut trees = BTreeSet::new();
        for write in &transaction.runs {
            if let (RunChange::Delete { branches }, Some(known)) =
                (&write.change, self.workflows.get(&write.run.workflow))
            {
                let named = branches.iter().map(|branch| branch.tree).chain([write.run.run]);
                trees.extend(named.filter_map(|tree| Some((*known.entries.get(&tree)?)?.row)));
            }
        }
        trees
    }

    /// Forget workflows when there are many, so that memory stays bounded; those in use come back with their next write.
    pub(crate) fn trim(&mut self) {
        if self.workflows.len() > MAX_WORKFLOWS {
            self.workflows.clear();
        }
    }

    fn range(&self, shard: ShardId) -> Option<RangeId> {
        self.shards.get(&shard)?.as_ref().map(|(range, _)| *range)
    }

    /// Whether the conditions of a transaction hold.
    fn check(&self, transaction: &Transaction) -> CommitOutcome {
        if self.range(transaction.shard) != Some(transaction.range) {
            return CommitOutcome::ShardOwnershipLost;
        }
        let Some(workflow) = workflow(transaction) else {
            return CommitOutcome::Committed;
        };
        let known = self.workflows.get(workflow).expect("looked up before");
        let stored = |run: RunId| known.entries.get(&run).expect("looked up before").and_then(|entry| entry.run);
        for write in &transaction.runs {
            if stored(write.run.run).map(|run| run.record) != write.expected {
                return CommitOutcome::ConditionFailed;
            }
        }
        // Whether a run is stored when the transaction is done.
        let remains = |run: RunId| match transaction.runs.iter().rev().find(|write| write.run.run == run) {
            Some(write) => matches!(write.change, RunChange::Put { .. }),
            None => stored(run).is_some(),
        };
        if let Some(current) = &transaction.current {
            let pointer = known.pointer.expect("looked up before");
            if pointer != current.expected || current.next.is_some_and(|next| !remains(next)) {
                return CommitOutcome::ConditionFailed;
            }
        }
        if transaction.visibility.iter().any(|VisibilityWrite::Put(record)| !remains(record.run.run)) {
            return CommitOutcome::ConditionFailed;
        }
        CommitOutcome::Committed
    }
}

/// Workflows of the view. Enough for those that are at work at one time; some 300 bytes each.
const MAX_WORKFLOWS: usize = 8192;

impl Plan {
    /// Take over a shard: its new range id, and its record.
    pub(crate) fn acquire(&mut self, view: &mut View, shard: ShardId, leaps: bool) -> (RangeId, Bytes) {
        let known = view.shards.get_mut(&shard).expect("looked up before");
        let (range, state) = known.take().unwrap_or_default();
        let range = range.next(leaps);
        *known = Some((range, state.clone()));
        self.ranges.insert(shard, range);
        (range, state)
    }

    /// Check the conditions of a transaction and, if they hold, take its rows in. Everything that it
    /// [needs](fn@needs) has been looked up, and the trees that it deletes from are `trees`.
    pub(crate) fn admit(
        &mut self,
        view: &mut View,
        trees: &HashMap<i64, Tree>,
        numbers: &mut Numbers,
        transaction: &Transaction,
    ) -> CommitOutcome {
        let outcome = view.check(transaction);
        if outcome != CommitOutcome::Committed {
            return outcome;
        }
        let shard = transaction.shard;
        if let Some(workflow) = workflow(transaction) {
            let known = view.workflows.get_mut(workflow).expect("looked up before");
            self.runs(workflow, known, numbers, transaction);
            self.visibility(known, transaction);
            self.history(workflow, known, numbers, transaction);
            self.deletions(workflow, known, trees, transaction);
            if let Some(current) = &transaction.current {
                known.pointer = Some(current.next);
                let key = name::Key { workflow: workflow.clone(), run: None };
                let row = current.next.map(|next| known.entries[&next].expect("stored").row);
                self.names.insert(key, row);
            }
        }
        for task in &transaction.tasks {
            let key = task::Key { shard, category: task.kind.category(), key: task.key };
            self.tasks.insert(key, Some(task.encode()));
        }
        for &(category, key) in &transaction.completed {
            self.tasks.insert(task::Key { shard, category, key }, None);
        }
        if let Some(done) = transaction.replicated {
            let known = self.replicated.entry(shard).or_insert(done);
            *known = done.max(*known);
        }
        if let Some(state) = &transaction.shard_state {
            self.states.insert(shard, state.clone());
            view.shards.insert(shard, Some((transaction.range, state.clone())));
        }
        CommitOutcome::Committed
    }

    fn entry(&mut self, workflow: &WorkflowKey, known: &mut Workflow, numbers: &mut Numbers, run: RunId) -> Entry {
        let entry = known.entries.get_mut(&run).expect("looked up before");
        *entry.get_or_insert_with(|| {
            numbers.row += 1;
            self.names.insert(name::Key { workflow: workflow.clone(), run: Some(run) }, Some(numbers.row));
            Entry { row: numbers.row, run: None }
        })
    }

    fn runs(&mut self, workflow: &WorkflowKey, known: &mut Workflow, numbers: &mut Numbers, transaction: &Transaction) {
        for write in &transaction.runs {
            let RunChange::Put { record, state, upserts, deletes } = &write.change else { continue };
            let found = known.entries[&write.run.run].is_some();
            let entry = self.entry(workflow, known, numbers, write.run.run);
            let (row, before) = (entry.row, entry.run);
            if before.is_none() && found {
                self.adopted.insert(row);
            }
            let listed = before.and_then(|run| run.listed);
            let stored = StoredRun { record: *record, listed };
            known.entries.insert(write.run.run, Some(Entry { row, run: Some(stored) }));
            let id = write.run.run;
            self.runs.insert(row, Some(run::Row { row, id, record: *record, state: state.clone(), listed }));
            self.moved.remove(&row);
            for (key, value) in upserts {
                if key.kind == ItemKind::Start {
                    self.starts.insert(row, Some(start::Row { row, key: key.key.clone(), value: value.clone() }));
                } else {
                    self.items.insert(item::Key { row, item: key.clone() }, Some(value.clone()));
                }
            }
            for key in deletes {
                if key.kind == ItemKind::Start {
                    self.starts.insert(row, None);
                } else {
                    self.items.insert(item::Key { row, item: key.clone() }, None);
                }
            }
        }
    }

    fn visibility(&mut self, known: &mut Workflow, transaction: &Transaction) {
        for VisibilityWrite::Put(record) in &transaction.visibility {
            let entry = known.entries.get_mut(&record.run.run).and_then(Option::as_mut).expect("stored");
            let stored = entry.run.as_mut().expect("stored");
            let (namespace, run) = (record.run.workflow.namespace, record.run.run);
            let listed = visibility::listed(record);
            if let Some(before) = stored.listed.replace(listed).filter(|before| *before != listed) {
                self.visibility.insert(visibility::Key { namespace, listed: before, run }, None);
            }
            self.visibility.insert(visibility::Key { namespace, listed, run }, Some(visibility::Row(record.clone())));
            match self.runs.get_mut(&entry.row) {
                Some(written) => written.as_mut().expect("stored").listed = Some(listed),
                None => {
                    self.moved.insert(entry.row, listed);
                }
            }
        }
    }

    fn history(
        &mut self,
        workflow: &WorkflowKey,
        known: &mut Workflow,
        numbers: &mut Numbers,
        transaction: &Transaction,
    ) {
        for write in &transaction.history {
            let tree = self.entry(workflow, known, numbers, write.tree).row;
            numbers.seq += 1;
            let seq = numbers.seq;
            let row = node::Row { seq, next: write.next.0, previous: write.previous.0, events: write.events.clone() };
            let (branch, node, transaction) = (write.branch, write.node.0, write.transaction.0);
            self.nodes.push((row, node::Place { tree, branch, node, transaction, seq }));
        }
    }

    fn deletions(
        &mut self,
        workflow: &WorkflowKey,
        known: &mut Workflow,
        trees: &HashMap<i64, Tree>,
        transaction: &Transaction,
    ) {
        for write in &transaction.runs {
            let RunChange::Delete { branches } = &write.change else { continue };
            let run = write.run.run;
            let Some(Entry { row, run: Some(stored) }) = known.entries[&run] else {
                // The condition was that there is no such run.
                continue;
            };
            known.entries.insert(run, Some(Entry { row, run: None }));
            self.runs.insert(row, None);
            self.starts.insert(row, None);
            self.emptied.insert(row);
            if let Some(listed) = stored.listed {
                self.visibility.insert(visibility::Key { namespace: workflow.namespace, listed, run }, None);
            }
            if known.pointer == Some(Some(run)) {
                known.pointer = Some(None);
                self.names.insert(name::Key { workflow: workflow.clone(), run: None }, None);
            }
            let named: BTreeSet<_> = branches.iter().map(|branch| branch.tree).chain([run]).collect();
            for tree in named {
                let Some(Entry { row, run: left }) = known.entries[&tree] else { continue };
                let own: BTreeSet<_> =
                    branches.iter().filter(|branch| branch.tree == tree).map(|branch| branch.id).collect();
                if self.prune(row, &own, &trees[&row]) && left.is_none() {
                    known.entries.insert(tree, None);
                    self.names.insert(name::Key { workflow: workflow.clone(), run: Some(tree) }, None);
                }
            }
        }
    }

    /// Remove branches from a tree, but for what the branches that stay may read. Answers whether nothing of the tree is left.
    ///
    /// A write does not say what its branch forked from. But forks lie between batches, so a branch that begins at an event
    /// can only read, just before it, a branch with a batch that ends there.
    fn prune(&mut self, row: i64, own: &BTreeSet<BranchId>, tree: &Tree) -> bool {
        let gone = |branch: &BranchId| own.contains(branch) || tree.dropped.contains(branch);
        let mut forks: Vec<i64> =
            tree.branches.iter().filter(|(branch, _)| !gone(branch)).map(|(_, line)| line.first).collect();
        if forks.is_empty() {
            self.felled.insert(row);
            return true;
        }
        let mut kept: BTreeMap<BranchId, i64> = BTreeMap::new();
        while let Some(fork) = forks.pop() {
            for (&branch, line) in
                tree.branches.iter().filter(|(branch, line)| gone(branch) && line.ends.contains(&fork))
            {
                // What is kept of this one may read another.
                let before = kept.insert(branch, fork.max(kept.get(&branch).copied().unwrap_or(fork)));
                if before.is_none() {
                    forks.push(line.first);
                }
            }
        }
        for &branch in tree.branches.keys().filter(|branch| gone(branch)) {
            match kept.get(&branch) {
                Some(&fork) => {
                    self.cut.insert((row, branch), fork);
                    self.dropped.insert(dropped::Row { tree: row, branch });
                }
                None => {
                    self.cut.insert((row, branch), 0);
                }
            }
        }
        false
    }
}
