//! The hosts of one cluster in one process: real gRPC and gossip over loopback, one store in memory, and clients and workers
//! that repeat what a host could not answer, as their libraries do.

#![allow(dead_code, unreachable_pub, reason = "every test uses a part of it")]

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cluster::{Cluster, Ports};
use config::Setting;
use membership::{Service, Services};
use proto::temporal::api::{
    command::v1::{
        Command, CompleteWorkflowExecutionCommandAttributes, ScheduleActivityTaskCommandAttributes, command::Attributes,
    },
    common::v1::{ActivityType, Payload, Payloads, WorkflowExecution, WorkflowType},
    enums::v1::{CommandType, EventType, QueryResultType},
    query::v1::WorkflowQuery,
    taskqueue::v1::{TaskQueue, TaskQueuePartitionMetadata},
    workflowservice::v1::{self as api, workflow_service_client::WorkflowServiceClient},
};
use replicator::time::proto_duration;
use store::{Store, sqlite};
use tokio::{
    net::{TcpListener, UdpSocket},
    task::AbortHandle,
    time::{sleep, timeout},
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Code, Request, Status,
    metadata::MetadataValue,
    transport::{Channel, Server},
};

/// One cluster: what all its hosts share.
pub struct World {
    store: Arc<dyn Store>,
    /// `a` or `b`, as number 0 or 1.
    number: usize,
    hosts: AtomicU64,
    /// Partitions of task queues, if somebody says.
    pub partitions: Option<u32>,
}

/// One host.
pub struct Host {
    pub cluster: Cluster,
    /// Where it answers clients.
    pub address: String,
    tasks: Background,
}

/// What runs on a host.
#[derive(Clone, Default)]
struct Background(Arc<Mutex<Vec<AbortHandle>>>);

impl Background {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.lock().expect("whole").push(tokio::spawn(task).abort_handle());
    }
}

impl World {
    /// Cluster `a`.
    pub async fn new() -> Self {
        Self::of(0).await
    }

    /// Cluster `a` or `b`.
    pub async fn of(number: usize) -> Self {
        // `RUST_LOG` shows what the hosts say.
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        let spawner: store::Spawner = Arc::new(|task| drop(tokio::spawn(task)));
        let store = sqlite::open(&sqlite::Location::Memory, &spawner).await;
        Self { store: Arc::new(store.expect("memory opens")), number, hosts: AtomicU64::new(1), partitions: None }
    }

    /// Start a host that runs these services.
    pub async fn start(&self, services: &[Service]) -> Host {
        let number = self.hosts.fetch_add(1, Ordering::Relaxed);
        let (public, inside) = (listen().await, listen().await);
        let gossip = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let address = address(&public);
        let tasks = Background::default();
        let spawned = tasks.clone();
        let mut config = config(&address, self.number);
        config.host = Some(config::Host {
            services: services.iter().copied().collect::<Services>(),
            internal: inside.local_addr().expect("bound"),
            gossip: gossip.local_addr().expect("bound"),
            http: None,
            broadcast: [127, 0, 0, 1].into(),
            max_join: None,
            failure_detection: None,
        });
        let ports = Ports {
            seed: number + 100 * self.number as u64,
            spawn: Arc::new(move |task| spawned.spawn(task)),
            host: format!("host-{number}"),
            gossip: Some(Arc::new(gossip)),
            limits: {
                let partitions = self.partitions;
                Arc::new(move |setting, _| match setting {
                    Setting::ReadPartitions | Setting::WritePartitions => partitions,
                    _ => None,
                })
            },
            ..Ports::real(tracing::Span::none())
        };
        let cluster = Cluster::start_on(self.store.clone(), &config, ports).await.expect("it starts");
        for (listener, routes) in [(public, cluster.routes()), (inside, cluster.internal_routes())] {
            let server = Server::builder().add_routes(routes).serve_with_incoming(TcpListenerStream::new(listener));
            tasks.spawn(async move { drop(server.await) });
        }
        Host { cluster, address, tasks }
    }
}

