//! The world: clusters of real shards, and around them everything that is false. One thread, one seed, one order.
//!
//! What may happen is [`Event`]; an event is handled whole before the next. Nothing here knows what the core should do:
//! that is for the checkers, which see what becomes durable, what is acknowledged and what is said.

mod calls;
mod clients;
mod endings;
mod faults;
mod handovers;
mod namespaces;
mod paths;
mod rest;
mod restore;
mod shards;
mod storage;
mod streams;
mod workers;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    time::Duration,
};

use proto::temporal::server::api::replication::v1::NamespaceTaskAttributes;
use replicator::{
    ids::{BranchId, ClusterId, EventId, NamespaceId, RunKey, WorkflowId, WorkflowKey},
    namespace::Namespace,
    shard::io::{CommitOutcome, Load, LoadId, Loaded, Reply, Transaction, TransactionId},
    time::Timestamp,
    version::{FailoverVersion, Topology, VersionHistoryItem},
    workflow::{MutableState, execution::Phase},
};

use crate::{
    agenda::Agenda,
    bank::Bank,
    checkers::{Checkers, Finding, Seen, Violation},
    coverage::Coverage,
    matching::Matching,
    network::Network,
    plan::{Plan, What},
    random::Random,
    store::Store,
    trace::{Place, Trace, name},
};

pub use endings::Ending;

use calls::{Call, CallId};
use clients::Order;
use shards::{Node, NodeId};
use streams::{Connection, ConnectionId, End, Line, Parcel};
use workers::Job;

/// Many clusters and all that surrounds them.
pub struct World {
    plan: Plan,
    steps: VecDeque<What>,
    /// Whether hosts may take shards from each other.
    has_rivals: bool,
    now: Timestamp,
    agenda: Agenda<Event>,
    clusters: Vec<Cluster>,
    nodes: BTreeMap<NodeId, Node>,
    network: Network,
    connections: BTreeMap<ConnectionId, Connection>,
    /// Dials under way.
    dialling: BTreeSet<(NodeId, Line)>,
    calls: BTreeMap<CallId, Call>,
    orders: Vec<Order>,
    namespaces: Vec<Tenant>,
    /// Graceful failovers under way, by namespace.
    handovers: BTreeMap<usize, handovers::Running>,
    /// Namespaces whose next switch cuts the two clusters apart, for so long.
    cut_at_switch: BTreeMap<usize, Duration>,
    /// Pairs of clusters that operators disconnected, and until when; the lower number first.
    apart: BTreeMap<(usize, usize), Timestamp>,
    /// Clusters that are in no namespace yet.
    late: BTreeSet<usize>,
    /// The world outside, where activities do what they do.
    bank: Bank,
    random: Concerns,
    is_healed: bool,
    next_id: u64,
    at_this_moment: u64,
    trace: Trace,
    coverage: Coverage,
    checkers: Checkers,
    violation: Option<Violation>,
    is_at_rest: bool,
}

/// A cluster: its host, its store, and what it knows.
struct Cluster {
    topology: Topology,
    /// The node that has each shard, as far as routing knows.
    owners: Vec<Option<NodeId>>,
    /// Counts its starts: what an earlier process asked for is not answered.
    incarnation: u64,
    is_up: bool,
    paused_until: Timestamp,
    /// What happens in it when it goes on, in order.
    asleep: Vec<Event>,
    /// What its clock is ahead of the world's, in nanoseconds.
    skew: i64,
    store: Store,
    /// Writes that wait for the next sync.
    group: Vec<(NodeId, Box<Transaction>)>,
    /// Writes that were asked for and are neither durable nor given up.
    writing: BTreeSet<(NodeId, TransactionId)>,
    stalled_until: Timestamp,
    full_until: Timestamp,
    matching: Matching,
    records: BTreeMap<NamespaceId, Namespace>,
    /// What an operator kept of it.
    backup: Option<restore::Backup>,
    /// Since its store was brought back: clusters that it has not asked what they know of namespaces.
    unasked: BTreeSet<usize>,
    /// Where each stored run stands.
    runs: BTreeMap<RunKey, Standing>,
    random: Random,
}

