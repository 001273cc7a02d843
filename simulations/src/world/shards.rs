//! Driving shards: what the world did goes in, what the shard wants comes out and is carried out.

use std::{collections::BTreeMap, time::Duration};

use replicator::{
    ids::{NamespaceId, RangeId, ShardId, WorkflowId},
    shard::{
        Shard,
        io::{Dispatch, Output, Report, RequestId, StreamKey},
    },
    stream::BacklogLimit,
    time::Timestamp,
    version::FailoverVersion,
};

use super::{Event, World, calls::CallId, number_of, streams::ConnectionId};
use crate::{checkers::Seen, random::Range, trace::Place};

/// A shard in the hands of a host.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct NodeId(pub(super) u64);

/// A shard in the hands of a host.
pub(super) struct Node {
    pub(super) cluster: usize,
    pub(super) shard: ShardId,
    pub(super) core: Shard,
    /// The range under which it is ready, as it believes.
    range: Option<RangeId>,
    /// When it will be told that time has passed, by its own clock, and the number of that arming.
    armed: (Option<Timestamp>, u64),
    pub(super) callers: BTreeMap<RequestId, CallId>,
    pub(super) streams: BTreeMap<StreamKey, ConnectionId>,
    /// Versions of the namespaces that it was told of.
    pub(super) told: BTreeMap<NamespaceId, FailoverVersion>,
}

impl World {
    /// A host takes a shard: the process that has it begins.
    pub(super) fn start_node(&mut self, cluster: usize, shard: u32) -> NodeId {
        let id = NodeId(self.fresh());
        let seed = self.plan.seed ^ (id.0 << 20);
        let mut core = Shard::new(ShardId(shard), self.clusters[cluster].topology.clone(), seed);
        if self.has_rivals {
            core = core.with_rivals();
        }
        if let Some(rows) = self.plan.backlog {
            core = core.with_backlog_limit(BacklogLimit { rows, ..BacklogLimit::default() });
        }
        let now = self.local(cluster);
        let mut told = BTreeMap::new();
        for record in self.clusters[cluster].records.values() {
            told.insert(record.id, record.failover_version);
            core.handle_namespace(now, record.clone());
        }
        core.acquire();
        let (callers, streams) = Default::default();
        let node = Node { cluster, shard: ShardId(shard), core, range: None, armed: (None, 0), callers, streams, told };
        self.nodes.insert(id, node);
        self.clusters[cluster].owners[shard as usize - 1] = Some(id);
        self.note(Place::Shard(cluster, shard), "starts", None, format_args!("as {}", id.0));
        self.drain(id);
        self.dial_from(cluster, shard);
        id
    }

    /// The process of a shard ends, and everything it had in memory with it.
    pub(super) fn end_node(&mut self, id: NodeId) {
        let Some(node) = self.nodes.remove(&id) else { return };
        self.note(Place::Shard(node.cluster, node.shard.0), "ends", None, format_args!("as {}", id.0));
        let owner = &mut self.clusters[node.cluster].owners[node.shard.0 as usize - 1];
        if *owner == Some(id) {
            *owner = None;
        }
        self.clusters[node.cluster].writing.retain(|(writer, _)| *writer != id);
        self.hang_up(id);
    }

    /// Tell a shard something, and carry out what it wants.
    pub(super) fn tell(&mut self, id: NodeId, input: impl FnOnce(&mut Shard, Timestamp)) {
        let Some(cluster) = self.nodes.get(&id).map(|node| node.cluster) else { return };
        let now = self.local(cluster);
        if let Some(node) = self.nodes.get_mut(&id) {
            input(&mut node.core, now);
        }
        self.drain(id);
    }

    pub(super) fn on_timeout(&mut self, id: NodeId, arming: u64) {
        if self.nodes.get(&id).is_some_and(|node| node.armed.1 == arming) {
            self.tell(id, |core, now| core.handle_timeout(now));
        }
    }

