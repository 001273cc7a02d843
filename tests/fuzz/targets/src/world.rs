//! A shard with the world that it needs: a store that keeps what it is told, peers that answer, workers that poll.

use std::{
    collections::{BTreeMap, VecDeque, btree_map::Entry},
    time::Duration,
};

use bytes::Bytes;
use proto::temporal::{
    api::workflowservice::v1 as api, server::api::adminservice::v1::GetWorkflowExecutionRawHistoryV2Response,
};
use replicator::{
    ids::{
        BranchId, ClusterId, EventId, Life, NamespaceId, RangeId, RecordVersion, RunId, RunKey, ShardId, TaskId,
        WorkflowKey,
    },
    namespace::Namespace,
    shard::{
        Shard,
        io::{
            BacklogTask, Call, CommitOutcome, Dispatch, DispatchQueue, ItemKey, Load, LoadId, Loaded, Output, Request,
            RequestId, RunChange, StoredRun, StreamEvent, StreamKey, StreamRole, Transaction,
        },
    },
    task::{Category, HistoryTask, TaskKey},
    time::Timestamp,
    version::{ClusterName, FailoverVersion, Topology},
};

/// The cluster of the shard.
pub const HERE: &str = "y";

/// The first peer.
pub const THERE: &str = "x";

/// Its peers. Both may be active for a namespace.
pub const PEERS: [ClusterId; 2] = [ClusterId(1), ClusterId(3)];

/// When everything begins.
pub const NOW: Timestamp = Timestamp::from_millis(1_763_862_000_000);

/// What follows one input; more is a shard that never rests.
const MOST_OUTPUTS: usize = 100_000;

/// The clusters as they are named in the captured messages.
const CLUSTERS: [(&str, i32); 3] = [(THERE, 1), (HERE, 2), ("z", 3)];

/// A run, where no input names one.
#[must_use]
pub fn run() -> RunKey {
    let workflow = WorkflowKey { namespace: namespace().id, workflow: "workflow".into() };
    RunKey { workflow, run: RunId::from_bytes([7; 16]) }
}

/// A namespace, where no input names one.
#[must_use]
pub fn namespace() -> Namespace {
    global(NamespaceId::from_bytes([5; 16]))
}

/// A namespace that the first peer is active for.
fn global(id: NamespaceId) -> Namespace {
    let clusters = CLUSTERS.map(|(name, _)| name.into()).into();
    Namespace::global(id, id.to_string(), clusters, FailoverVersion(1), Duration::from_secs(24 * 3600))
}

fn topology() -> Topology {
    let mut topology = Topology::new(10, HERE.into(), ClusterId(2)).expect("a proper cluster");
    for (name, id) in CLUSTERS {
        topology.add(name.into(), ClusterId(id)).expect("a proper cluster");
    }
    topology
}

/// The stream on which the shard hears a peer.
#[must_use]
pub fn hearing(cluster: ClusterId) -> StreamKey {
    StreamKey { cluster, shard: ShardId(1), role: StreamRole::Target }
}

/// The stream on which the shard tells a peer.
#[must_use]
pub fn telling(cluster: ClusterId) -> StreamKey {
    StreamKey { cluster, shard: ShardId(1), role: StreamRole::Source }
}

/// What the store keeps.
#[derive(Debug, Default)]
struct Stored {
    range: i64,
    shard: Bytes,
    current: BTreeMap<WorkflowKey, RunId>,
    runs: BTreeMap<RunKey, (RecordVersion, Bytes, BTreeMap<ItemKey, Bytes>)>,
    tasks: BTreeMap<(Category, TaskKey), HistoryTask>,
    /// Batches by branch and first event: of two at one place the later one counts.
    batches: BTreeMap<(BranchId, EventId), (EventId, Bytes)>,
}

/// A shard and its world.
#[derive(Debug)]
pub struct World {
    shard: Shard,
    now: Timestamp,
    stored: Stored,
    namespaces: BTreeMap<NamespaceId, Namespace>,
    dispatched: VecDeque<Dispatch>,
    requests: u64,
    /// Answers of peers that will be asked for missing events.
    pub peer_history: VecDeque<GetWorkflowExecutionRawHistoryV2Response>,
    /// Everything that was written, if the maker of a corpus wants it.
    pub written: Option<Vec<Transaction>>,
}

impl World {
    /// A shard that owns nothing yet but itself, with its streams open.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "an empty world would be another one")]
    pub fn new() -> Self {
        let mut world = Self {
            shard: Shard::new(ShardId(1), topology(), 1),
            now: NOW,
            stored: Stored::default(),
            namespaces: BTreeMap::from([(namespace().id, namespace())]),
            dispatched: VecDeque::new(),
            requests: 0,
            peer_history: VecDeque::new(),
            written: None,
        };
        world.begin();
        world
    }

