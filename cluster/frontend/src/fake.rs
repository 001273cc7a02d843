//! Stand-ins for what surrounds a frontend.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use history::{Ended, Events};
use hyper_util::rt::TokioIo;
use matching::Matching;
use prost::Message;
use proto::temporal::api::{
    history::v1::{History, HistoryEvent},
    workflowservice::v1 as api,
};
use replicator::{
    entropy::Entropy,
    history::Branch,
    ids::{EventId, NamespaceId, RunId, RunKey, WorkflowKey},
    namespace::{Carried, Namespace, NamespaceState, ReplicationState},
    shard::io::{Call, Failure, Notification, Reply, Request, Response, RunView},
    time::Timestamp,
    version::{FailoverVersion, VersionHistories, VersionHistory, VersionHistoryItem},
};
use store::{
    Answer,
    visibility::{Count, Page, VisibilityError},
};
use tokio::sync::watch;
use tokio_stream::StreamExt as _;
use tonic::{
    Code, Status,
    body::Body,
    codegen::Service,
    metadata::MetadataMap,
    server::NamedService,
    transport::{Channel, Endpoint, Server},
};

use crate::{
    About, Frontend, Namespaces, Parts, Peers, Policy, Shards, WorkflowService, caller::Caller, lists::Lists,
    metrics::Uncounted, namespaces::Later, rpcs, shards::Watch,
};

/// A namespace of this name; the id follows from it.
pub(crate) fn namespace(name: &str) -> Namespace {
    let mut id = [0; 16];
    id[..name.len()].copy_from_slice(name.as_bytes());
    Namespace {
        resumed_in: None,
        id: NamespaceId::from_bytes(id),
        name: name.into(),
        state: NamespaceState::Registered,
        description: String::new(),
        owner_email: String::new(),
        data: BTreeMap::new(),
        retention: Duration::from_secs(86_400),
        carried: Carried::default(),
        is_global: true,
        active: "a".into(),
        clusters: vec!["a".into(), "b".into()],
        replication_state: ReplicationState::Normal,
        config_version: 0,
        failover_version: FailoverVersion(1),
        failover_history: Vec::new(),
    }
}

/// Namespaces that a test puts there.
#[derive(Default)]
pub(crate) struct FakeNamespaces(watch::Sender<BTreeMap<NamespaceId, Arc<Namespace>>>);

impl FakeNamespaces {
    pub(crate) fn put(&self, namespace: Namespace) {
        self.0.send_modify(|table| drop(table.insert(namespace.id, Arc::new(namespace))));
    }
}

impl Namespaces for Arc<FakeNamespaces> {
    fn by_name(&self, name: &str) -> Option<Arc<Namespace>> {
        self.0.borrow().values().find(|namespace| namespace.name == name).cloned()
    }

    fn by_id(&self, id: NamespaceId) -> Option<Arc<Namespace>> {
        self.0.borrow().get(&id).cloned()
    }

    fn changed<'a>(&'a self, seen: &'a Arc<Namespace>) -> BoxFuture<'a, Option<Arc<Namespace>>> {
        let mut table = self.0.subscribe();
        async move {
            let news =
                |table: &BTreeMap<_, Arc<Namespace>>| table.get(&seen.id).is_none_or(|now| !Arc::ptr_eq(now, seen));
            table.wait_for(news).await.unwrap().get(&seen.id).cloned()
        }
        .boxed()
    }

    fn register(&self, _: api::RegisterNamespaceRequest) -> Later<'_, api::RegisterNamespaceResponse> {
        async { Ok(Default::default()) }.boxed()
    }

    fn describe(&self, _: &api::DescribeNamespaceRequest) -> Result<api::DescribeNamespaceResponse, Status> {
        Ok(Default::default())
    }

    fn list(&self, _: &api::ListNamespacesRequest) -> Result<api::ListNamespacesResponse, Status> {
        Ok(Default::default())
    }

    fn update(&self, _: api::UpdateNamespaceRequest) -> Later<'_, api::UpdateNamespaceResponse> {
        async { Ok(Default::default()) }.boxed()
    }

    fn deprecate(&self, _: api::DeprecateNamespaceRequest) -> Later<'_, api::DeprecateNamespaceResponse> {
        async { Ok(Default::default()) }.boxed()
    }
}

/// One run, and what its shard answers to what is not about its history.
pub(crate) struct FakeShards {
    state: Mutex<FakeRun>,
    changes: watch::Sender<u64>,
    answer: Box<Script>,
    calls: Mutex<Vec<Request>>,
}

/// What a shard answers, from the request and where the run stands.
type Script = dyn Fn(&Request, RunView) -> Reply + Send + Sync;

/// A run as a test writes it.
#[derive(Clone, Default)]
pub(crate) struct FakeRun {
    /// Events of each batch, such as `1-3 4-4`.
    pub batches: String,
    /// Whether it is closed.
    pub is_closed: bool,
    /// Events of a transient workflow task.
    pub transient: Vec<i64>,
    /// Which of two branches is current.
    pub branch: u64,
}

