//! A store that counts what it is asked, and asks another one.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use replicator::{
    history::Branch,
    ids::{EventId, Life, NamespaceId, RunId, ShardId, WorkflowId, WorkflowKey},
    shard::io::{CommitOutcome, Load, Loaded, RunChange, Transaction},
    task::Category,
};
use store::{
    Answer, ClusterRecord, HistoryError, HistoryPage, Identity, MemberRecord, NamespaceRecord, NamespaceTable,
    NamespaceWrite, NamespacesWritten, ScannedRun, Store, Unavailable,
    visibility::{Count, Page, VisibilityError},
};
use uuid::Uuid;

mod counts;

pub(crate) use counts::Counts;
use counts::{About, Operation, failed, of_commit, of_history, of_list, of_load};

/// A store, and what is counted of it.
pub(crate) struct Counted {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) counts: Counts,
}

impl Counted {
    /// What is about no namespace, and answers at once or not at all.
    fn system<'a, T>(
        &self,
        name: &'static str,
        answer: Answer<'a, Result<T, Unavailable>>,
    ) -> Answer<'a, Result<T, Unavailable>>
    where
        T: Send + 'a,
    {
        self.counts.measured(Operation { name, service: "server", about: About::System }, answer, failed)
    }
}

impl Store for Counted {
    fn commit(&self, transaction: Transaction) -> Answer<'_, Result<CommitOutcome, Unavailable>> {
        let operation = writing(&transaction);
        self.counts.measured(operation, self.store.commit(transaction), of_commit)
    }

    fn load(&self, shard: ShardId, load: Load) -> Answer<'_, Loaded> {
        let operation = reading(&load);
        self.counts.measured(operation, self.store.load(shard, load), of_load)
    }

    fn read_history<'a>(
        &'a self,
        shard: ShardId,
        workflow: &'a WorkflowKey,
        branch: &'a Branch,
        first: EventId,
        end: EventId,
        max_events: usize,
    ) -> Answer<'a, Result<HistoryPage, HistoryError>> {
        let answer = self.store.read_history(shard, workflow, branch, first, end, max_events);
        self.counts.measured(of_runs("ReadHistoryBranch", workflow.namespace), answer, of_history)
    }

    fn read_history_reverse<'a>(
        &'a self,
        shard: ShardId,
        workflow: &'a WorkflowKey,
        branch: &'a Branch,
        first: EventId,
        end: EventId,
        max_events: usize,
    ) -> Answer<'a, Result<HistoryPage, HistoryError>> {
        let answer = self.store.read_history_reverse(shard, workflow, branch, first, end, max_events);
        self.counts.measured(of_runs("ReadHistoryBranchReverse", workflow.namespace), answer, of_history)
    }

    fn list<'a>(
        &'a self,
        namespace: NamespaceId,
        query: &'a str,
        page_size: usize,
        token: &'a [u8],
    ) -> Answer<'a, Result<Page, VisibilityError>> {
        let answer = self.store.list(namespace, query, page_size, token);
        self.counts.measured(of_lists("ListWorkflowExecutions", namespace), answer, of_list)
    }

    fn count<'a>(&'a self, namespace: NamespaceId, query: &'a str) -> Answer<'a, Result<Count, VisibilityError>> {
        let answer = self.store.count(namespace, query);
        self.counts.measured(of_lists("CountWorkflowExecutions", namespace), answer, of_list)
    }

    fn scan<'a>(
        &'a self,
        namespace: NamespaceId,
        after: Option<(&'a WorkflowId, RunId)>,
        limit: usize,
    ) -> Answer<'a, Result<Vec<ScannedRun>, Unavailable>> {
        let answer = self.store.scan(namespace, after, limit);
        self.counts.measured(of_runs("ListConcreteExecutions", namespace), answer, failed)
    }

    fn namespaces(&self) -> Answer<'_, Result<NamespaceTable, Unavailable>> {
        self.system("ListNamespaces", self.store.namespaces())
    }

    fn namespace(&self, id: NamespaceId) -> Answer<'_, Result<Option<NamespaceRecord>, Unavailable>> {
        self.system("GetNamespace", self.store.namespace(id))
    }

    fn write_namespaces(
        &self,
        expected: i64,
        writes: Vec<NamespaceWrite>,
        publish: Vec<Bytes>,
    ) -> Answer<'_, Result<NamespacesWritten, Unavailable>> {
        self.system("UpdateNamespace", self.store.write_namespaces(expected, writes, publish))
    }

    fn publish(&self, messages: Vec<Bytes>) -> Answer<'_, Result<i64, Unavailable>> {
        self.system("EnqueueMessage", self.store.publish(messages))
    }

    fn published(&self, after: i64, limit: usize) -> Answer<'_, Result<Vec<(i64, Bytes)>, Unavailable>> {
        self.system("ReadQueueMessages", self.store.published(after, limit))
    }

    fn last_published(&self) -> Answer<'_, Result<i64, Unavailable>> {
        self.system("ReadQueueMessages", self.store.last_published())
    }

    fn published_acks(&self) -> Answer<'_, Result<BTreeMap<String, i64>, Unavailable>> {
        self.system("GetAckLevels", self.store.published_acks())
    }

    fn ack_published<'a>(&'a self, cluster: &'a str, id: Option<i64>) -> Answer<'a, Result<(), Unavailable>> {
        self.system("UpdateAckLevel", self.store.ack_published(cluster, id))
    }

    fn forget_published(&self, id: i64) -> Answer<'_, Result<(), Unavailable>> {
        self.system("DeleteQueueMessagesBefore", self.store.forget_published(id))
    }

    fn clusters(&self) -> Answer<'_, Result<Vec<ClusterRecord>, Unavailable>> {
        self.system("ListClusterMetadata", self.store.clusters())
    }

    fn put_cluster<'a>(
        &'a self,
        name: &'a str,
        expected: Option<i64>,
        record: Bytes,
    ) -> Answer<'a, Result<Option<i64>, Unavailable>> {
        self.system("SaveClusterMetadata", self.store.put_cluster(name, expected, record))
    }

    fn delete_cluster<'a>(&'a self, name: &'a str) -> Answer<'a, Result<bool, Unavailable>> {
        self.system("DeleteClusterMetadata", self.store.delete_cluster(name))
    }

    fn members(&self) -> Answer<'_, Result<Vec<MemberRecord>, Unavailable>> {
        self.system("GetClusterMembers", self.store.members())
    }

    fn put_member(&self, member: MemberRecord) -> Answer<'_, Result<(), Unavailable>> {
        self.system("UpsertClusterMembership", self.store.put_member(member))
    }

    fn remove_members(&self, ids: Vec<Uuid>) -> Answer<'_, Result<(), Unavailable>> {
        self.system("PruneClusterMembership", self.store.remove_members(ids))
    }

    fn life(&self) -> Answer<'_, Result<Life, Unavailable>> {
        self.system("GetCurrentClusterMetadata", self.store.life())
    }

    fn begin_incarnation(&self, fresh: Uuid) -> Answer<'_, Result<Identity, Unavailable>> {
        self.system("SaveClusterMetadata", self.store.begin_incarnation(fresh))
    }

    fn close(&self) -> Answer<'_, ()> {
        self.store.close()
    }
}

