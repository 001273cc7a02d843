//! Clusters of one shard each, a false network between them, and a small language for what happens.

mod namespaces;

use std::{
    collections::{BTreeMap, VecDeque},
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

use bytes::Bytes;
use core::time::Duration;
use proto::meridian::replication::v1::HistoryExtension;
use proto::temporal::{
    api::{
        command::v1::{Command, command},
        common::v1::{DataBlob, WorkflowType},
        enums::v1::CommandType,
        taskqueue::v1::TaskQueue,
        workflowservice::v1 as api,
    },
    server::api::{
        adminservice::v1::GetWorkflowExecutionRawHistoryV2Response, history::v1 as history, replication::v1 as wire,
    },
};

use super::store::Store;
use crate::{
    entropy::Entropy,
    history::{
        HistoryBatch,
        event::{Attributes, HistoryEvent, event_type},
    },
    ids::{ClusterId, EventId, NamespaceId, RunId, RunKey, ShardId, TaskId, WorkflowKey},
    namespace::Namespace,
    shard::{
        HandoverProgress, Shard,
        io::{
            ActivityClaim, Call, Dispatch, Frame, Load, Loaded, Output, Reply, Report, Request, RequestId, Response,
            StartedWorkflowTask, StreamEvent, StreamKey, StreamRole, Transaction,
        },
    },
    stream::outgoing::items,
    time::{Timestamp, proto_duration},
    version::{FailoverVersion, Topology, VersionHistoryItem},
    workflow::{MutableState, execution::Phase, reapplied::Origin},
};

/// Clusters `a`, `b`, `c`, whose initial versions are 1, 2, 3, and one namespace in all of them.
pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) clusters: Vec<Cluster>,
    pub(super) namespace: Namespace,
    topology: Topology,
    /// Whether frames go whole, as they do on streams, and acknowledgements with them.
    pub(super) is_wired: bool,
    /// Frames on their way, if they go whole: from, to, frame.
    pub(super) frames: VecDeque<(usize, usize, Frame)>,
    /// Tasks on their way, in the order in which they were told.
    pub(super) wires: Vec<Wire>,
    /// Whether peers answer when they are asked for missing events.
    pub(super) peers_answer: bool,
    /// Fetches so far, as `from run after..before`.
    pub(super) fetches: Vec<String>,
    requests: u64,
}

/// One cluster.
pub(super) struct Cluster {
    pub(super) shard: Shard,
    pub(super) store: Store,
    pub(super) reports: Vec<Report>,
    /// Tasks that were offered to workers.
    pub(super) offers: Vec<Dispatch>,
    /// Writes are kept here and not decided, while this is something.
    pub(super) held: Option<Vec<Transaction>>,
    replies: BTreeMap<RequestId, Reply>,
    loads: VecDeque<(crate::shard::io::LoadId, Load)>,
    /// Highest acknowledged watermark it told, by peer.
    pub(super) acked: BTreeMap<usize, i64>,
    /// Whether writes take long, and those that do.
    slow: (bool, Vec<Transaction>),
    /// What it said of namespaces that are being handed over.
    progress: Vec<HandoverProgress>,
    /// Clusters that it asked for what they know of a namespace.
    pub(super) asked: Vec<ClusterId>,
}

/// A task on its way from one cluster to another.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) task: wire::ReplicationTask,
}

pub(super) const A: usize = 0;
pub(super) const B: usize = 1;
pub(super) const C: usize = 2;

impl World {
    /// So many clusters; the namespace is active in `a`.
    pub(super) fn new(count: usize) -> Self {
        let namespace = namespace(count);
        let mut world = Self {
            now: Timestamp::from_millis(1_700_000_000_000),
            clusters: Vec::new(),
            topology: topology(0, count),
            namespace,
            is_wired: false,
            frames: VecDeque::new(),
            wires: Vec::new(),
            peers_answer: true,
            fetches: Vec::new(),
            requests: 0,
        };
        for index in 0..count {
            let shard = Shard::new(ShardId(1), topology(index, count), 100 + index as u64);
            let (store, reports, offers, held, replies, loads, acked) = Default::default();
            let (slow, progress, asked) = Default::default();
            let cluster = Cluster { shard, store, reports, offers, held, replies, loads, acked, slow, progress, asked };
            world.clusters.push(cluster);
            world.open(index);
        }
        world
    }