    /// The process ends; another one begins with what is stored.
    pub fn restart(&mut self) {
        self.shard = Shard::new(ShardId(1), topology(), 1);
        self.begin();
    }

    fn begin(&mut self) {
        self.dispatched.clear();
        for namespace in self.namespaces.values() {
            self.shard.handle_namespace(self.now, namespace.clone());
        }
        self.shard.acquire();
        for key in PEERS.into_iter().flat_map(|peer| [hearing(peer), telling(peer)]) {
            self.shard.handle_stream(self.now, key, StreamEvent::Opened);
        }
        self.settle();
    }

    /// Something happens to a stream.
    pub fn stream(&mut self, key: StreamKey, event: StreamEvent) {
        self.shard.handle_stream(self.now, key, event);
        self.settle();
    }

    /// Every stream closes and opens.
    pub fn reconnect(&mut self) {
        for event in [StreamEvent::Closed, StreamEvent::Opened] {
            for key in PEERS.into_iter().flat_map(|peer| [hearing(peer), telling(peer)]) {
                self.stream(key, event.clone());
            }
        }
    }

    /// Time passes, and what is due happens.
    pub fn later(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        // What goes on for ever, like a workflow task that nobody takes, goes on later.
        for _ in 0..100 {
            if self.shard.poll_timeout().is_none_or(|due| due > self.now) {
                return;
            }
            self.shard.handle_timeout(self.now);
            self.settle();
        }
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The namespaces that the shard knows.
    #[must_use]
    pub fn namespaces(&self) -> &BTreeMap<NamespaceId, Namespace> {
        &self.namespaces
    }

    /// A namespace is new or has changed.
    pub fn namespace(&mut self, namespace: Option<Namespace>) {
        if let Some(namespace) = namespace {
            self.namespaces.insert(namespace.id, namespace.clone());
            self.shard.handle_namespace(self.now, namespace);
            self.settle();
        }
    }

    /// Every namespace becomes active in `cluster`.
    pub fn fail_over(&mut self, cluster: &str) {
        let cluster = ClusterName::from(cluster);
        for mut namespace in self.namespaces.clone().into_values() {
            let Some(version) = topology().next_version(&cluster, namespace.failover_version) else { continue };
            namespace.failover_version = version;
            namespace.active = cluster.clone();
            self.namespace(Some(namespace));
        }
    }

    /// Workers take what was dispatched.
    pub fn work(&mut self) {
        for Dispatch { run, scheduled, attempt, queue, .. } in std::mem::take(&mut self.dispatched) {
            let request_id = "poll".to_owned();
            let call = match queue {
                DispatchQueue::Activity(_) => Call::StartActivity {
                    scheduled,
                    attempt,
                    request_id,
                    poll: Box::new(api::PollActivityTaskQueueRequest::default()),
                },
                DispatchQueue::Workflow(_) | DispatchQueue::Sticky(..) => Call::StartWorkflowTask {
                    scheduled,
                    request_id,
                    poll: Box::new(api::PollWorkflowTaskQueueRequest::default()),
                },
            };
            self.call(&run, call);
        }
    }

    /// Somebody wants something of a run.
    pub fn call(&mut self, run: &RunKey, call: Call) {
        self.request(Request { workflow: run.workflow.clone(), run: Some(run.run), call });
    }

    /// Somebody wants something of the current run of a workflow.
    pub fn call_current(&mut self, workflow: &WorkflowKey, call: Call) {
        self.request(Request { workflow: workflow.clone(), run: None, call });
    }

    fn request(&mut self, request: Request) {
        self.requests += 1;
        self.shard.handle_request(self.now, RequestId(self.requests), request);
        self.settle();
    }

    /// The runs that are stored.
    #[must_use]
    pub fn runs(&self) -> Vec<RunKey> {
        self.stored.runs.keys().cloned().collect()
    }

    /// A run as it is stored.
    #[must_use]
    pub fn stored(&self, run: &RunKey) -> Option<StoredRun> {
        let (record, state, items) = self.stored.runs.get(run)?.clone();
        Some(StoredRun { run: run.clone(), record, state, items: items.into_iter().collect() })
    }

    /// Do what the shard wants until it wants nothing more.
    fn settle(&mut self) {
        for _ in 0..MOST_OUTPUTS {
            let Some(output) = self.shard.poll_output() else { return };
            match output {
                Output::Load(id, load) => self.load(id, load),
                Output::Commit(transaction) => {
                    let id = transaction.id;
                    self.commit(*transaction);
                    self.shard.handle_commit(self.now, id, CommitOutcome::Committed);
                }
                Output::Dispatch(dispatch) => {
                    self.dispatched.push_back(dispatch);
                    self.dispatched.truncate(16);
                }
                Output::RefreshNamespace { namespace, .. } => {
                    if let Entry::Vacant(unknown) = self.namespaces.entry(namespace) {
                        let told = unknown.insert(global(namespace)).clone();
                        self.shard.handle_namespace(self.now, told);
                    }
                }
                Output::Reply(..)
                | Output::Withdraw(..)
                | Output::Frame(..)
                | Output::Notify(_)
                | Output::Handover(..)
                | Output::Report(_) => {}
            }
        }
        panic!("the shard never rests");
    }

    fn load(&mut self, id: LoadId, load: Load) {
        let loaded = match load {
            Load::AcquireShard { leaps } => {
                self.stored.range = RangeId(self.stored.range).next(leaps).0;
                let life = Life::FIRST;
                Loaded::Shard { range: RangeId(self.stored.range), state: self.stored.shard.clone(), life }
            }
            Load::Current(workflow) => {
                let current = self.stored.current.get(&workflow).copied();
                Loaded::Current(current.and_then(|run| self.stored(&RunKey { workflow, run })))
            }
            Load::Run(run) => Loaded::Run(self.stored(&run)),
            Load::Tasks { category, after, limit } => {
                let tasks = self.stored.tasks.iter().filter(|((of, key), _)| *of == category && Some(*key) > after);
                Loaded::Tasks(tasks.take(limit).map(|(_, task)| task.clone()).collect())
            }
            Load::Backlog { after, limit } => {
                let told = |category: Category, key: &TaskKey| category == Category::Replication && key.id > after;
                let tasks = self.stored.tasks.iter().filter(|((category, key), _)| told(*category, key));
                // Their events are gone, as those of a run that was deleted.
                let row =
                    |task: &HistoryTask| BacklogTask { task: task.clone(), events: Vec::new(), new_run_events: None };
                Loaded::Backlog(tasks.take(limit).map(|(_, task)| row(task)).collect())
            }
            Load::Runs { namespace, after, limit } => {
                let place = |run: &RunKey| (run.workflow.workflow.clone(), run.run);
                let runs = self.stored.runs.keys().filter(|run| run.workflow.namespace == namespace);
                Loaded::Runs(runs.filter(|run| Some(place(run)) > after).take(limit).cloned().collect())
            }
            Load::Branch { branch, first, end, .. } => {
                let mut batches = Vec::new();
                for range in branch.ranges(first, end) {
                    let mut at = range.begin;
                    while let Some((next, events)) = self.stored.batches.get(&(range.branch, at)) {
                        if at >= range.end {
                            break;
                        }
                        batches.push(events.clone());
                        at = *next;
                    }
                }
                Loaded::Branch { batches, next: None }
            }
            Load::PeerHistory { .. } => {
                let answer = self.peer_history.pop_front();
                answer.map_or(Loaded::PeerNotFound, |answer| Loaded::PeerHistory(Box::new(answer)))
            }
        };
        self.shard.handle_loaded(self.now, id, loaded);
    }

    /// Write, after looking that what is written builds on what is there.
    fn commit(&mut self, transaction: Transaction) {
        self.written.iter_mut().for_each(|written| written.push(transaction.clone()));
        let stored = &mut self.stored;
        assert_eq!(transaction.range, RangeId(stored.range), "a write of the owner");
        for write in &transaction.history {
            assert!(write.node.0 >= 1 && write.node < write.next, "a batch has events");
            stored.batches.insert((write.branch, write.node), (write.next, write.events.clone()));
        }
        if let Some(write) = transaction.current {
            assert_eq!(stored.current.get(&write.workflow).copied(), write.expected, "the current run is as expected");
            match write.next {
                Some(run) => stored.current.insert(write.workflow, run),
                None => stored.current.remove(&write.workflow),
            };
        }
        for write in transaction.runs {
            let before = stored.runs.remove(&write.run);
            assert_eq!(before.as_ref().map(|(record, ..)| *record), write.expected, "the run is as expected");
            if let RunChange::Put { record, state, upserts, deletes } = write.change {
                let mut items = before.map(|(_, _, items)| items).unwrap_or_default();
                items.extend(upserts);
                items.retain(|key, _| !deletes.contains(key));
                stored.runs.insert(write.run, (record, state, items));
            }
        }
        stored.tasks.extend(transaction.tasks.into_iter().map(|task| ((task.kind.category(), task.key), task)));
        for done in transaction.completed {
            stored.tasks.remove(&done);
        }
        let replicated = transaction.replicated.unwrap_or(TaskId(0));
        stored.tasks.retain(|(category, key), _| *category != Category::Replication || key.id > replicated);
        stored.shard = transaction.shard_state.unwrap_or_else(|| stored.shard.clone());
    }
}