/// What Temporal calls a write. One of ours may do what takes several there; then it is called by what matters most.
fn writing(transaction: &Transaction) -> Operation {
    let Some(run) = transaction.runs.first() else {
        return match transaction.tasks.is_empty() {
            true => of_shard("UpdateShard"),
            false => of_shard("AddHistoryTasks"),
        };
    };
    let is_gone = transaction.runs.iter().any(|run| matches!(run.change, RunChange::Delete { .. }));
    let is_new = transaction.runs.iter().any(|run| run.expected.is_none());
    let name = match (is_gone, is_new) {
        (true, _) => "DeleteWorkflowExecution",
        (false, true) => "CreateWorkflowExecution",
        (false, false) => "UpdateWorkflowExecution",
    };
    of_runs(name, run.run.workflow.namespace)
}

/// What Temporal calls a read.
fn reading(load: &Load) -> Operation {
    match load {
        Load::AcquireShard { .. } => of_shard("GetOrCreateShard"),
        Load::Current(workflow) => of_runs("GetCurrentExecution", workflow.namespace),
        Load::Run(run) => of_runs("GetWorkflowExecution", run.workflow.namespace),
        Load::Tasks { category, .. } => of_shard(match category {
            Category::Transfer => "GetTransferTasks",
            Category::Timer => "GetTimerTasks",
            Category::Replication => "GetReplicationTasks",
            Category::Visibility => "GetVisibilityTasks",
            Category::Quarantine => "GetReplicationTasksFromDLQ",
            Category::Divergence => "GetDivergenceTasks",
            Category::Tombstone => "GetTombstoneTasks",
        }),
        Load::Backlog { .. } => of_shard("GetReplicationTasks"),
        Load::Runs { namespace, .. } => of_runs("ListConcreteExecutions", *namespace),
        Load::Branch { workflow, .. } => of_runs("ReadHistoryBranch", workflow.namespace),
        Load::PeerHistory { run, .. } => of_runs("ReadHistoryBranch", run.workflow.namespace),
    }
}

fn of_shard(name: &'static str) -> Operation {
    Operation { name, service: "history", about: About::System }
}

fn of_runs(name: &'static str, namespace: NamespaceId) -> Operation {
    Operation { name, service: "history", about: About::Runs(namespace) }
}

fn of_lists(name: &'static str, namespace: NamespaceId) -> Operation {
    Operation { name, service: "frontend", about: About::Lists(namespace) }
}