    pub(super) fn open(&mut self, index: usize) {
        self.clusters[index].shard.acquire();
        self.settle(index);
        let namespace = self.namespace.clone();
        // Only clusters that are wired tell each other everything.
        if !self.is_wired {
            self.clusters[index].shard.patience = Duration::ZERO;
        }
        self.clusters[index].shard.handle_namespace(self.now, namespace);
        self.open_streams(index);
    }

    pub(super) fn open_streams(&mut self, index: usize) {
        for peer in (0..self.count()).filter(|peer| *peer != index) {
            for role in [StreamRole::Source, StreamRole::Target] {
                self.clusters[index].shard.handle_stream(self.now, stream(peer, role), StreamEvent::Opened);
            }
        }
        self.settle(index);
    }

    fn count(&self) -> usize {
        self.topology.clusters().count()
    }

    /// The process dies and comes back with what it stored. Tasks that were on their way to it come again.
    pub(super) fn restart(&mut self, index: usize) {
        self.replace(index);
        self.open(index);
        self.reopen_to(index);
    }

    /// The same, and its peers are connected before it has read what it stored.
    pub(super) fn restart_with_peers(&mut self, index: usize) {
        self.replace(index);
        self.open_streams(index);
        self.open(index);
        self.reopen_to(index);
    }

    /// The same, and it knows its namespaces before that, too.
    pub(super) fn restart_before_it_has_read(&mut self, index: usize) {
        self.replace(index);
        let namespace = self.namespace.clone();
        self.clusters[index].shard.handle_namespace(self.now, namespace);
        self.open_streams(index);
        self.open(index);
        self.reopen_to(index);
    }

    /// The store is lost, and a copy of it takes its place. The cluster knows of the namespace what it knew then.
    pub(super) fn restore(&mut self, index: usize, backup: &(Store, Namespace)) {
        let (mut copy, namespace) = backup.clone();
        copy.restored = self.clusters[index].store.restored + 1;
        self.clusters[index].store = copy;
        self.replace(index);
        self.clusters[index].shard.handle_namespace(self.now, namespace);
        self.clusters[index].shard.acquire();
        self.settle(index);
    }

    /// A copy of what a cluster has.
    pub(super) fn back_up(&self, index: usize) -> (Store, Namespace) {
        (self.clusters[index].store.clone(), self.namespace.clone())
    }

    /// A process that knows nothing yet is in the place of the one that died.
    fn replace(&mut self, index: usize) {
        // No start of a process draws the ids of another.
        self.requests += 1;
        self.clusters[index].shard =
            Shard::new(ShardId(1), topology(index, self.count()), 1000 * self.requests + index as u64);
        self.wires.retain(|wire| wire.from != index);
    }

    fn reopen_to(&mut self, index: usize) {
        let count = self.count();
        for peer in (0..count).filter(|peer| *peer != index) {
            let key = stream(index, StreamRole::Target);
            self.clusters[peer].shard.handle_stream(self.now, key, StreamEvent::Closed);
            self.clusters[peer].shard.handle_stream(self.now, key, StreamEvent::Opened);
            self.settle(peer);
        }
        self.tick(300);
    }

    /// Carry out what a cluster wants until it rests.
    pub(super) fn settle(&mut self, index: usize) {
        for _ in 0..100_000 {
            let cluster = &mut self.clusters[index];
            let Some(output) = cluster.shard.poll_output() else {
                let Some((id, load)) = cluster.loads.pop_front() else { return };
                let loaded = self.answer(index, load);
                let now = self.now;
                self.clusters[index].shard.handle_loaded(now, id, loaded);
                continue;
            };
            match output {
                Output::Load(id, load) => cluster.loads.push_back((id, load)),
                Output::Commit(transaction) if cluster.held.is_some() => {
                    cluster.held.get_or_insert_default().push(*transaction);
                }
                Output::Commit(transaction) if cluster.slow.0 => cluster.slow.1.push(*transaction),
                Output::Commit(transaction) => {
                    let id = transaction.id;
                    let outcome = cluster.store.commit(*transaction);
                    cluster.shard.handle_commit(self.now, id, outcome);
                }
                Output::Handover(_, progress) => cluster.progress.push(progress),
                Output::Reply(id, reply) => drop(cluster.replies.insert(id, *reply)),
                Output::Frame(key, frame) => self.carry(index, key, *frame),
                Output::Report(report) => cluster.reports.push(*report),
                Output::Dispatch(offer) => cluster.offers.push(offer),
                Output::RefreshNamespace { from, .. } => cluster.asked.push(from),
                Output::Withdraw(..) | Output::Notify(_) => {}
            }
        }
        panic!("the shard never rests");
    }