impl Host {
    /// It dies: everything ends where it is.
    pub fn kill(self) {
        for task in std::mem::take(&mut *self.tasks.0.lock().expect("whole")) {
            task.abort();
        }
    }

    /// It knows of so many hosts.
    pub async fn sees(&self, count: usize) {
        let mut views = self.cluster.membership().watch();
        let seen = views.wait_for(|view| view.all().count() == count);
        assert!(timeout(LONG, seen).await.is_ok(), "{} hosts do not meet", count);
    }

    pub fn channel(&self) -> Channel {
        cluster::ports::endpoint(&self.address).expect("an address").connect_lazy()
    }

    /// The way for other hosts.
    pub fn inside(&self) -> Channel {
        let address = self.cluster.membership().view().me().address.clone();
        cluster::ports::endpoint(&address).expect("an address").connect_lazy()
    }

    pub fn client(&self) -> Client {
        Client { channel: WorkflowServiceClient::new(self.channel()), is_here: false }
    }
}

/// A caller that repeats what is UNAVAILABLE. Clones share a connection.
#[derive(Clone)]
pub struct Client {
    channel: WorkflowServiceClient<Channel>,
    is_here: bool,
}

impl Client {
    /// Call until there is an answer.
    pub async fn call<T: Clone, A>(
        &self,
        message: T,
        call: impl AsyncFn(WorkflowServiceClient<Channel>, Request<T>) -> Result<tonic::Response<A>, Status>,
    ) -> Result<A, Status> {
        loop {
            let mut request = Request::new(message.clone());
            request.set_timeout(CALL);
            if self.is_here {
                request.metadata_mut().insert("xdc-redirection", MetadataValue::from_static("false"));
            }
            match call(self.channel.clone(), request).await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) if is_passing(&status) => sleep(Duration::from_millis(50)).await,
                Err(status) => return Err(status),
            }
        }
    }

    pub async fn register(&self) {
        let request = api::RegisterNamespaceRequest {
            namespace: NAMESPACE.into(),
            workflow_execution_retention_period: Some(proto_duration(Duration::from_secs(86_400))),
            ..Default::default()
        };
        let registered = self.call(request, async |mut client, request| client.register_namespace(request).await);
        registered.await.expect("it is registered");
    }

    /// Start a workflow; answers its run.
    pub async fn begin(&self, id: &str) -> String {
        let request = api::StartWorkflowExecutionRequest {
            namespace: NAMESPACE.into(),
            workflow_id: id.into(),
            workflow_type: Some(WorkflowType { name: "type".into() }),
            task_queue: queue(),
            request_id: format!("start {id}"),
            ..Default::default()
        };
        let started = self.call(request, async |mut client, request| client.start_workflow_execution(request).await);
        started.await.expect("it starts").run_id
    }

    /// What an operator is told of the queue.
    pub async fn describe(&self) -> api::DescribeTaskQueueResponse {
        let told = self.call(describe(), async |mut client, request| client.describe_task_queue(request).await);
        told.await.expect("it is described")
    }

    /// The partitions of the queue.
    pub async fn partitions(&self) -> Vec<TaskQueuePartitionMetadata> {
        let request = api::ListTaskQueuePartitionsRequest { namespace: NAMESPACE.into(), task_queue: queue() };
        let told = self.call(request, async |mut client, request| client.list_task_queue_partitions(request).await);
        told.await.expect("they are listed").workflow_task_queue_partitions
    }

    pub async fn signal(&self, id: &str, name: &str) {
        let request = api::SignalWorkflowExecutionRequest {
            namespace: NAMESPACE.into(),
            workflow_execution: execution(id),
            signal_name: name.into(),
            request_id: format!("signal {id} {name}"),
            ..Default::default()
        };
        let signaled = self.call(request, async |mut client, request| client.signal_workflow_execution(request).await);
        signaled.await.expect("it is signaled");
    }

    /// What a worker says of a workflow.
    pub async fn query(&self, id: &str) -> Result<String, Status> {
        let query = WorkflowQuery { query_type: "state".into(), ..Default::default() };
        let request = api::QueryWorkflowRequest {
            namespace: NAMESPACE.into(),
            execution: execution(id),
            query: Some(query),
            ..Default::default()
        };
        let answer = self.call(request, async |mut client, request| client.query_workflow(request).await).await?;
        let payload = answer.query_result.and_then(|mut payloads| payloads.payloads.pop()).unwrap_or_default();
        Ok(String::from_utf8_lossy(&payload.data).into_owned())
    }

    /// The same connection for calls that this cluster answers itself.
    pub fn here(&self) -> Self {
        Self { is_here: true, ..self.clone() }
    }

    /// Wait until a workflow is over; answers the types of its events, in order.
    pub async fn finished(&self, id: &str) -> Vec<EventType> {
        let wait = api::GetWorkflowExecutionHistoryRequest {
            namespace: NAMESPACE.into(),
            execution: execution(id),
            wait_new_event: true,
            history_event_filter_type: 2,
            ..Default::default()
        };
        let get = async |request| {
            let got =
                self.call(request, async |mut client, request| client.get_workflow_execution_history(request).await);
            got.await.expect("it has a history")
        };
        let mut request = wait;
        loop {
            let page = get(request.clone()).await;
            if page.history.is_some_and(|history| !history.events.is_empty()) {
                break;
            }
            request.next_page_token = page.next_page_token;
        }
        let all = api::GetWorkflowExecutionHistoryRequest {
            namespace: NAMESPACE.into(),
            execution: execution(id),
            ..Default::default()
        };
        let history = get(all).await.history.unwrap_or_default();
        history.events.iter().map(proto::temporal::api::history::v1::HistoryEvent::event_type).collect()
    }

    /// Work off workflows of one activity each, for as long as this lives: a worker for workflow tasks and one for
    /// activities.
    pub fn work(&self) -> tokio::task::JoinSet<()> {
        let mut workers = tokio::task::JoinSet::new();
        let (decider, doer) = (self.clone(), self.clone());
        workers.spawn(async move {
            loop {
                decider.decide().await;
            }
        });
        workers.spawn(async move {
            loop {
                doer.act().await;
            }
        });
        workers
    }

    async fn decide(&self) {
        let poll = api::PollWorkflowTaskQueueRequest {
            namespace: NAMESPACE.into(),
            task_queue: queue(),
            identity: "worker".into(),
            ..Default::default()
        };
        let task = self.call(poll, async |mut client, request| client.poll_workflow_task_queue(request).await).await;
        let task = task.expect("a poll is answered");
        if task.task_token.is_empty() {
            return;
        }
        let events = task.history.clone().unwrap_or_default().events;
        if let Some(query) = &task.query {
            let said = format!("{} of {} events", query.query_type, events.len());
            return self.answer(&task, said).await;
        }
        let is_done = events.iter().any(|event| event.event_type() == EventType::ActivityTaskCompleted);
        let is_begun = events.iter().any(|event| event.event_type() == EventType::ActivityTaskScheduled);
        let command = match (is_done, is_begun) {
            (true, _) => Some(Command {
                command_type: CommandType::CompleteWorkflowExecution.into(),
                attributes: Some(Attributes::CompleteWorkflowExecutionCommandAttributes(
                    CompleteWorkflowExecutionCommandAttributes::default(),
                )),
                ..Default::default()
            }),
            (false, true) => None,
            (false, false) => Some(Command {
                command_type: CommandType::ScheduleActivityTask.into(),
                attributes: Some(Attributes::ScheduleActivityTaskCommandAttributes(
                    ScheduleActivityTaskCommandAttributes {
                        activity_id: "1".into(),
                        activity_type: Some(ActivityType { name: "act".into() }),
                        task_queue: queue(),
                        start_to_close_timeout: Some(proto_duration(Duration::from_secs(5))),
                        schedule_to_close_timeout: Some(proto_duration(Duration::from_secs(60))),
                        ..Default::default()
                    },
                )),
                ..Default::default()
            }),
        };
        let request = api::RespondWorkflowTaskCompletedRequest {
            namespace: NAMESPACE.into(),
            task_token: task.task_token,
            commands: command.into_iter().collect(),
            identity: "worker".into(),
            ..Default::default()
        };
        let completed =
            self.call(request, async |mut client, request| client.respond_workflow_task_completed(request).await);
        accept(completed.await.err());
    }

    async fn answer(&self, task: &api::PollWorkflowTaskQueueResponse, said: String) {
        let payload = Payload { data: said.into(), ..Default::default() };
        let request = api::RespondQueryTaskCompletedRequest {
            namespace: NAMESPACE.into(),
            task_token: task.task_token.clone(),
            completed_type: QueryResultType::Answered.into(),
            query_result: Some(Payloads { payloads: vec![payload] }),
            ..Default::default()
        };
        let answered =
            self.call(request, async |mut client, request| client.respond_query_task_completed(request).await);
        accept(answered.await.err());
    }

    async fn act(&self) {
        let poll = api::PollActivityTaskQueueRequest {
            namespace: NAMESPACE.into(),
            task_queue: queue(),
            identity: "worker".into(),
            ..Default::default()
        };
        let task = self.call(poll, async |mut client, request| client.poll_activity_task_queue(request).await).await;
        let task = task.expect("a poll is answered");
        if task.task_token.is_empty() {
            return;
        }
        let request = api::RespondActivityTaskCompletedRequest {
            namespace: NAMESPACE.into(),
            task_token: task.task_token,
            identity: "worker".into(),
            ..Default::default()
        };
        let completed =
            self.call(request, async |mut client, request| client.respond_activity_task_completed(request).await);
        accept(completed.await.err());
    }
}

