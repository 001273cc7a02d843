//! The task that owns a shard.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use metadata::clusters::View;
use proto::temporal::{
    api::common::v1::WorkflowExecution, server::api::adminservice::v1::GetWorkflowExecutionRawHistoryV2Request,
};
use replicator::{
    ids::{ClusterId, NamespaceId, RunKey, WorkflowKey},
    namespace::Namespace,
    shard::{
        Shard, Standing,
        io::{
            CommitOutcome, Failure, Frame, HistoryWrite, Load, LoadId, Loaded, Output, Reply, Request, RequestId,
            StreamEvent, StreamKey, Transaction, TransactionId,
        },
    },
    time::Timestamp,
    version::{ClusterName, VersionHistoryItem},
    workflow::limits::Limits,
};
use tokio::sync::{mpsc, oneshot};
use tonic::Status;
use tracing::{Instrument, Span, info_span};

use crate::{
    history::{Occasion, Ports},
    quarantine::Ask,
    recent::Recent,
    room::{Share, Waiting},
    watches::Watches,
};

/// Everything that can wake a shard.
pub(crate) enum Event {
    /// A caller wants something, and has room to wait. The span is the caller's, if anybody follows calls.
    Request(Box<Request>, oneshot::Sender<Reply>, Waiting, Span),
    /// A namespace is new or has changed.
    Namespace(Box<Namespace>),
    /// Runs may grow as large from now on.
    Limits(Arc<Limits>),
    /// A stream opened; frames for the other end go there. The number tells it from later ones of the same key.
    StreamOpened(StreamKey, u64, mpsc::UnboundedSender<Frame>),
    /// A frame arrived on a stream.
    StreamFrame(StreamKey, u64, Box<Frame>),
    /// A stream is gone.
    StreamClosed(StreamKey, u64),
    /// A namespace is to be handed over to this cluster.
    WatchHandover(NamespaceId, ClusterName),
    /// Somebody asks what peers do not have.
    Standings(oneshot::Sender<Vec<Standing>>),
    /// Somebody asks whether the shard was told all of a namespace.
    IsSeeded(NamespaceId, oneshot::Sender<bool>),
    /// Somebody asks which clusters' writes may be missing of a namespace.
    Unheard(NamespaceId, oneshot::Sender<BTreeSet<ClusterName>>),
    /// An operator asks about what could not be applied.
    Quarantine(Ask),
    /// Matching has forgotten some tasks.
    OfferAgain,
    /// Others believed this host dead.
    Doubt,
    /// The shard is to be another host's.
    Release,
    /// The process is about to end.
    Stop,
}

/// An answer of the store, or of a peer that was asked for events.
enum Answer {
    /// A read came back.
    Loaded(LoadId, Loaded),
    /// A write was decided.
    Committed(TransactionId, CommitOutcome),
    /// The shard is another host's.
    NotOurs,
}

/// How far a shard is with being let go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Hold {
    /// It is, or is to be, ours; why it is to be taken when it is taken next.
    Kept(Occasion),
    /// Nothing is decided any more; what is under way is written.
    Releasing,
}

/// Moves values between one shard and the world.
pub(crate) struct Driver {
    shard: Shard,
    ports: Ports,
    /// Reads and writes under way. The task of the shard carries them itself: their work is done by the threads of the
    /// store, and an answer costs no task and no second wakening.
    underway: FuturesUnordered<Pin<Box<dyn Future<Output = Answer> + Send>>>,
    recent: Arc<Mutex<Recent>>,
    watches: Arc<Watches>,
    callers: BTreeMap<RequestId, (oneshot::Sender<Reply>, Option<Waiting>)>,
    /// Callers that are followed, with what they ask of.
    followed: BTreeMap<RequestId, (WorkflowKey, Span)>,
    share: Share,
    streams: BTreeMap<StreamKey, (u64, mpsc::UnboundedSender<Frame>)>,
    /// Batches of writes under way.
    writing: BTreeMap<TransactionId, Vec<HistoryWrite>>,
    next_request: u64,
    hold: Hold,
}