impl FakeShards {
    pub(crate) fn new(answer: impl Fn(&Request, RunView) -> Reply + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            changes: watch::Sender::new(0),
            answer: Box::new(answer),
            calls: Mutex::default(),
        })
    }

    /// The run is this from now on.
    pub(crate) fn put(&self, run: FakeRun) {
        *self.state.lock().unwrap() = run;
        self.changes.send_modify(|count| *count += 1);
    }

    /// What was asked, but for looks.
    pub(crate) fn calls(&self) -> Vec<Request> {
        self.calls.lock().unwrap().clone()
    }

    fn view(&self, workflow: &WorkflowKey) -> RunView {
        let run = self.state.lock().unwrap().clone();
        view(workflow, &run)
    }
}

/// How a run looks.
pub(crate) fn view(workflow: &WorkflowKey, run: &FakeRun) -> RunView {
    let batches = batches(&run.batches);
    let (first, last) = batches.last().copied().unwrap_or((1, 0));
    let versions = |last: i64| {
        VersionHistory::new(VersionHistoryItem { event_id: EventId(last.max(1)), version: FailoverVersion(1) })
    };
    let mut entropy = Entropy::new(7);
    let root = Branch::root(RUN, &mut entropy);
    let fork = root.fork(EventId(4), &mut entropy);
    let history = |branch, versions| replicator::version::histories::BranchHistory { branch, versions };
    let histories = VersionHistories::from_parts(
        vec![history(root, versions(last)), history(fork, versions(last))],
        usize::try_from(run.branch).unwrap(),
    );
    RunView {
        run: RunKey { workflow: workflow.clone(), run: RUN },
        first_run: RUN,
        start_request_id: String::new(),
        is_open: !run.is_closed,
        status: if run.is_closed { 2 } else { 1 },
        histories: histories.unwrap(),
        next_event_id: EventId(last + 1),
        last_batch: EventId(first),
        transient: events(run.transient.iter().copied()),
    }
}

/// The only run there is.
pub(crate) const RUN: RunId = RunId(uuid::Uuid::from_bytes([3; 16]));

pub(crate) fn events(ids: impl Iterator<Item = i64>) -> Vec<HistoryEvent> {
    ids.map(|event_id| HistoryEvent { event_id, ..Default::default() }).collect()
}

fn batches(text: &str) -> Vec<(i64, i64)> {
    let batch = |batch: &str| {
        let (first, last) = batch.split_once('-').unwrap();
        (first.parse().unwrap(), last.parse().unwrap())
    };
    text.split_whitespace().map(batch).collect()
}

fn encode((first, last): (i64, i64)) -> Bytes {
    History { events: events(first..=last) }.encode_to_vec().into()
}

impl Shards for Arc<FakeShards> {
    fn call(&self, request: Request) -> BoxFuture<'_, Reply> {
        async move {
            tokio::task::yield_now().await;
            match request.call {
                Call::View => match request.run {
                    Some(run) if run != RUN => Err(Failure::NotFound("workflow execution not found".into())),
                    _ => Ok(Response::View(Box::new(self.view(&request.workflow)))),
                },
                _ => {
                    self.calls.lock().unwrap().push(request.clone());
                    let reply = (self.answer)(&request, self.view(&request.workflow));
                    // What was done is done, though its caller may not hear of it.
                    tokio::task::yield_now().await;
                    reply
                }
            }
        }
        .boxed()
    }

    fn events<'a>(
        &'a self,
        view: &'a RunView,
        first: EventId,
        end: EventId,
        max_events: usize,
    ) -> BoxFuture<'a, Result<Events, Failure>> {
        assert!(first < end && end <= view.next_event_id, "{first} {end} {view:?}");
        let stored = batches(&self.state.lock().unwrap().batches);
        let mut wanted = stored.into_iter().filter(|batch| first.0 <= batch.1 && batch.0 < end.0).peekable();
        let (mut page, mut count) = (Vec::new(), 0);
        while let Some(batch) = wanted.next_if(|_| count < max_events) {
            count += usize::try_from(batch.1 - batch.0 + 1).unwrap();
            page.push(encode(batch));
        }
        let next = wanted.next().map(|(first, _)| EventId(first));
        async move { Ok(Events { batches: page, next }) }.boxed()
    }

    fn events_reverse<'a>(
        &'a self,
        _: &'a RunView,
        end: EventId,
        max_events: usize,
    ) -> BoxFuture<'a, Result<Events, Failure>> {
        let stored = batches(&self.state.lock().unwrap().batches);
        let mut wanted = stored.into_iter().rev().filter(|batch| batch.0 < end.0).peekable();
        let (mut page, mut count) = (Vec::new(), 0);
        while let Some(batch) = wanted.next_if(|_| count < max_events) {
            count += usize::try_from(batch.1 - batch.0 + 1).unwrap();
            page.push(encode(batch));
        }
        let next = wanted.next().map(|(_, last)| EventId(last + 1));
        async move { Ok(Events { batches: page, next }) }.boxed()
    }

    fn watch(&self, run: &RunKey) -> Box<dyn Watch> {
        Box::new(FakeWatch(self.changes.subscribe(), run.clone()))
    }
}

