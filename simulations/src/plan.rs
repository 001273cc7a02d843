//! A run before it runs: what the world is like, and what people and fate do in it.
//!
//! A plan is drawn from a seed (`swarm.rs`), written by hand (`scenario/`), or what is left of one after shrinking. The
//! rest of a run follows from the plan and its seed alone.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{program::Program, random::Range, trace::name, written};

/// Everything that a run is made of.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Plan {
    /// Feeds what the plan leaves to chance.
    pub seed: u64,
    /// How namespaces may move.
    pub kind: Kind,
    /// Shards of each cluster.
    pub shards: Vec<u32>,
    /// Whether each cluster speaks the wire without our newest fields, and so hears.
    pub old_wire: Vec<bool>,
    /// The cluster in which each namespace begins.
    pub namespaces: Vec<usize>,
    /// Clusters that come late: no namespace is in them before an operator adds them.
    #[serde(default)]
    pub late: Vec<usize>,
    /// How long messages take.
    pub network: NetworkShape,
    /// How stores behave.
    pub store: StoreShape,
    /// How workers behave.
    pub workers: WorkerShape,
    /// Tasks that a shard keeps for a peer that is away; `None`: as many as there are.
    pub backlog: Option<u64>,
    /// How long faults and clients go on. Afterwards everything is healed, and must come to rest.
    #[serde(with = "written::time")]
    pub duration: Duration,
    /// What happens when, in order.
    pub steps: Vec<Step>,
}

/// How namespaces move between clusters.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Kind {
    /// As operators are told to do it: the active cluster hands over what every peer has, whatever else goes wrong.
    HandedOver,
    /// By force, in a world in which clusters hear each other well within the time that a promoted one waits.
    Heard,
    /// By force, whatever else goes wrong: both sides may write to one run, and what they wrote must come together again.
    Forced,
}

/// How long messages between clusters take, and how often one is lost.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct NetworkShape {
    /// One way between two clusters.
    pub latency: Range,
    /// Of a million messages between clusters so many are lost; a stream that loses one breaks.
    pub loss: u32,
}

/// How a store behaves. Chances are in a million.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct StoreShape {
    /// Until a write that a shard asked for waits in the group; what differs here makes writes of a shard change places.
    pub arrival: Range,
    /// From the first write of a group until the group is durable.
    pub sync: Range,
    /// Until a read is served.
    pub read: Range,
    /// Until an answer is heard.
    pub answer: Range,
    /// Writes that end in doubt.
    pub unknown: u32,
    /// Reads that fail.
    pub failed: u32,
    /// Batches of a history that are read at once.
    pub page: usize,
}

/// How workers behave. Chances are in a million.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct WorkerShape {
    /// Until a worker takes what is offered.
    pub poll: Range,
    /// Until a workflow task is completed.
    pub think: Range,
    /// Until an activity is.
    pub act: Range,
    /// Tasks that are taken and never heard of again.
    pub vanish: u32,
    /// Tasks that fail.
    pub fail: u32,
    /// Offers that are made twice.
    pub repeat: u32,
    /// Completions that ask for a sticky queue.
    pub sticky: u32,
}

/// Something that happens at a moment.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Step {
    /// When, after the beginning.
    #[serde(with = "written::time")]
    pub at: Duration,
    /// What.
    pub what: What,
}