impl Driver {
    pub(crate) fn new(
        shard: Shard,
        ports: Ports,
        recent: Arc<Mutex<Recent>>,
        watches: Arc<Watches>,
        share: Share,
    ) -> Self {
        Self {
            shard,
            ports,
            underway: FuturesUnordered::new(),
            recent,
            watches,
            callers: BTreeMap::new(),
            followed: BTreeMap::new(),
            share,
            streams: BTreeMap::new(),
            writing: BTreeMap::new(),
            next_request: 0,
            hold: Hold::Kept(Occasion::Given),
        }
    }

    /// Drive the shard until the process stops, or it is another host's.
    pub(crate) async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Event>) {
        let mut clusters = self.ports.clusters.clone();
        // The namespaces that are known come first: should the store be a backup, their clusters are asked for what it lacks.
        while let Ok(event) = inbox.try_recv() {
            match event {
                Event::Stop => return,
                event => self.handle(event),
            }
        }
        self.shard.acquire();
        self.drain();
        loop {
            let timeout = self.shard.poll_timeout();
            let clock = Arc::clone(&self.ports.clock);
            let sleep = async move {
                match timeout {
                    Some(due) => tokio::time::sleep(due.since(clock())).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(answer) = self.underway.next(), if !self.underway.is_empty() => self.take(answer),
                event = inbox.recv() => match event {
                    None | Some(Event::Stop) => return,
                    Some(event) => self.handle(event),
                },
                Ok(()) = clusters.changed() => {
                    let view = clusters.borrow_and_update().clone();
                    self.shard.handle_topology(view.federation.topology.clone());
                }
                () = self.share.pressed() => {
                    self.keep_to_share();
                    self.shard.trim();
                }
                () = sleep => self.shard.handle_timeout((self.ports.clock)()),
            }
            self.drain();
            self.keep_to_share();
            if self.hold == Hold::Releasing && !self.shard.is_writing() {
                return self.end(inbox);
            }
        }
    }

    /// The shard is another host's: whoever waits asks there. Nothing was done for them here.
    fn end(mut self, mut inbox: mpsc::UnboundedReceiver<Event>) {
        inbox.close();
        while let Ok(event) = inbox.try_recv() {
            if let Event::Request(_, caller, ..) = event {
                let _ = caller.send(Err(Failure::Moved));
            }
        }
        for (caller, _) in std::mem::take(&mut self.callers).into_values() {
            let _ = caller.send(Err(Failure::Moved));
        }
        self.watches.end(self.shard.id());
        tracing::info!(shard = self.shard.id().0, "shard is let go");
    }

    /// Say what the shard has in memory, and tell it what it may have.
    fn keep_to_share(&mut self) {
        let limit = self.share.set((self.ports.clock)(), self.shard.cache());
        self.shard.limit_cache(limit);
        self.shard.limit_tail(self.share.batches());
    }

    fn release(&mut self) {
        self.shard.release();
        self.hold = Hold::Releasing;
    }

    fn take(&mut self, answer: Answer) {
        let now = (self.ports.clock)();
        match answer {
            Answer::Loaded(id, loaded) => self.shard.handle_loaded(now, id, loaded),
            Answer::Committed(id, outcome) => {
                let batches = self.writing.remove(&id).unwrap_or_default();
                if outcome == CommitOutcome::Committed {
                    let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
                    batches.iter().for_each(|batch| recent.add(batch, self.share.batches()));
                }
                if let Hold::Kept(occasion) = &mut self.hold
                    && outcome == CommitOutcome::ShardOwnershipLost
                {
                    *occasion = Occasion::Lost;
                }
                self.shard.handle_commit(now, id, outcome);
            }
            Answer::NotOurs => self.release(),
        }
    }

    fn handle(&mut self, event: Event) {
        let now = (self.ports.clock)();
        match event {
            // A caller that is gone does not want to know.
            Event::Request(_, caller, ..) if self.hold == Hold::Releasing => drop(caller.send(Err(Failure::Moved))),
            Event::Request(request, caller, waiting, span) => {
                let id = self.expect_reply(caller, Some(waiting));
                if !span.is_disabled() {
                    self.followed.insert(id, (request.workflow.clone(), span));
                }
                self.shard.handle_request(now, id, *request);
            }
            Event::Namespace(namespace) => self.shard.handle_namespace(now, *namespace),
            Event::Limits(limits) => self.shard.limit_runs(limits),
            Event::StreamOpened(key, number, frames) => {
                self.streams.insert(key, (number, frames));
                self.shard.handle_stream(now, key, StreamEvent::Opened);
            }
            Event::StreamFrame(key, number, frame) if self.is_open(key, number) => {
                self.shard.handle_stream(now, key, StreamEvent::Frame(frame));
            }
            Event::StreamClosed(key, number) if self.is_open(key, number) => {
                self.streams.remove(&key);
                self.shard.handle_stream(now, key, StreamEvent::Closed);
            }
            // The stream was replaced by a newer one.
            Event::StreamFrame(..) | Event::StreamClosed(..) => {}
            Event::WatchHandover(namespace, to) => self.shard.watch_handover(namespace, to),
            Event::Standings(caller) => {
                let _ = caller.send(self.shard.standings().collect());
            }
            // Before it has read what it was told it does not answer.
            Event::IsSeeded(namespace, caller) if self.shard.is_ready() => {
                let _ = caller.send(self.shard.is_seeded(namespace));
            }
            Event::IsSeeded(..) => {}
            Event::Unheard(namespace, caller) => {
                let _ = caller.send(self.shard.unheard(namespace));
            }
            Event::Quarantine(ask) => self.answer(now, ask),
            Event::OfferAgain => self.shard.offer_again(now),
            Event::Doubt => self.shard.doubt(now),
            Event::Release => self.release(),
            Event::Stop => {}
        }
    }

    fn answer(&mut self, now: Timestamp, ask: Ask) {
        match ask {
            Ask::List(caller) => drop(caller.send(self.shard.quarantined().collect())),
            Ask::Retry(task, caller) => drop(caller.send(self.shard.retry_quarantined(now, task))),
            Ask::Skip(tasks, caller) => {
                let id = self.expect_reply(caller, None);
                self.shard.skip_quarantined(id, &tasks);
            }
        }
    }

    /// The id by which the shard will answer a caller.
    fn expect_reply(&mut self, caller: oneshot::Sender<Reply>, waiting: Option<Waiting>) -> RequestId {
        self.next_request += 1;
        let id = RequestId(self.next_request);
        self.callers.insert(id, (caller, waiting));
        id
    }

    fn is_open(&self, key: StreamKey, number: u64) -> bool {
        self.streams.get(&key).is_some_and(|(open, _)| *open == number)
    }

    /// Carry out everything the shard wants.
    fn drain(&mut self) {
        while let Some(output) = self.shard.poll_output() {
            match output {
                Output::Load(id, load) => self.load(id, load),
                Output::Commit(transaction) => self.commit(*transaction),
                Output::Reply(id, reply) => {
                    self.followed.remove(&id);
                    // A caller that is gone does not want to know.
                    if let Some((caller, _)) = self.callers.remove(&id) {
                        let _ = caller.send(*reply);
                    }
                }
                Output::Dispatch(dispatch) => self.ports.sink.offer(dispatch),
                Output::Withdraw(run, scheduled) => self.ports.sink.withdraw(run, scheduled),
                Output::Frame(key, frame) => {
                    // A stream that has just closed says so by an event of its own.
                    if let Some((_, frames)) = self.streams.get(&key) {
                        let _ = frames.send(*frame);
                    }
                }
                Output::Notify(notification) => self.watches.notify(notification),
                Output::Report(report) => (self.ports.report)(self.shard.id(), *report),
                Output::Handover(namespace, progress) => (self.ports.handover)(self.shard.id(), namespace, progress),
                Output::RefreshNamespace { namespace, from } => {
                    let name = self.ports.clusters.borrow().federation.topology.name_of(from).cloned();
                    if let Some(name) = name {
                        (self.ports.refresh_namespace)(namespace, name);
                    }
                }
            }
        }
    }

    fn load(&mut self, id: LoadId, load: Load) {
        let (shard, store) = (self.shard.id(), Arc::clone(&self.ports.store));
        if let (Load::AcquireShard { .. }, Some(claim), Hold::Kept(occasion)) =
            (&load, &self.ports.claim, &mut self.hold)
        {
            let claimed = claim(shard, std::mem::replace(occasion, Occasion::Renewal));
            self.underway.push(Box::pin(async move {
                match claimed.await {
                    true => Answer::Loaded(id, store.load(shard, load).await),
                    false => Answer::NotOurs,
                }
            }));
            return;
        }
        let view = self.ports.clusters.borrow().clone();
        self.underway.push(Box::pin(async move {
            let loaded = match load {
                Load::PeerHistory { from, run, after, before } => peer_history(&view, from, &run, after, before).await,
                load => store.load(shard, load).await,
            };
            Answer::Loaded(id, loaded)
        }));
    }

    fn commit(&mut self, transaction: Transaction) {
        let (id, store) = (transaction.id, Arc::clone(&self.ports.store));
        self.writing.insert(id, transaction.history.clone());
        let span = self.span_of_write(&transaction);
        let write = async move {
            let outcome = store.commit(transaction).await.unwrap_or_else(|unavailable| {
                tracing::warn!(reason = %unavailable, "the store cannot write");
                CommitOutcome::Unavailable
            });
            Answer::Committed(id, outcome)
        };
        self.underway.push(Box::pin(write.instrument(span)));
    }

    /// A write is part of the call of the first who waits for its workflow; others whom it answers are not told twice.
    fn span_of_write(&self, transaction: &Transaction) -> Span {
        let run = transaction.runs.first().map(|write| &write.run);
        let is_of = |(workflow, _): &&(WorkflowKey, Span)| run.is_some_and(|run| run.workflow == *workflow);
        match self.followed.values().find(is_of) {
            Some((_, caller)) => {
                let (shard, runs) = (self.shard.id().0, transaction.runs.len());
                info_span!(target: CALLS, parent: caller, "write", otel.kind = "client", shard, runs)
            }
            None => Span::none(),
        }
    }
}

