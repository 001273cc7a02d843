//! Calls of clients, workers and peers: they take their time in both directions, may get lost in either, and are given up
//! after a while. A caller that hears nothing knows nothing.

use std::time::Duration;

use proto::meridian::replication::v1::HistoryExtension;
use proto::temporal::{
    api::{common::v1::DataBlob, enums::v1::EncodingType},
    server::api::{adminservice::v1 as admin, history::v1 as history},
};
use replicator::{
    ids::{ClusterId, EventId, RunKey},
    shard::io::{Call as What, Failure, LoadId, Loaded, Reply, Request, RequestId, Response, RunView},
    stream::outgoing::items,
    version::{VersionHistoryItem, histories::BranchHistory},
};

use super::{
    Event, World, number_of,
    shards::NodeId,
    workers::{Job, Take},
};
use crate::network::Verdict;

/// Identifies a call.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct CallId(u64);

/// A call under way.
pub(super) struct Call {
    /// The cluster from which it comes.
    from: usize,
    /// Taken when it arrives.
    request: Option<Request>,
    purpose: Purpose,
}

/// What the answer is for.
pub(super) enum Purpose {
    /// A client's order.
    Order(usize),
    /// A worker takes what matching offered.
    Take(Take),
    /// A worker says what it has done.
    Job(Box<Job>),
    /// A shard asks a peer for events.
    PeerHistory(Box<PeerHistory>),
}

/// A shard asks a peer for events that it misses.
pub(super) struct PeerHistory {
    node: NodeId,
    load: LoadId,
    after: Option<VersionHistoryItem>,
    before: Option<VersionHistoryItem>,
    /// The answer, which is put together where it is known and then travels back.
    found: Option<Loaded>,
}

impl World {
    /// Ask a cluster for something.
    pub(super) fn call(&mut self, from: usize, to: usize, request: Request, purpose: Purpose) {
        let id = CallId(self.fresh());
        self.calls.insert(id, Call { from, request: Some(request), purpose });
        if let Verdict::Deliver(time) = self.network.send(self.now, from, to) {
            self.after(time, Event::Request(id, to));
        }
        self.after(PATIENCE, Event::Deadline(id));
    }

    pub(super) fn on_request(&mut self, id: CallId, to: usize) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let from = call.from;
        let Some(request) = call.request.take() else { return };
        if self.network.is_cut(self.now, from, to) {
            return;
        }
        let Some(node_id) = self.owner_of(to, &request.workflow) else {
            return self.reply(id, to, Box::new(Err(Failure::Unavailable("nobody is there".into()))));
        };
        let number = RequestId(self.fresh());
        if let Some(node) = self.nodes.get_mut(&node_id) {
            node.callers.insert(number, id);
        }
        self.tell(node_id, |core, now| core.handle_request(now, number, request));
    }

    /// A shard answers.
    pub(super) fn reply(&mut self, id: CallId, cluster: usize, mut reply: Box<Reply>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let from = call.from;
        if let Purpose::PeerHistory(ask) = &mut call.purpose {
            let store = &self.clusters[cluster].store;
            ask.found = Some(match *reply {
                Ok(Response::View(view)) => peer_history(store, &view, ask.after, ask.before),
                Err(Failure::NotFound(_)) => Loaded::PeerNotFound,
                other => Loaded::Failed(format!("{other:?}")),
            });
            reply = Box::new(Ok(Response::Done));
        }
        if let Verdict::Deliver(time) = self.network.send(self.now, cluster, from) {
            self.after(time, Event::Answer(id, reply));
        }
    }

    /// A caller hears the answer, or that there is none.
    pub(super) fn on_answer(&mut self, id: CallId, reply: Option<Reply>) {
        let Some(call) = self.calls.remove(&id) else { return };
        match call.purpose {
            Purpose::Order(order) => self.on_order_answered(order, reply),
            Purpose::Take(take) => self.on_taken(take, reply),
            Purpose::Job(job) => self.on_job_answered(*job, reply),
            Purpose::PeerHistory(ask) => {
                let loaded = match (reply, ask.found) {
                    (Some(_), Some(found)) => found,
                    _ => Loaded::Failed("the peer does not answer".into()),
                };
                self.on_loaded(ask.node, ask.load, loaded);
            }
        }
    }

    /// A shard asks a peer for events.
    pub(super) fn ask_peer_history(
        &mut self,
        node: NodeId,
        load: LoadId,
        from: ClusterId,
        run: RunKey,
        after: Option<VersionHistoryItem>,
        before: Option<VersionHistoryItem>,
    ) {
        self.coverage.hit("path: peer history fetched");
        let Some(cluster) = self.nodes.get(&node).map(|node| node.cluster) else { return };
        if self.are_apart(cluster, number_of(from)) {
            return self.after(Duration::ZERO, Event::Loaded(node, load, Loaded::Failed("disconnected".into()).into()));
        }
        let request = Request { workflow: run.workflow.clone(), run: Some(run.run), call: What::View };
        let ask = PeerHistory { node, load, after, before, found: None };
        self.call(cluster, number_of(from), request, Purpose::PeerHistory(Box::new(ask)));
    }
}

/// What a peer answers that asks for the events of a run after `after` and before `before`: those of the branch that leads
/// to what it has next.
fn peer_history(
    store: &crate::store::Store,
    view: &RunView,
    after: Option<VersionHistoryItem>,
    before: Option<VersionHistoryItem>,
) -> Loaded {
    let leads = before.and_then(|before| view.histories.containing(before));
    let BranchHistory { branch, versions } = leads.unwrap_or_else(|| view.histories.current());
    let end = before.map_or(versions.last().event_id.next(), |before| before.event_id);
    let first = after.map_or(EventId::FIRST, |after| after.event_id.next());
    let blob = |data| DataBlob { encoding_type: EncodingType::Proto3.into(), data };
    Loaded::PeerHistory(Box::new(admin::GetWorkflowExecutionRawHistoryV2Response {
        history_batches: store.history(branch, first, end).into_iter().map(blob).collect(),
        version_history: Some(history::VersionHistory { branch_token: branch.token(), items: items(versions) }),
        meridian: Some(HistoryExtension { start_request_id: view.start_request_id.clone() }),
        ..Default::default()
    }))
}

/// How long a caller waits for an answer.
const PATIENCE: Duration = Duration::from_secs(3);