    fn carry(&mut self, from: usize, key: StreamKey, frame: Frame) {
        let to = usize::try_from(key.cluster.0).unwrap() - 1;
        if self.is_wired {
            return self.frames.push_back((from, to, frame));
        }
        match frame {
            Frame::Tasks(messages) => {
                self.wires.extend(messages.replication_tasks.into_iter().map(|task| Wire { from, to, task }));
            }
            Frame::Ack(ack) => drop(self.clusters[from].acked.insert(to, ack.inclusive_low_watermark)),
        }
    }

    fn answer(&mut self, index: usize, load: Load) -> Loaded {
        let Load::PeerHistory { from, run, after, before } = load else { return self.clusters[index].store.load(load) };
        let show = |item: Option<VersionHistoryItem>| item.map_or("-".to_string(), |item| item.to_string());
        self.fetches.push(format!("{}..{}", show(after), show(before)));
        if !self.peers_answer {
            return Loaded::Failed("the peer is not connected".into());
        }
        let peer = &self.clusters[usize::try_from(from.0).unwrap() - 1].store;
        let Some(state) = peer.state(&run) else { return Loaded::PeerNotFound };
        let leads = before.and_then(|before| state.histories.containing(before));
        let branch = leads.unwrap_or_else(|| state.histories.current());
        let first = after.map_or(EventId::FIRST, |after| after.event_id.next());
        let end = before.map_or(branch.versions.last().event_id.next(), |before| before.event_id);
        let blob = |data: Bytes| DataBlob { data, ..DataBlob::default() };
        Loaded::PeerHistory(std::boxed::Box::new(GetWorkflowExecutionRawHistoryV2Response {
            history_batches: peer.history(&branch.branch, first, end).into_iter().map(blob).collect(),
            version_history: Some(history::VersionHistory {
                items: items(&branch.versions),
                ..history::VersionHistory::default()
            }),
            meridian: Some(HistoryExtension { start_request_id: state.execution.start.request_id.clone() }),
            ..GetWorkflowExecutionRawHistoryV2Response::default()
        }))
    }

    /// Decide the writes that were held.
    pub(super) fn release(&mut self, index: usize) {
        for transaction in self.clusters[index].held.take().unwrap_or_default() {
            let id = transaction.id;
            let outcome = self.clusters[index].store.commit(transaction);
            self.clusters[index].shard.handle_commit(self.now, id, outcome);
            self.settle(index);
        }
    }

    /// From now on frames arrive whole and in order, acknowledgements too, whenever [`World::exchange`] is called.
    pub(super) fn stream(&mut self) {
        self.is_wired = true;
    }

    /// Let frames arrive until none is on its way.
    pub(super) fn exchange(&mut self) {
        for _ in 0..1_000 {
            self.tick(20);
            while self.deliver_frame() {}
            let is_quiet = self.clusters.iter().all(|cluster| cluster.shard.lags().all(|lag| lag.tasks == Some(0)));
            if is_quiet && self.frames.is_empty() {
                return;
            }
        }
    }

    /// Let the frame arrive that has been on its way for the longest. Whether there was one.
    pub(super) fn deliver_frame(&mut self) -> bool {
        let Some((from, to, frame)) = self.frames.pop_front() else { return false };
        let role = if matches!(frame, Frame::Ack(_)) { StreamRole::Source } else { StreamRole::Target };
        let event = StreamEvent::Frame(std::boxed::Box::new(frame));
        self.clusters[to].shard.handle_stream(self.now, stream(from, role), event);
        self.settle(to);
        true
    }

    /// Frames on their way that say that a namespace has settled.
    pub(super) fn settled_on_the_way(&self) -> usize {
        let says_so = |frame: &Frame| match frame {
            Frame::Tasks(messages) => messages.meridian.as_ref().is_some_and(|ours| !ours.settled.is_empty()),
            Frame::Ack(_) => false,
        };
        self.frames.iter().filter(|(_, _, frame)| says_so(frame)).count()
    }

    /// The link between all clusters breaks, or comes back.
    pub(super) fn link(&mut self, is_up: bool) {
        self.frames.clear();
        let count = self.count();
        for (index, peer) in (0..count).flat_map(|a| (0..count).map(move |b| (a, b))) {
            for role in [StreamRole::Source, StreamRole::Target] {
                if index != peer {
                    let event = if is_up { StreamEvent::Opened } else { StreamEvent::Closed };
                    self.clusters[index].shard.handle_stream(self.now, stream(peer, role), event);
                    self.settle(index);
                }
            }
        }
    }