/// A second try of what was done, or is over, finds nothing.
#[track_caller]
fn accept(error: Option<Status>) {
    if let Some(status) = error {
        assert_eq!(status.code(), Code::NotFound, "{status}");
    }
}

/// What a caller's library repeats.
fn is_passing(status: &Status) -> bool {
    let is_broken = std::error::Error::source(status).is_some();
    is_broken || matches!(status.code(), Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded)
}

fn queue() -> Option<TaskQueue> {
    Some(TaskQueue { name: "q".into(), ..Default::default() })
}

/// Asks for the queue of the workflows.
pub fn describe() -> api::DescribeTaskQueueRequest {
    api::DescribeTaskQueueRequest {
        namespace: NAMESPACE.into(),
        task_queue: queue(),
        report_stats: true,
        ..Default::default()
    }
}

fn execution(id: &str) -> Option<WorkflowExecution> {
    Some(WorkflowExecution { workflow_id: id.into(), run_id: String::new() })
}

async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a port")
}

fn address(listener: &TcpListener) -> String {
    let address: SocketAddr = listener.local_addr().expect("bound");
    address.to_string()
}

/// A cluster of 8 shards whose frontend is there.
fn config(address: &str, number: usize) -> config::Config {
    let mut plan = cluster::dev::Plan::new(2, 7233, None, config::Level::Warn).expect("two clusters can be run");
    // All hosts of it say the same of their cluster.
    let mut config = plan.clusters.remove(number);
    config.persistence.num_history_shards = 8;
    config.frontend.grpc = address.parse().expect("an address");
    config
}

pub const NAMESPACE: &str = "orders";

/// How long a call may take.
const CALL: Duration = Duration::from_secs(10);

/// What takes longer does not happen at all.
pub const LONG: Duration = Duration::from_secs(60);