/// Where a stored run stands.
#[derive(Clone, Debug, PartialEq)]
struct Standing {
    last: VersionHistoryItem,
    phase: Stand,
    branches: usize,
    current_branch: BranchId,
    /// Inputs of losers that it was given.
    reapplied: usize,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stand {
    Running,
    Zombie,
    Closed,
}

impl Standing {
    fn of(state: &MutableState) -> Self {
        Self {
            last: state.histories.current().versions.last(),
            phase: match state.execution.phase {
                Phase::Running => Stand::Running,
                Phase::Zombie => Stand::Zombie,
                Phase::Closed(_) => Stand::Closed,
            },
            branches: state.histories.all().len(),
            current_branch: state.histories.current().branch.id,
            reapplied: state.reapplied.table.len(),
        }
    }

    fn is_open(&self) -> bool {
        self.phase != Stand::Closed
    }
}

/// A namespace, as the operator sees it.
struct Tenant {
    id: NamespaceId,
    active: usize,
    /// The highest version that any cluster gave it.
    version: FailoverVersion,
    is_registered: bool,
    /// When it last moved.
    moved: Timestamp,
}

/// Sequences of chance for what belongs to no link and no store.
struct Concerns {
    clients: Random,
    workers: Random,
    streams: Random,
    namespaces: Random,
}

/// Everything that can happen.
enum Event {
    /// The plan goes on.
    Step,
    /// What a shard waits for is due, unless it waits for something else by now.
    Timeout(NodeId, u64),
    /// A shard hears of a namespace.
    Told(NodeId, NamespaceId),
    /// A write reaches the store.
    Written(usize, u64, NodeId, Box<Transaction>),
    /// A store syncs what waits.
    Sync(usize, u64),
    /// A shard hears what became of its write.
    Decided(NodeId, TransactionId, CommitOutcome),
    /// A read reaches the store.
    Read(usize, u64, NodeId, LoadId, Box<Load>),
    /// A shard hears what was read.
    Loaded(NodeId, LoadId, Box<Loaded>),
    /// A shard dials.
    Dial(Line),
    /// A dial reaches the other cluster.
    Dialled(Line, NodeId),
    /// Something arrives at an end of a stream.
    Arrives(ConnectionId, End, Parcel),
    /// An end notices that its stream is gone.
    Noticed(ConnectionId, End),
    /// A call reaches a cluster.
    Request(CallId, usize),
    /// The answer to a call reaches its caller.
    Answer(CallId, Box<Reply>),
    /// A caller has waited long enough.
    Deadline(CallId),
    /// A client goes on.
    Client(usize),
    /// Matching offers a task to workers.
    Offer(usize, u64, RunKey, EventId, u64),
    /// A worker has done its work.
    Work(Box<Job>),
    /// A cluster tells another one about a namespace.
    Publish(usize, usize, usize),
    /// A cluster hears about a namespace.
    Published(usize, usize, Box<NamespaceTaskAttributes>),
    /// A cluster asks another one about a namespace.
    Refresh(usize, usize, NamespaceId),
    /// Operators see whether a cluster is in a namespace.
    Join(usize, usize),
    /// Something happens to a handover of a namespace.
    Handover(usize, u64, handovers::News),
    /// A cluster looks whether writes to a namespace were to be held back until now.
    EndPause(usize, usize),
    /// A cluster starts again.
    Restart(usize, u64),
    /// A cluster whose store was brought back asks another one what it knows of namespaces.
    Recall(usize, usize),
    /// It is told.
    Recalled(usize, usize, Vec<NamespaceTaskAttributes>),
    /// A clock is a little further off, and so many times more.
    Drift(usize, i64, u32),
    /// A host that lost its shard ends.
    Retire(NodeId),
    /// A cluster that paused goes on.
    Wake(usize),
    /// Faults end.
    Heal,
    /// Is everything at rest?
    Look,
    /// Clients signal what waits for signals.
    Nudge,
}

impl World {
    /// The world at the beginning of a plan.
    #[must_use]
    pub fn new(mut plan: Plan, keeps_lines: bool) -> Self {
        let seed = plan.seed;
        let has_rivals = plan.has_rivals();
        let steps = std::mem::take(&mut plan.steps);
        let clusters: Vec<Cluster> = (0..plan.clusters()).map(|number| Cluster::new(&plan, number)).collect();
        let tenant = |(number, active): (usize, &usize)| Tenant {
            id: NamespaceId::from_bytes([u8::try_from(number + 1).expect("few namespaces"); 16]),
            active: *active,
            version: first_version(*active),
            is_registered: false,
            moved: Timestamp::ZERO,
        };
        let mut world = Self {
            steps: VecDeque::new(),
            has_rivals,
            now: BEGIN,
            agenda: Agenda::default(),
            nodes: BTreeMap::new(),
            network: Network::new(seed, plan.network),
            connections: BTreeMap::new(),
            dialling: BTreeSet::new(),
            calls: BTreeMap::new(),
            orders: Vec::new(),
            apart: BTreeMap::new(),
            namespaces: plan.namespaces.iter().enumerate().map(tenant).collect(),
            handovers: BTreeMap::new(),
            cut_at_switch: BTreeMap::new(),
            late: plan.late.iter().copied().collect(),
            bank: Bank::default(),
            random: Concerns {
                clients: Random::of(seed, "clients", 0),
                workers: Random::of(seed, "workers", 0),
                streams: Random::of(seed, "streams", 0),
                namespaces: Random::of(seed, "namespaces", 0),
            },
            is_healed: false,
            next_id: 0,
            at_this_moment: 0,
            trace: Trace::new(BEGIN, keeps_lines),
            coverage: Coverage::default(),
            checkers: Checkers::new(&plan),
            violation: None,
            is_at_rest: false,
            clusters,
            plan,
        };
        for cluster in 0..world.clusters.len() {
            world.start_cluster(cluster);
        }
        world.agenda.put(BEGIN + world.plan.duration, Event::Heal);
        for step in steps {
            world.agenda.put(BEGIN + step.at, Event::Step);
            world.steps.push_back(step.what);
        }
        world
    }