    /// Whether writes of a cluster take until [`World::written`] is called, from now on.
    pub(super) fn slow(&mut self, cluster: usize, is_slow: bool) {
        self.clusters[cluster].slow.0 = is_slow;
    }

    /// Writes that took long are durable, the last first.
    pub(super) fn written(&mut self, cluster: usize) {
        self.slow(cluster, false);
        for transaction in core::mem::take(&mut self.clusters[cluster].slow.1).into_iter().rev() {
            let id = transaction.id;
            let outcome = self.clusters[cluster].store.commit(transaction);
            self.clusters[cluster].shard.handle_commit(self.now, id, outcome);
            self.settle(cluster);
        }
    }

    /// Milliseconds pass.
    pub(super) fn tick(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds.div_ceil(20) {
            self.now = self.now + Duration::from_millis(20);
            for index in 0..self.clusters.len() {
                self.clusters[index].shard.handle_timeout(self.now);
                self.settle(index);
            }
        }
    }

    /// Seconds pass, of which nobody sees the single ones.
    pub(super) fn tick_far(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        self.tick(100);
    }

    /// An operator has a run tried again.
    pub(super) fn retry(&mut self, cluster: usize, run: &RunKey) -> bool {
        let (now, shard) = (self.now, &mut self.clusters[cluster].shard);
        let first = shard.quarantined().find(|kept| kept.run == *run).map(|kept| kept.task);
        let found = first.is_some_and(|first| shard.retry_quarantined(now, first));
        self.settle(cluster);
        found
    }

    /// An operator lets tasks go. Answers those that were there.
    pub(super) fn skip(&mut self, cluster: usize, tasks: &[TaskId]) -> Vec<TaskId> {
        self.requests += 1;
        let id = RequestId(self.requests);
        self.clusters[cluster].shard.skip_quarantined(id, tasks);
        self.settle(cluster);
        match self.clusters[cluster].replies.remove(&id) {
            Some(Ok(Response::Skipped(tasks))) => tasks,
            reply => panic!("{reply:?}"),
        }
    }

    /// Deliver one task.
    pub(super) fn deliver(&mut self, wire: &Wire) {
        let messages = wire::WorkflowReplicationMessages {
            exclusive_high_watermark: wire.task.source_task_id + 1,
            replication_tasks: vec![wire.task.clone()],
            ..wire::WorkflowReplicationMessages::default()
        };
        let key = stream(wire.from, StreamRole::Target);
        let event = StreamEvent::Frame(std::boxed::Box::new(Frame::Tasks(messages)));
        self.clusters[wire.to].shard.handle_stream(self.now, key, event);
        self.settle(wire.to);
    }

    /// Let tasks that were written be told.
    pub(super) fn flush(&mut self) {
        self.tick(40);
    }

    /// Deliver everything that is on its way, and what follows from it, until nothing is.
    pub(super) fn deliver_all(&mut self) {
        self.deliver_in(true, |_| 0);
    }

    /// The same, each time the task that `pick` chooses of so many; `in_order`: of the first ones of each stream.
    pub(super) fn deliver_in(&mut self, in_order: bool, mut pick: impl FnMut(usize) -> usize) {
        self.flush();
        for _ in 0..10_000 {
            let Some(index) = self.pick(in_order, &mut pick) else { return };
            let wire = self.wires.remove(index);
            self.deliver(&wire);
            self.flush();
        }
        panic!("clusters tell each other things for ever");
    }

    /// The place of a task that may arrive next.
    pub(super) fn pick(&self, in_order: bool, pick: impl FnOnce(usize) -> usize) -> Option<usize> {
        let is_first = |(index, wire): &(usize, &Wire)| {
            let stream = |wire: &Wire| (wire.from, wire.to);
            !in_order || self.wires[..*index].iter().all(|before| stream(before) != stream(wire))
        };
        let next: Vec<usize> = self.wires.iter().enumerate().filter(is_first).map(|(index, _)| index).collect();
        (!next.is_empty()).then(|| next[pick(next.len()) % next.len()])
    }