    pub(super) fn on_told(&mut self, id: NodeId, namespace: NamespaceId) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let Some(record) = self.clusters[node.cluster].records.get(&namespace).cloned() else { return };
        node.told.insert(namespace, record.failover_version);
        let place = Place::Shard(node.cluster, node.shard.0);
        let (active, version) = (record.active.clone(), record.failover_version);
        self.note(place, "namespace", None, format_args!("active in {active} under {version}"));
        self.tell(id, |core, now| core.handle_namespace(now, record));
    }

    /// Take everything that a shard wants, then set its timer.
    fn drain(&mut self, id: NodeId) {
        while let Some(node) = self.nodes.get_mut(&id) {
            let (cluster, shard) = (node.cluster, node.shard);
            let Some(output) = node.core.poll_output() else { break };
            match output {
                Output::Load(load, what) => self.read(id, load, what),
                Output::Commit(transaction) => self.write(id, transaction),
                Output::Reply(request, reply) => {
                    if let Some(call) = node.callers.remove(&request) {
                        self.reply(call, cluster, reply);
                    }
                }
                Output::Dispatch(dispatch) => self.dispatch(id, cluster, dispatch),
                Output::Withdraw(run, scheduled) => self.clusters[cluster].matching.withdraw(&run, scheduled),
                Output::Frame(key, frame) => self.send_frame(id, key, *frame),
                Output::Notify(_) => {}
                Output::Handover(namespace, progress) => self.on_progress(cluster, shard, namespace, progress),
                Output::Report(report) => self.on_report(id, cluster, shard, &report),
                Output::RefreshNamespace { namespace, from } => {
                    self.coverage.hit("path: namespace fetched from a peer");
                    self.after(Duration::ZERO, Event::Refresh(cluster, number_of(from), namespace));
                }
            }
        }
        self.arm(id);
    }

    /// Set the timer of a shard, if it waits for another moment than before.
    pub(super) fn arm(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let due = node.core.poll_timeout();
        if due == node.armed.0 && due.is_some_and(|due| due.0 > self.now.0 + self.clusters[node.cluster].skew) {
            return;
        }
        node.armed = (due, node.armed.1 + 1);
        let arming = node.armed.1;
        if let Some(due) = due {
            // A timer is never early, and nothing wakes up at the moment at which it went to sleep.
            let at = Timestamp(due.0 - self.clusters[node.cluster].skew).max(self.now + TICK);
            self.agenda.put(at, Event::Timeout(id, arming));
        }
    }

    /// The clock of a cluster has changed: what its shards wait for comes sooner or later.
    pub(super) fn arm_again(&mut self, cluster: usize) {
        let nodes = self.nodes.iter_mut().filter(|(_, node)| node.cluster == cluster);
        let ids: Vec<NodeId> = nodes
            .map(|(id, node)| {
                node.armed.0 = None;
                *id
            })
            .collect();
        for id in ids {
            self.arm(id);
        }
    }

    fn dispatch(&mut self, id: NodeId, cluster: usize, dispatch: Dispatch) {
        let here = &self.clusters[cluster];
        let shard = self.nodes[&id].shard;
        // What another host has taken over stands as that one left it.
        if self.nodes[&id].range == here.store.range(shard) {
            let seen = Seen::Dispatched { cluster, dispatch: &dispatch, store: &here.store };
            if let Err((promise, finding)) = self.checkers.see(&seen) {
                self.find(promise, finding);
            }
        }
        let (run, scheduled) = (dispatch.run.clone(), dispatch.scheduled);
        let Some(ticket) = self.clusters[cluster].matching.add(dispatch) else { return };
        self.offer_later(cluster, run, scheduled, ticket);
    }

    fn on_report(&mut self, id: NodeId, cluster: usize, shard: ShardId, report: &Report) {
        let place = Place::Shard(cluster, shard.0);
        let subject: Option<WorkflowId> = match report {
            Report::ConditionFailed { workflow } => workflow.as_ref().map(|key| key.workflow.clone()),
            Report::DigestDiffers { run, .. } => Some(run.workflow.workflow.clone()),
            Report::Refused { run, .. } => run.as_ref().map(|run| run.workflow.workflow.clone()),
            _ => None,
        };
        match report {
            Report::Applied { .. } => {}
            Report::GapTold { .. } => {
                self.coverage.hit("path: peer told anew");
                self.note(place, "reports", None, format_args!("{report:?}"));
            }
            Report::Ready { range, tasks } => {
                self.nodes.entry(id).and_modify(|node| node.range = Some(*range));
                self.note(place, "ready", None, format_args!("under range {range} with {tasks} tasks"));
            }
            other => self.note(place, "reports", subject.as_ref(), format_args!("{other:?}")),
        }
        self.show(&Seen::Reported { cluster, report });
    }

    /// Every shard of a cluster begins.
    pub(super) fn start_cluster(&mut self, cluster: usize) {
        self.release_orphans(cluster);
        self.clusters[cluster].is_up = true;
        self.clusters[cluster].incarnation += 1;
        for shard in 1..=self.plan.shards[cluster] {
            self.start_node(cluster, shard);
        }
    }

    /// Every shard of a cluster ends, and with them the store's process.
    pub(super) fn crash_cluster(&mut self, cluster: usize) {
        let ids: Vec<NodeId> =
            self.nodes.iter().filter(|(_, node)| node.cluster == cluster).map(|(id, _)| *id).collect();
        self.lose_unsynced(cluster);
        self.forget_handovers(cluster);
        self.clusters[cluster].is_up = false;
        self.clusters[cluster].incarnation += 1;
        self.clusters[cluster].matching = Default::default();
        for id in ids {
            self.end_node(id);
        }
        self.clusters[cluster].writing.clear();
    }

    pub(super) fn on_restart(&mut self, cluster: usize, incarnation: u64) {
        let down = &self.clusters[cluster];
        if !down.is_up && down.incarnation == incarnation {
            self.start_cluster(cluster);
        }
    }

    /// Let every shard of a cluster hear of a namespace, each a little later than the cluster.
    pub(super) fn announce(&mut self, cluster: usize, namespace: NamespaceId) {
        let ids: Vec<NodeId> =
            self.nodes.iter().filter(|(_, node)| node.cluster == cluster).map(|(id, _)| *id).collect();
        for id in ids {
            let delay = self.random.namespaces.duration(Range::micros(20, 3_000));
            self.after(delay, Event::Told(id, namespace));
        }
        self.tell_handover(cluster, namespace);
    }
}

/// The least time that passes between two looks at the clock.
const TICK: Duration = Duration::from_micros(1);