    /// Let the next thing happen. Whether there is more to come.
    pub fn step(&mut self) -> bool {
        if self.violation.is_some() || self.is_at_rest {
            return false;
        }
        let Some((at, event)) = self.agenda.take() else { return false };
        self.at_this_moment = if at == self.now { self.at_this_moment + 1 } else { 0 };
        self.now = at;
        if self.at_this_moment > MOST_AT_A_MOMENT {
            self.find("the world goes on", Finding::of_all("the same moment never ends".into()));
            return false;
        }
        match self.sleeper(&event) {
            Some(cluster) => self.clusters[cluster].asleep.push(event),
            None => self.handle(event),
        }
        true
    }

    /// A cluster that paused goes on, unless it pauses for longer.
    fn wake(&mut self, cluster: usize) {
        if self.clusters[cluster].paused_until <= self.now {
            let missed = std::mem::take(&mut self.clusters[cluster].asleep);
            missed.into_iter().for_each(|event| self.handle(event));
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Step => {
                if let Some(what) = self.steps.pop_front() {
                    self.carry_out(what);
                }
            }
            Event::Timeout(node, arming) => self.on_timeout(node, arming),
            Event::Told(node, namespace) => self.on_told(node, namespace),
            Event::Written(cluster, incarnation, node, write) => self.on_written(cluster, incarnation, node, write),
            Event::Sync(cluster, incarnation) => self.on_sync(cluster, incarnation),
            Event::Decided(node, id, outcome) => self.on_decided(node, id, outcome),
            Event::Read(cluster, incarnation, node, id, load) => self.on_read(cluster, incarnation, node, id, &load),
            Event::Loaded(node, id, loaded) => self.on_loaded(node, id, *loaded),
            Event::Dial(line) => self.on_dial(line),
            Event::Dialled(line, node) => self.on_dialled(line, node),
            Event::Arrives(connection, end, parcel) => self.on_arrival(connection, end, parcel),
            Event::Noticed(connection, end) => self.on_noticed(connection, end),
            Event::Request(call, to) => self.on_request(call, to),
            Event::Answer(call, reply) => self.on_answer(call, Some(*reply)),
            Event::Deadline(call) => self.on_answer(call, None),
            Event::Client(order) => self.on_client(order),
            Event::Offer(cluster, incarnation, run, scheduled, ticket) => {
                self.on_offer(cluster, incarnation, &run, scheduled, ticket);
            }
            Event::Work(job) => self.on_work(*job),
            Event::Publish(from, to, namespace) => self.on_publish(from, to, namespace),
            Event::Published(from, to, task) => self.on_published(from, to, task),
            Event::Refresh(cluster, from, namespace) => self.on_refresh(cluster, from, namespace),
            Event::Join(cluster, number) => self.join_one(cluster, number),
            Event::Handover(namespace, id, news) => self.on_handover(namespace, id, news),
            Event::EndPause(cluster, number) => self.end_pause(cluster, number),
            Event::Restart(cluster, incarnation) => self.on_restart(cluster, incarnation),
            Event::Recall(cluster, from) => self.on_recall(cluster, from),
            Event::Recalled(cluster, from, told) => self.on_recalled(cluster, from, &told),
            Event::Drift(cluster, millionths, ticks) => self.on_drift(cluster, millionths, ticks),
            Event::Retire(node) => self.end_node(node),
            Event::Wake(cluster) => self.wake(cluster),
            Event::Heal => self.heal(),
            Event::Look => self.look(),
            Event::Nudge => self.nudge(),
        }
    }