struct FakeWatch(watch::Receiver<u64>, RunKey);

impl Watch for FakeWatch {
    fn changed(&mut self) -> BoxFuture<'_, Result<Notification, Ended>> {
        async {
            self.0.changed().await.unwrap();
            Ok(Notification { run: self.1.clone(), next_event_id: EventId(0), is_open: true })
        }
        .boxed()
    }
}

/// No run at all.
pub(crate) struct NoRuns;

impl Lists for NoRuns {
    fn list<'a>(
        &'a self,
        _: NamespaceId,
        _: &'a str,
        _: usize,
        _: &'a [u8],
    ) -> Answer<'a, Result<Page, VisibilityError>> {
        async { Ok(Page::default()) }.boxed()
    }

    fn count<'a>(&'a self, _: NamespaceId, _: &'a str) -> Answer<'a, Result<Count, VisibilityError>> {
        async { Ok(Count::default()) }.boxed()
    }
}

/// A clock that moves with the runtime's.
pub(crate) fn clock() -> crate::Clock {
    let start = tokio::time::Instant::now();
    Arc::new(move || Timestamp::from_millis(1_700_000_000_000) + start.elapsed())
}

/// A cluster's frontend among stand-ins.
pub(crate) struct World {
    pub namespaces: Arc<FakeNamespaces>,
    pub shards: Arc<FakeShards>,
    pub matching: Matching,
    pub frontend: Frontend,
}

impl World {
    /// Cluster `name`, whose shards answer like this, with these ways out.
    pub(crate) fn new(name: &str, shards: Arc<FakeShards>, policy: Policy, peers: Peers) -> Self {
        let namespaces = Arc::new(FakeNamespaces::default());
        let clock = clock();
        let matching = Matching::new(clock.clone());
        let next = AtomicU64::new(1);
        let parts = Parts {
            about: About {
                cluster: name.into(),
                host: "machine".into(),
                cluster_id: uuid::Uuid::nil(),
                shard_count: 4,
                initial_failover_version: 1,
                failover_version_increment: 10,
                store: "sqlite".into(),
            },
            namespaces: Arc::new(namespaces.clone()),
            shards: Arc::new(shards.clone()),
            matching: matching.clone(),
            lists: Arc::new(NoRuns),
            peers,
            policy,
            limits: Arc::new(|_, _| None),
            meter: Arc::new(Uncounted),
            clock,
            hosts: None,
            uuids: Arc::new(move || uuid::Uuid::from_u128(next.fetch_add(1, Ordering::Relaxed).into())),
        };
        Self { namespaces, shards, matching, frontend: Frontend::new(parts) }
    }

    /// A cluster on its own.
    pub(crate) fn alone(answer: impl Fn(&Request, RunView) -> Reply + Send + Sync + 'static) -> Self {
        let world = Self::new("a", FakeShards::new(answer), Policy::Noop, Arc::new(|_| None));
        world.namespaces.put(namespace("orders"));
        world
    }

    /// What others call.
    pub(crate) fn service(&self) -> WorkflowService {
        WorkflowService::new(self.frontend.clone())
    }

    /// Call a method with headers, as from a client that waits this long.
    pub(crate) async fn call<A: Message + Default>(
        &self,
        method: &str,
        request: &impl Message,
        headers: &[(&'static str, &str)],
        timeout: Option<Duration>,
    ) -> Result<A, Status> {
        let answer = self.send(method, request.encode_to_vec(), headers, timeout).await?;
        Ok(A::decode(answer).expect("an answer of this method"))
    }

    /// The code and text with which a request is refused.
    pub(crate) async fn refusal(&self, method: &str, request: Vec<u8>) -> (Code, String) {
        match self.send(method, request, &[], None).await {
            Ok(_) => (Code::Ok, String::new()),
            Err(status) => (status.code(), status.message().to_owned()),
        }
    }

    async fn send(
        &self,
        method: &str,
        request: Vec<u8>,
        headers: &[(&'static str, &str)],
        timeout: Option<Duration>,
    ) -> Result<Bytes, Status> {
        let mut map = MetadataMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let deadline = timeout.map(|timeout| self.frontend.now() + timeout);
        let caller = Caller {
            rpc: rpcs::find(method).unwrap(),
            request: request.into(),
            headers: map,
            deadline,
            is_inside: false,
        };
        self.frontend.answer(&caller).await
    }
}

/// A channel to a service, over memory.
#[allow(clippy::disallowed_methods, reason = "nothing outlives the runtime of a test")]
pub(crate) fn serve<S>(service: S) -> Channel
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
        + NamedService
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
{
    let connector = tower::service_fn(move |_| {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let stream = tokio_stream::once(Ok::<_, std::io::Error>(theirs)).chain(tokio_stream::pending());
        tokio::spawn(Server::builder().add_service(service.clone()).serve_with_incoming(stream));
        async move { Ok::<_, std::io::Error>(TokioIo::new(ours)) }
    });
    Endpoint::from_static("http://peer").connect_with_connector_lazy(connector)
}

/// Any message, for whoever does not look into it.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Empty {}