/// Target of the spans of calls, by which the crate `hosts` knows them too.
pub(crate) const CALLS: &str = "calls";

/// Fetch events from a peer: after `after` and before `before`, both exclusive (IN-12).
async fn peer_history(
    view: &View,
    from: ClusterId,
    run: &RunKey,
    after: Option<VersionHistoryItem>,
    before: Option<VersionHistoryItem>,
) -> Loaded {
    let Some(peer) = view.peer(from) else { return Loaded::Failed("the peer is not connected".into()) };
    let mut request = GetWorkflowExecutionRawHistoryV2Request {
        namespace_id: run.workflow.namespace.to_string(),
        execution: Some(WorkflowExecution {
            workflow_id: run.workflow.workflow.to_string(),
            run_id: run.run.to_string(),
        }),
        start_event_id: after.map_or(0, |item| item.event_id.0),
        start_event_version: after.map_or(0, |item| item.version.0),
        end_event_id: before.map_or(0, |item| item.event_id.0),
        end_event_version: before.map_or(0, |item| item.version.0),
        maximum_page_size: 1000,
        ..GetWorkflowExecutionRawHistoryV2Request::default()
    };
    let mut client = peer.admin();
    let mut whole = None;
    loop {
        let asked = client.get_workflow_execution_raw_history_v2(request.clone());
        let answer = tokio::time::timeout(FETCH, asked).await;
        let page = match answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("the peer does not answer"))) {
            Ok(page) => page.into_inner(),
            Err(status) if status.code() == tonic::Code::NotFound => return Loaded::PeerNotFound,
            Err(status) => return Loaded::Failed(status.message().to_owned()),
        };
        request.next_page_token = page.next_page_token.clone();
        match &mut whole {
            None => whole = Some(page),
            Some(whole) => whole.history_batches.extend(page.history_batches),
        }
        if request.next_page_token.is_empty() {
            return whole.map_or(Loaded::PeerNotFound, |page| Loaded::PeerHistory(Box::new(page)));
        }
    }
}

/// How long a peer may take for a page of events. What waits for them is kept aside then, so that its stream goes on.
const FETCH: Duration = Duration::from_secs(30);