    /// The cluster in which something happens, if it pauses: then it happens later.
    fn sleeper(&self, event: &Event) -> Option<usize> {
        let of_node = |node: &NodeId| self.nodes.get(node).map(|node| node.cluster);
        let cluster = match event {
            Event::Timeout(node, _)
            | Event::Told(node, _)
            | Event::Decided(node, ..)
            | Event::Loaded(node, ..)
            | Event::Retire(node) => of_node(node),
            Event::Arrives(connection, end, _) | Event::Noticed(connection, end) => {
                self.connections.get(connection).and_then(|connection| of_node(&connection.node(*end)))
            }
            Event::Written(cluster, ..)
            | Event::Sync(cluster, _)
            | Event::Read(cluster, ..)
            | Event::Request(_, cluster)
            | Event::Offer(cluster, ..)
            | Event::Publish(cluster, ..)
            | Event::Published(_, cluster, _)
            | Event::Recall(cluster, _)
            | Event::Recalled(cluster, ..)
            | Event::EndPause(cluster, _)
            | Event::Refresh(cluster, ..) => Some(*cluster),
            Event::Dial(line) => Some(line.target),
            Event::Handover(number, id, _) => self.driver_of(*number, *id),
            Event::Dialled(line, _) => Some(line.source),
            _ => None,
        };
        cluster.filter(|cluster| {
            self.now < self.clusters[*cluster].paused_until || !self.clusters[*cluster].asleep.is_empty()
        })
    }

    fn after(&mut self, delay: Duration, event: Event) {
        self.agenda.put(self.now + delay, event);
    }