    /// Deliver to one cluster only, in order.
    pub(super) fn deliver_to(&mut self, to: usize) {
        self.flush();
        while let Some(index) = self.wires.iter().position(|wire| wire.to == to) {
            let wire = self.wires.remove(index);
            self.deliver(&wire);
            self.flush();
        }
    }

    // -----------------------------------------------------------------------------------------------------------------
    // Callers and workers

    pub(super) fn call(&mut self, cluster: usize, run: Option<RunId>, call: Call) -> Reply {
        let id = self.ask(cluster, Request { workflow: workflow(), run, call });
        self.reply(cluster, id).expect("every request is answered")
    }

    /// Ask, and do not wait for the reply.
    pub(super) fn ask(&mut self, cluster: usize, request: Request) -> RequestId {
        self.requests += 1;
        let id = RequestId(self.requests);
        self.clusters[cluster].shard.handle_request(self.now, id, request);
        self.settle(cluster);
        id
    }

    /// The reply, if there is one by now.
    pub(super) fn reply(&mut self, cluster: usize, id: RequestId) -> Option<Reply> {
        self.clusters[cluster].replies.remove(&id)
    }

    /// Start the workflow; its first workflow task after so many seconds. Answers the run.
    pub(super) fn start(&mut self, cluster: usize, delay: u64) -> RunId {
        match self.call_start(cluster, delay) {
            Ok(Response::Started(started)) => RunId::parse(&started.run_id).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// The same, if it can be.
    pub(super) fn try_start(&mut self, cluster: usize) -> Option<RunId> {
        match self.call_start(cluster, 0) {
            Ok(Response::Started(started)) => RunId::parse(&started.run_id).ok(),
            _ => None,
        }
    }

    fn call_start(&mut self, cluster: usize, delay: u64) -> Reply {
        let call = self.start_call(delay);
        self.call(cluster, None, call)
    }

    /// To start the workflow.
    pub(super) fn start_call(&self, delay: u64) -> Call {
        let request = api::StartWorkflowExecutionRequest {
            workflow_id: WORKFLOW.to_string(),
            workflow_type: Some(WorkflowType { name: "order".to_string() }),
            task_queue: Some(TaskQueue { name: "orders".to_string(), ..TaskQueue::default() }),
            request_id: format!("start {}", self.requests),
            workflow_start_delay: (delay > 0).then(|| proto_duration(Duration::from_secs(delay))),
            ..api::StartWorkflowExecutionRequest::default()
        };
        Call::Start(request.into())
    }

    /// Signal the current run; the name is also the request id, unless it begins with `_`.
    pub(super) fn signal(&mut self, cluster: usize, name: &str) {
        self.try_signal(cluster, None, name).expect("the signal is taken");
    }

    pub(super) fn try_signal(&mut self, cluster: usize, run: Option<RunId>, name: &str) -> Reply {
        self.call(cluster, run, signal_call(name))
    }

    pub(super) fn cancel(&mut self, cluster: usize) {
        let request = api::RequestCancelWorkflowExecutionRequest::default();
        self.call(cluster, None, Call::RequestCancel(request.into())).expect("the request is taken");
    }

    pub(super) fn terminate(&mut self, cluster: usize) {
        let request = api::TerminateWorkflowExecutionRequest::default();
        self.call(cluster, None, Call::Terminate(request.into())).expect("the run is terminated");
    }

    /// Delete a run, or the current one.
    pub(super) fn delete(&mut self, cluster: usize, run: Option<RunId>) {
        self.call(cluster, run, Call::Delete).expect("the run is deleted");
    }

    /// Whether a cluster has anything of a run.
    pub(super) fn has(&self, cluster: usize, run: RunId) -> bool {
        self.clusters[cluster].store.state(&RunKey { workflow: workflow(), run }).is_some()
    }

    /// Begin a run again where this event is. Answers the new run.
    pub(super) fn reset(&mut self, cluster: usize, run: RunId, finish: i64) -> RunId {
        match self.try_reset(cluster, run, finish, &format!("reset {}", self.requests)) {
            Ok(Response::Reset(reset)) => RunId::parse(&reset.run_id).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn try_reset(&mut self, cluster: usize, run: RunId, finish: i64, request_id: &str) -> Reply {
        let request = api::ResetWorkflowExecutionRequest {
            workflow_task_finish_event_id: finish,
            request_id: request_id.to_string(),
            reason: "bad deploy".to_string(),
            ..api::ResetWorkflowExecutionRequest::default()
        };
        self.call(cluster, Some(run), Call::Reset(request.into()))
    }

    /// A worker takes the current run's workflow task.
    pub(super) fn poll(&mut self, cluster: usize) -> StartedWorkflowTask {
        self.try_poll(cluster).expect("a task waits")
    }

    /// The same, if one waits.
    pub(super) fn try_poll(&mut self, cluster: usize) -> Option<StartedWorkflowTask> {
        let run = self.current(cluster)?;
        let scheduled = run.workflow_task.pending.as_ref()?.scheduled;
        let poll = api::PollWorkflowTaskQueueRequest {
            task_queue: Some(TaskQueue { name: "orders".to_string(), ..TaskQueue::default() }),
            identity: "worker".to_string(),
            ..api::PollWorkflowTaskQueueRequest::default()
        };
        self.requests += 1;
        let request_id = format!("poll {}", self.requests);
        let call = Call::StartWorkflowTask { scheduled, request_id, poll: poll.into() };
        match self.call(cluster, Some(run.run.run), call) {
            Ok(Response::WorkflowTask(task)) => Some(*task),
            _ => None,
        }
    }

    /// A worker takes the current run's first activity, if one waits.
    pub(super) fn try_start_activity(&mut self, cluster: usize) -> Option<Reply> {
        let state = self.current(cluster)?;
        let (scheduled, activity) = state.activities.table.iter().find(|(_, activity)| activity.started.is_none())?;
        self.requests += 1;
        let call = Call::StartActivity {
            scheduled: *scheduled,
            attempt: activity.attempt,
            request_id: format!("poll {}", self.requests),
            poll: Default::default(),
        };
        Some(self.call(cluster, Some(state.run.run), call))
    }

    /// The worker completes its task with these commands.
    pub(super) fn complete(&mut self, cluster: usize, task: &StartedWorkflowTask, commands: Vec<Command>) -> Reply {
        let completion = api::RespondWorkflowTaskCompletedRequest {
            commands,
            identity: "worker".to_string(),
            ..api::RespondWorkflowTaskCompletedRequest::default()
        };
        let call = Call::CompleteWorkflowTask(task.claim.clone(), completion.into());
        self.call(cluster, Some(task.view.run.run), call)
    }

    /// A worker takes the workflow task and completes it.
    pub(super) fn work(&mut self, cluster: usize, commands: Vec<Command>) {
        let task = self.poll(cluster);
        self.complete(cluster, &task, commands).expect("the completion is taken");
    }

    /// A worker says how the current run's first started activity goes, if there is one: it is alive, done, or failed.
    pub(super) fn try_end_activity(&mut self, cluster: usize, how: u8) -> Option<Reply> {
        let state = self.current(cluster)?;
        let (scheduled, activity) = state.activities.table.iter().find(|(_, activity)| activity.started.is_some())?;
        let activity = ActivityClaim::Task {
            scheduled: *scheduled,
            attempt: activity.attempt,
            version: activity.started.as_ref()?.version,
        };
        let identity = "worker".to_string();
        let call = match how % 3 {
            0 => Call::HeartbeatActivity { activity, details: None, identity },
            1 => Call::CompleteActivity { activity, result: None, identity },
            _ => Call::FailActivity { activity, failure: None, last_heartbeat: None, identity },
        };
        Some(self.call(cluster, Some(state.run.run), call))
    }

    // -----------------------------------------------------------------------------------------------------------------
    // Looking

    pub(super) fn current(&self, cluster: usize) -> Option<MutableState> {
        let store = &self.clusters[cluster].store;
        let run = *store.current.get(&workflow())?;
        store.state(&RunKey { workflow: workflow(), run })
    }

    pub(super) fn state(&self, cluster: usize, run: RunId) -> MutableState {
        let key = RunKey { workflow: workflow(), run };
        self.clusters[cluster].store.state(&key).expect("the run is here")
    }

    /// The branches of a run, a line each, the current one marked: `2@1 4@2 | *2@1 3@2 4@3`.
    pub(super) fn tree(&self, cluster: usize, run: RunId) -> String {
        let state = self.state(cluster, run);
        let current = state.histories.current_index();
        let line = |(index, history): (usize, &crate::version::histories::BranchHistory)| {
            format!("{}{}", if index == current { "*" } else { "" }, history.versions)
        };
        let mut lines: Vec<String> = state.histories.all().iter().enumerate().map(line).collect();
        lines.sort_by_key(|line| line.trim_start_matches('*').to_string());
        lines.join(" | ")
    }

    /// The current branch of a run as a story: `1@1:Started 2@1:Sched 3@2:go`.
    pub(super) fn story(&self, cluster: usize, run: RunId) -> String {
        let state = self.state(cluster, run);
        self.story_of(cluster, &state, state.histories.current_index())
    }

    /// The same of any branch.
    pub(super) fn story_of(&self, cluster: usize, state: &MutableState, branch: usize) -> String {
        let batches = self.clusters[cluster].store.branch_bytes(state, branch);
        let events = batches.into_iter().flat_map(|bytes| HistoryBatch::received(bytes).unwrap().events().to_vec());
        events.map(|event| tell(&event)).collect::<Vec<_>>().join(" ")
    }

    /// Signals that a run has, in order; `~` marks those that were put into it again.
    pub(super) fn signals(&self, cluster: usize, run: RunId) -> String {
        Self::signals_in(&self.story(cluster, run))
    }

    /// Signals of a story.
    pub(super) fn signals_in(story: &str) -> String {
        let names = story.split(' ').filter_map(|word| word.split_once('!').map(|(_, name)| name));
        names.collect::<Vec<_>>().join(" ")
    }

    /// What a run is: `running`, `zombie`, or how it closed.
    pub(super) fn phase(&self, cluster: usize, run: RunId) -> String {
        match self.state(cluster, run).execution.phase {
            Phase::Running => "running".to_string(),
            Phase::Zombie => "zombie".to_string(),
            Phase::Closed(close) => format!("{:?}", close.status).to_lowercase(),
        }
    }

    /// Everything that clusters must agree on, of all runs: branches with their bytes, the current branch, the state's
    /// digest, how each run stands, and which is current.
    pub(super) fn picture(&self, cluster: usize) -> Vec<String> {
        self.picture_of(cluster, |_| {})
    }

    fn picture_of(&self, cluster: usize, change: impl Fn(&mut MutableState)) -> Vec<String> {
        let store = &self.clusters[cluster].store;
        let mut picture: Vec<String> = Vec::new();
        for state in store.states(&workflow()) {
            let run = state.run.run;
            let mut branches: Vec<_> = (0..state.histories.all().len())
                .map(|index| {
                    let bytes = store.branch_bytes(&state, index);
                    let sum = bytes
                        .iter()
                        .flatten()
                        .fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
                    let current = if index == state.histories.current_index() { "*" } else { "" };
                    format!("{current}[{}]#{sum:x}", state.histories.all()[index].versions)
                })
                .collect();
            branches.sort();
            let is_current = store.current.get(&workflow()) == Some(&run);
            let mut state = state;
            change(&mut state);
            picture.push(format!(
                "{run} {} {}{} {:x}",
                branches.join(" "),
                if is_current { "current " } else { "" },
                self.phase(cluster, run),
                state.digest()
            ));
        }
        picture
    }

    /// All clusters agree.
    #[track_caller]
    pub(super) fn agree(&self) {
        for cluster in 1..self.clusters.len() {
            assert_eq!(self.picture(cluster), self.picture(0), "{} and a", name(cluster));
        }
    }

    /// The same, but for attempts of activities, of which no event tells: a cluster whose branch lost keeps the last one it
    /// knew of if it was made before the branches parted, and none that came before that. It hears of the next.
    #[track_caller]
    pub(super) fn agree_but_for_attempts(&self) {
        let bare = |state: &mut MutableState| {
            let all: Vec<_> = state.activities.table.keys().copied().collect();
            for scheduled in all {
                let activity = state.activities.table.get_mut(&scheduled).expect("a key of the table");
                let (version, first) = (FailoverVersion::EMPTY, activity.first_scheduled_time);
                (activity.version, activity.scheduled_time, activity.attempt) = (version, first, 1);
                (activity.started, activity.heartbeat, activity.last_failure) = (None, None, None);
                activity.last_worker_identity.clear();
                activity.last_attempt_complete_time = None;
            }
        };
        for cluster in 1..self.clusters.len() {
            assert_eq!(self.picture_of(cluster, bare), self.picture_of(0, bare), "{} and a", name(cluster));
        }
    }

    /// How often anything was reported as differing or refused.
    pub(super) fn complaints(&self) -> Vec<&Report> {
        let all = self.clusters.iter().flat_map(|cluster| &cluster.reports);
        all.filter(|report| matches!(report, Report::DigestDiffers { .. } | Report::Refused { .. })).collect()
    }
}

/// To signal the workflow; the name is also the request id, unless it begins with `_`.
pub(super) fn signal_call(name: &str) -> Call {
    let request = api::SignalWorkflowExecutionRequest {
        signal_name: name.to_string(),
        request_id: if name.starts_with('_') { String::new() } else { name.to_string() },
        ..api::SignalWorkflowExecutionRequest::default()
    };
    Call::Signal(request.into())
}

/// One command of a completion.
pub(super) fn command(kind: CommandType, attributes: command::Attributes) -> Command {
    Command { command_type: kind.into(), attributes: Some(attributes), ..Command::default() }
}

/// The workflow is done.
pub(super) fn done() -> Command {
    let attributes = command::Attributes::CompleteWorkflowExecutionCommandAttributes(Default::default());
    command(CommandType::CompleteWorkflowExecution, attributes)
}

/// The workflow goes on in another run.
pub(super) fn go_on() -> Command {
    let attributes = command::Attributes::ContinueAsNewWorkflowExecutionCommandAttributes(Default::default());
    command(CommandType::ContinueAsNewWorkflowExecution, attributes)
}

/// A timer of so many seconds.
pub(super) fn timer(id: &str, seconds: u64) -> Command {
    use proto::temporal::api::command::v1::StartTimerCommandAttributes;
    let attributes = command::Attributes::StartTimerCommandAttributes(StartTimerCommandAttributes {
        timer_id: id.to_string(),
        start_to_fire_timeout: Some(proto_duration(Duration::from_secs(seconds))),
    });
    command(CommandType::StartTimer, attributes)
}

/// An activity.
pub(super) fn activity(id: &str) -> Command {
    use proto::temporal::api::{command::v1::ScheduleActivityTaskCommandAttributes, common::v1::ActivityType};
    let attributes =
        command::Attributes::ScheduleActivityTaskCommandAttributes(ScheduleActivityTaskCommandAttributes {
            activity_id: id.to_string(),
            activity_type: Some(ActivityType { name: "pack".to_string() }),
            task_queue: Some(TaskQueue { name: "orders".to_string(), ..TaskQueue::default() }),
            start_to_close_timeout: Some(proto_duration(Duration::from_secs(3600))),
            ..ScheduleActivityTaskCommandAttributes::default()
        });
    command(CommandType::ScheduleActivityTask, attributes)
}

/// Every order of so many things.
pub(super) fn permutations(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for shorter in permutations(count - 1) {
        for place in 0..count {
            let mut order = shorter.clone();
            order.insert(place, count - 1);
            all.push(order);
        }
    }
    all
}

pub(super) fn workflow() -> WorkflowKey {
    WorkflowKey { namespace: namespace(1).id, workflow: WORKFLOW.into() }
}

pub(super) fn name(cluster: usize) -> &'static str {
    ["a", "b", "c", "d", "e"][cluster]
}

pub(super) fn stream(peer: usize, role: StreamRole) -> StreamKey {
    StreamKey { cluster: ClusterId(i32::try_from(peer).unwrap() + 1), shard: ShardId(1), role }
}

fn tell(event: &HistoryEvent) -> String {
    let what = match event.attributes.as_ref().expect("attributes") {
        Attributes::WorkflowExecutionSignaledEventAttributes(signal) => {
            let again = if Origin::told(event).is_some() { "~" } else { "" };
            format!("!{}{again}", signal.signal_name)
        }
        other => {
            let kind = format!("{:?}", event_type(other).expect("known"));
            kind.trim_start_matches("WorkflowExecution").replace("WorkflowTask", "Task")
        }
    };
    format!("{}@{}:{what}", event.event_id, event.version)
}

pub(super) fn topology(current: usize, count: usize) -> Topology {
    let id = |index: usize| ClusterId(i32::try_from(index).unwrap() + 1);
    let mut topology = Topology::new(10, name(current).into(), id(current)).unwrap();
    for index in 0..count {
        topology.add(name(index).into(), id(index)).unwrap();
        topology.set_shards(id(index), 1);
    }
    topology
}

fn namespace(count: usize) -> Namespace {
    let id = NamespaceId(Entropy::new(1).uuid());
    Namespace {
        is_global: true,
        clusters: (0..count).map(|index| name(index).into()).collect(),
        failover_version: FailoverVersion(1),
        ..Namespace::local(id, "shop", "a".into(), Duration::from_secs(86_400))
    }
}

const WORKFLOW: &str = "order-7";
