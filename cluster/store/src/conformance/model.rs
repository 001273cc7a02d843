//! The vocabulary of the cases.

use std::sync::Arc;

use bytes::Bytes;
use replicator::{
    entropy::Entropy,
    history::Branch,
    ids::{BranchId, EventId, NamespaceId, RangeId, RecordVersion, RunId, RunKey, ShardId, TaskId, WorkflowKey},
    shard::io::{
        CommitOutcome, CurrentWrite, HistoryWrite, ItemKey, ItemKind, Load, Loaded, RunChange, RunWrite, StoredRun,
        Transaction, TransactionId, VisibilityRecord, VisibilityWrite,
    },
    task::{HistoryTask, TaskKey, TaskKind, TimerTask, TransferTask},
    time::Timestamp,
    version::FailoverVersion,
};
use uuid::Uuid;

use super::Fixture;
use crate::Store;

/// The shard of the cases.
pub const SHARD: ShardId = ShardId(3);

/// An open store whose shard is owned.
pub struct Owner {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The shard's range.
    pub range: RangeId,
}

impl Owner {
    /// Open the store and take the shard.
    pub async fn of(fixture: &dyn Fixture) -> Self {
        let store = fixture.open().await;
        let (range, _) = acquire(&*store, SHARD).await;
        Self { store, range }
    }

    /// Commit, and say what became of it.
    pub async fn commit(&self, transaction: Transaction) -> CommitOutcome {
        self.store.commit(Transaction { range: self.range, ..transaction }).await.expect("nothing stands in the way")
    }

    /// Commit what must hold.
    pub async fn commits(&self, transaction: Transaction) {
        assert_eq!(self.commit(transaction).await, CommitOutcome::Committed);
    }

    /// The stored run.
    pub async fn run(&self, run: &RunKey) -> Option<StoredRun> {
        match self.store.load(SHARD, Load::Run(run.clone())).await {
            Loaded::Run(found) => found,
            other => panic!("{other:?}"),
        }
    }

    /// The current run.
    pub async fn current(&self, workflow: &WorkflowKey) -> Option<StoredRun> {
        match self.store.load(SHARD, Load::Current(workflow.clone())).await {
            Loaded::Current(found) => found,
            Loaded::NoRuns => None,
            other => panic!("{other:?}"),
        }
    }
}

/// Take a shard: its range and record.
pub async fn acquire(store: &dyn Store, shard: ShardId) -> (RangeId, Bytes) {
    match store.load(shard, Load::AcquireShard { leaps: false }).await {
        Loaded::Shard { range, state, .. } => (range, state),
        other => panic!("{other:?}"),
    }
}

/// The namespace of the cases.
#[must_use]
pub fn namespace() -> NamespaceId {
    NamespaceId(Uuid::from_u128(0xa))
}

/// A workflow of the namespace.
#[must_use]
pub fn workflow(id: &str) -> WorkflowKey {
    WorkflowKey { namespace: namespace(), workflow: id.into() }
}

/// A run of a workflow, by a small number.
#[must_use]
pub fn run(workflow_id: &str, number: u128) -> RunKey {
    RunKey { workflow: workflow(workflow_id), run: RunId(Uuid::from_u128(number)) }
}

/// A branch of the tree of a run, by a small number.
#[must_use]
pub fn root(run: &RunKey, number: u128) -> Branch {
    Branch { tree: run.run, id: BranchId(Uuid::from_u128(number)), ancestors: Vec::new() }
}

/// A fork.
#[must_use]
pub fn fork(branch: &Branch, at: i64) -> Branch {
    branch.fork(EventId(at), &mut Entropy::new(at.unsigned_abs()))
}

/// A transaction that does nothing.
#[must_use]
pub fn nothing() -> Transaction {
    Transaction {
        id: TransactionId(1),
        shard: SHARD,
        range: RangeId(0),
        current: None,
        runs: Vec::new(),
        history: Vec::new(),
        tasks: Vec::new(),
        completed: Vec::new(),
        replicated: None,
        visibility: Vec::new(),
        shard_state: None,
    }
}

/// A write of a run.
#[must_use]
pub fn put(run: &RunKey, expected: Option<i64>, record: i64) -> RunWrite {
    let state = Bytes::from(format!("state {record}"));
    let change = RunChange::Put { record: RecordVersion(record), state, upserts: Vec::new(), deletes: Vec::new() };
    RunWrite { run: run.clone(), expected: expected.map(RecordVersion), change }
}

/// A deletion of a run.
#[must_use]
pub fn delete(run: &RunKey, expected: i64, branches: &[&Branch]) -> RunWrite {
    let branches = branches.iter().map(|branch| (*branch).clone()).collect();
    RunWrite { run: run.clone(), expected: Some(RecordVersion(expected)), change: RunChange::Delete { branches } }
}

/// A change of the pointer.
#[must_use]
pub fn point(workflow: &WorkflowKey, expected: Option<&RunKey>, next: Option<&RunKey>) -> CurrentWrite {
    let id = |run: Option<&RunKey>| run.map(|run| run.run);
    CurrentWrite { workflow: workflow.clone(), expected: id(expected), next: id(next) }
}

/// A start: a new run that is current.
#[must_use]
pub fn start(run: &RunKey) -> Transaction {
    let current = Some(point(&run.workflow, None, Some(run)));
    Transaction { current, runs: vec![put(run, None, 1)], ..nothing() }
}

/// A batch of events `first` to before `next`.
#[must_use]
pub fn batch(branch: &Branch, first: i64, next: i64, transaction: i64, previous: i64) -> HistoryWrite {
    HistoryWrite {
        tree: branch.tree,
        branch: branch.id,
        node: EventId(first),
        next: EventId(next),
        transaction: TaskId(transaction),
        previous: TaskId(previous),
        events: Bytes::from(format!("{first}-{next}@{transaction}")),
    }
}

/// The key of an item.
#[must_use]
pub fn item(kind: ItemKind, key: &'static str) -> ItemKey {
    ItemKey { kind, key: Bytes::from_static(key.as_bytes()) }
}

/// A transfer task.
#[must_use]
pub fn transfer(run: &RunKey, id: i64) -> HistoryTask {
    let kind = TaskKind::Transfer(TransferTask::Workflow { scheduled: EventId(2), attempt: 1 });
    task(run, 0, id, kind)
}

/// A timer task.
#[must_use]
pub fn timer(run: &RunKey, fire_time: i64, id: i64) -> HistoryTask {
    task(run, fire_time, id, TaskKind::Timer(TimerTask::UserTimer))
}

/// A task.
#[must_use]
pub fn task(run: &RunKey, fire_time: i64, id: i64, kind: TaskKind) -> HistoryTask {
    let key = TaskKey { fire_time: Timestamp(fire_time), id: TaskId(id) };
    HistoryTask { key, run: run.clone(), version: FailoverVersion(1), kind }
}

/// What lists see of an open run.
#[must_use]
pub fn listed(run: &RunKey, started: i64) -> VisibilityRecord {
    VisibilityRecord {
        run: run.clone(),
        workflow_type: "Type".into(),
        task_queue: "queue".into(),
        status: 1,
        start_time: Timestamp(started),
        execution_time: Timestamp(started),
        close_time: None,
        history_length: 0,
        history_size: 0,
        state_transitions: 0,
        memo: Bytes::from_static(b"memo"),
        search_attributes: Bytes::new(),
        parent: None,
        root: None,
    }
}

/// A write of what lists see.
#[must_use]
pub fn show(record: &VisibilityRecord) -> VisibilityWrite {
    VisibilityWrite::Put(Box::new(record.clone()))
}