    fn fresh(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn note(&mut self, place: Place, kind: &'static str, subject: Option<&WorkflowId>, text: fmt::Arguments<'_>) {
        self.trace.note(self.now, place, kind, subject, text);
    }

    /// Show the checkers something.
    fn show(&mut self, seen: &Seen<'_>) {
        if let Err((promise, finding)) = self.checkers.see(seen) {
            self.find(promise, finding);
        }
    }

    /// A promise was broken. The first is kept: others may follow from it.
    fn find(&mut self, promise: &'static str, finding: Finding) {
        let subject = finding.subject.clone();
        self.note(Place::World, "VIOLATION", subject.as_ref(), format_args!("{promise}: {}", finding.text));
        self.violation.get_or_insert(Violation { at: self.now.since(BEGIN), promise, finding });
    }

    /// What time a cluster believes it is.
    fn local(&self, cluster: usize) -> Timestamp {
        Timestamp(self.now.0 + self.clusters[cluster].skew)
    }

    fn tenant_of(&self, namespace: NamespaceId) -> Option<usize> {
        self.namespaces.iter().position(|tenant| tenant.id == namespace)
    }

    fn owner_of(&self, cluster: usize, workflow: &WorkflowKey) -> Option<NodeId> {
        let owners = &self.clusters[cluster].owners;
        let count = u32::try_from(owners.len()).expect("few shards");
        let shard = replicator::ids::shard_of(workflow.namespace, &workflow.workflow, count);
        owners[shard.0 as usize - 1]
    }

    /// What the run came to.
    #[must_use]
    pub fn end(self) -> Outcome {
        let endings = if self.trace.keeps_lines() { self.endings() } else { Vec::new() };
        Outcome {
            violation: self.violation,
            coverage: self.coverage,
            elapsed: self.now.since(BEGIN),
            begin: self.trace.begin(),
            happenings: self.trace.count(),
            hash: self.trace.hash(),
            lines: self.trace.into_lines(),
            endings,
        }
    }

    /// How much simulated time has passed.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now.since(BEGIN)
    }
}

impl Cluster {
    fn new(plan: &Plan, number: usize) -> Self {
        let mut topology = Topology::new(INCREMENT, name(number).into(), cluster_id(number)).expect("a proper cluster");
        for other in 0..plan.clusters() {
            topology.add(name(other).into(), cluster_id(other)).expect("a proper cluster");
            topology.set_shards(cluster_id(other), plan.shards[other]);
        }
        Self {
            topology,
            owners: vec![None; plan.shards[number] as usize],
            incarnation: 0,
            is_up: false,
            paused_until: Timestamp::ZERO,
            asleep: Vec::new(),
            skew: 0,
            store: Store::default(),
            group: Vec::new(),
            writing: BTreeSet::new(),
            stalled_until: Timestamp::ZERO,
            full_until: Timestamp::ZERO,
            matching: Matching::default(),
            records: BTreeMap::new(),
            backup: None,
            unasked: BTreeSet::new(),
            runs: BTreeMap::new(),
            random: Random::of(plan.seed, "cluster", number as u64),
        }
    }
}

/// The id by which clusters know the cluster of a number.
pub(crate) fn cluster_id(number: usize) -> ClusterId {
    ClusterId(i32::try_from(number + 1).expect("few clusters"))
}

/// The number of a cluster that clusters know by an id.
fn number_of(id: ClusterId) -> usize {
    usize::try_from(id.0 - 1).expect("a known cluster")
}

/// The version that a namespace has when it is registered in a cluster.
fn first_version(cluster: usize) -> FailoverVersion {
    FailoverVersion(i64::from(cluster_id(cluster).0))
}

/// What a run came to.
pub struct Outcome {
    /// The promise that was broken, if one was.
    pub violation: Option<Violation>,
    /// What was exercised.
    pub coverage: Coverage,
    /// Simulated time.
    pub elapsed: Duration,
    /// When it began.
    pub begin: Timestamp,
    /// Number of happenings.
    pub happenings: u64,
    /// Stands for all happenings.
    pub hash: u64,
    /// The happenings, if they were kept.
    pub lines: Vec<crate::trace::Line>,
    /// What each cluster holds at the end, if the happenings were kept.
    pub endings: Vec<Ending>,
}

/// When every world begins.
const BEGIN: Timestamp = Timestamp::from_millis(1_800_000_000_000);
/// The failover version increment of every cluster.
const INCREMENT: i64 = 10;
/// Events at one moment; more is a shard that never rests.
const MOST_AT_A_MOMENT: u64 = 100_000;