/// What may happen. Clusters, namespaces and workflows are named by their numbers; faults say how long they last.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub enum What {
    /// A namespace is registered in its first cluster.
    Register(usize),
    /// A client wants something.
    Client(Wish),
    /// An operator moves a namespace.
    FailOver {
        /// Which one.
        namespace: usize,
        /// Where to.
        to: usize,
        /// The cluster that is told to do it.
        by: usize,
    },
    /// An operator lets the active cluster hand a namespace over.
    HandOver {
        /// Which one.
        namespace: usize,
        /// Where to.
        to: usize,
    },
    /// An operator does not want a handover any more.
    AbortHandover(usize),
    /// In the moment in which the next handover of a namespace moves it, nothing passes between the two clusters any more.
    CutAtSwitch {
        /// Which one.
        namespace: usize,
        /// For so long.
        #[serde(with = "written::time")]
        time: Duration,
    },
    /// An operator of a cluster changes what a namespace says of itself.
    Edit {
        /// Which one.
        namespace: usize,
        /// The cluster that is told to do it.
        by: usize,
    },
    /// Operators add a cluster to every namespace.
    Join(usize),
    /// Operators disconnect two clusters, and connect them again.
    Disconnect(usize, usize, #[serde(with = "written::time")] Duration),
    /// Every shard of a cluster ends at once; what was not synced is lost.
    Crash(usize, #[serde(with = "written::time")] Duration),
    /// An operator keeps a copy of a cluster's store.
    BackUp(usize),
    /// A cluster's store is gone: it crashes, and starts with the last copy that was kept.
    Restore(usize, #[serde(with = "written::time")] Duration),
    /// A cluster does nothing, and then all that it missed.
    Pause(usize, #[serde(with = "written::time")] Duration),
    /// Another host takes a shard, while the one that had it goes on for a while.
    Move(usize, u32, #[serde(with = "written::time")] Duration),
    /// Nothing that is sent from one cluster to another arrives.
    Cut(usize, usize, #[serde(with = "written::time")] Duration),
    /// What is sent waits until the link is free.
    Clog(usize, usize, #[serde(with = "written::time")] Duration),
    /// Messages take so many times as long.
    Slow(usize, usize, u32, #[serde(with = "written::time")] Duration),
    /// The streams between two clusters break.
    Break(usize, usize),
    /// A cluster's clock jumps, by milliseconds.
    Skew(usize, i64),
    /// A cluster's clock runs so many millionths too fast, or too slow.
    Drift(usize, i64, #[serde(with = "written::time")] Duration),
    /// A store takes long to sync.
    Stall(usize, #[serde(with = "written::time")] Duration),
    /// A store can write nothing.
    Full(usize, #[serde(with = "written::time")] Duration),
}

/// What a client wants.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Wish {
    /// The cluster it asks first.
    pub from: usize,
    /// Of which namespace.
    pub namespace: usize,
    /// Of which workflow.
    pub workflow: u32,
    /// What.
    pub call: Ask,
}

/// The calls of clients.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Ask {
    /// Start it.
    Start(Program),
    /// Signal it, or start it and signal it.
    SignalWithStart(Program),
    /// Signal it.
    Signal,
    /// Ask it to cancel itself.
    Cancel,
    /// Close it.
    Terminate,
    /// Begin it again from where a worker last decided.
    Reset,
    /// Delete its current run.
    Delete,
}

impl Plan {
    /// Number of clusters.
    #[must_use]
    pub fn clusters(&self) -> usize {
        self.shards.len()
    }

    /// Whether clusters have several hosts, so that one may take a shard from another that does not know.
    #[must_use]
    pub fn has_rivals(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.what, What::Move(..)))
    }

    /// Whether both sides of a failover may write.
    #[must_use]
    pub fn may_conflict(&self) -> bool {
        self.kind == Kind::Forced
    }
}

impl What {
    /// What is counted of it.
    #[must_use]
    pub fn fault(&self) -> Option<&'static str> {
        Some(match self {
            Self::Crash(..) => "fault: cluster crashes",
            Self::Pause(..) => "fault: cluster pauses",
            Self::Move(..) => "fault: shard moves",
            Self::Cut(..) => "fault: link cut",
            Self::Clog(..) => "fault: link clogs",
            Self::Slow(..) => "fault: link slow",
            Self::Break(..) => "fault: streams break",
            Self::Skew(..) => "fault: clock jumps",
            Self::Drift(..) => "fault: clock drifts",
            Self::Disconnect(..) => "fault: clusters disconnected",
            Self::Stall(..) => "fault: store stalls",
            Self::Full(..) => "fault: store full",
            // Counted when it happens.
            Self::CutAtSwitch { .. } | Self::Restore(..) => return None,
            Self::Register(_)
            | Self::Client(_)
            | Self::FailOver { .. }
            | Self::HandOver { .. }
            | Self::AbortHandover(_)
            | Self::Join(_)
            | Self::BackUp(_)
            | Self::Edit { .. } => return None,
        })
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Register(namespace) => write!(f, "namespace {namespace} is registered"),
            Self::Client(wish) => write!(f, "{wish}"),
            Self::FailOver { namespace, to, by } => {
                write!(f, "an operator of {} moves namespace {namespace} to {}", name(*by), name(*to))
            }
            Self::HandOver { namespace, to } => {
                write!(f, "an operator hands namespace {namespace} over to {}", name(*to))
            }
            Self::CutAtSwitch { namespace, time } => {
                write!(f, "who hands namespace {namespace} over is cut off at the switch for {time:?}")
            }
            Self::AbortHandover(namespace) => write!(f, "an operator stops the handover of namespace {namespace}"),
            Self::Edit { namespace, by } => write!(f, "an operator of {} edits namespace {namespace}", name(*by)),
            Self::Join(cluster) => write!(f, "operators add {} to every namespace", name(*cluster)),
            Self::Disconnect(one, other, time) => {
                write!(f, "operators disconnect {} and {} for {time:?}", name(*one), name(*other))
            }
            Self::Crash(cluster, time) => write!(f, "{} crashes for {time:?}", name(*cluster)),
            Self::BackUp(cluster) => write!(f, "a copy of the store of {} is kept", name(*cluster)),
            Self::Restore(cluster, time) => {
                write!(f, "{} loses its store, and starts after {time:?} with the copy", name(*cluster))
            }
            Self::Pause(cluster, time) => write!(f, "{} pauses for {time:?}", name(*cluster)),
            Self::Move(cluster, shard, time) => {
                write!(f, "shard {}/{shard} moves, its old host goes on for {time:?}", name(*cluster))
            }
            Self::Cut(from, to, time) => write!(f, "nothing from {} reaches {} for {time:?}", name(*from), name(*to)),
            Self::Clog(from, to, time) => write!(f, "{} to {} clogs for {time:?}", name(*from), name(*to)),
            Self::Slow(from, to, times, time) => {
                write!(f, "{} to {} takes {times} times as long for {time:?}", name(*from), name(*to))
            }
            Self::Break(one, other) => write!(f, "streams between {} and {} break", name(*one), name(*other)),
            Self::Skew(cluster, millis) => write!(f, "the clock of {} jumps by {millis} ms", name(*cluster)),
            Self::Drift(cluster, millionths, time) => {
                write!(f, "the clock of {} drifts by {millionths} millionths for {time:?}", name(*cluster))
            }
            Self::Stall(cluster, time) => write!(f, "the store of {} stalls for {time:?}", name(*cluster)),
            Self::Full(cluster, time) => write!(f, "the store of {} is full for {time:?}", name(*cluster)),
        }
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, namespace, workflow, call } = self;
        let (from, workflow) = (name(*from), workflow_name(*workflow));
        match call {
            Ask::Start(program) => write!(f, "client of {from} starts {workflow} in {namespace}: {program}"),
            Ask::SignalWithStart(program) => {
                write!(f, "client of {from} signals, with a start, {workflow} in {namespace}: {program}")
            }
            Ask::Signal => write!(f, "client of {from} signals {workflow} in {namespace}"),
            Ask::Cancel => write!(f, "client of {from} cancels {workflow} in {namespace}"),
            Ask::Terminate => write!(f, "client of {from} terminates {workflow} in {namespace}"),
            Ask::Reset => write!(f, "client of {from} resets {workflow} in {namespace}"),
            Ask::Delete => write!(f, "client of {from} deletes {workflow} in {namespace}"),
        }
    }
}

/// The id of a workflow.
#[must_use]
pub fn workflow_name(number: u32) -> String {
    format!("order-{number}")
}
