//! Calls are followed from host to host, and whoever collects traces is told (feature `otel`).

#![cfg(feature = "otel")]
#![allow(clippy::disallowed_methods, reason = "a test brings its own world")]

mod world;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::Future,
    io::{BufRead, BufReader},
    net::TcpListener as Port,
    pin::Pin,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use membership::Service::{Frontend, History, Matching, Worker};
use prost::Message;
use proto::temporal::api::{
    common::v1::{WorkflowExecution, WorkflowType},
    taskqueue::v1::TaskQueue,
    workflowservice::v1::{
        SignalWorkflowExecutionRequest, StartWorkflowExecutionRequest, workflow_service_client::WorkflowServiceClient,
    },
};
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Code, Request, Response, Status,
    body::Body,
    codegen::Service,
    server::{Grpc, NamedService, UnaryService},
    transport::{Channel, Server},
};
use tracing_subscriber::{layer::SubscriberExt as _, util::SubscriberInitExt as _};

use self::world::{LONG, NAMESPACE, World};

/// The trace and the span of the caller.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// A client asks a host that has no shard. Its trace goes on there, on the host that has, and in the store of that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_over_two_hosts_is_one_trace() {
    let collector = Collector::start().await;
    let layer = cluster::telemetry::layer(&collector.endpoint).expect("an endpoint");
    tracing_subscriber::registry().with(layer).try_init().expect("nobody follows calls yet");
    let world = World::new().await;
    let (front, back) = (world.start(&[Frontend]).await, world.start(&[History, Matching, Worker]).await);
    front.sees(2).await;
    back.sees(2).await;
    front.client().register().await;

    signal_when_started(front.channel(), NAMESPACE).await;
    cluster::telemetry::end().await;
    let expected = "
call SignalWorkflowExecution [server] orders w
  hop SignalWorkflowExecution [client]
    call SignalWorkflowExecution [server] orders w
      write [client]";
    assert_eq!(collector.tree(), expected.trim_start());
}

/// The same with a process that is told by its environment, and two clusters of which one passes the call on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_over_two_clusters_is_one_trace() {
    let collector = Collector::start().await;
    let (mut process, port) = dev(&collector.endpoint);
    let there = cluster::ports::endpoint(&format!("127.0.0.1:{}", port + 100)).expect("an address").connect_lazy();
    signal_when_started(there, "default").await;
    let asked = Command::new("kill").arg(process.id().to_string()).status().expect("a signal");
    assert!(asked.success() && process.wait().expect("it ends").success(), "it tells what it knows, and ends");
    let expected = "
call SignalWorkflowExecution [server] default w
  hop SignalWorkflowExecution [client]
    call SignalWorkflowExecution [server] default w
      write [client]";
    assert_eq!(collector.tree(), expected.trim_start());
    assert_eq!(collector.services(), ["two-clusters"]);
}

/// Start a workflow, and when its shard has answered, signal it in a trace.
async fn signal_when_started(channel: Channel, namespace: &str) {
    let mut client = WorkflowServiceClient::new(channel);
    let start = StartWorkflowExecutionRequest {
        namespace: namespace.into(),
        workflow_id: "w".into(),
        workflow_type: Some(WorkflowType { name: "type".into() }),
        task_queue: Some(TaskQueue { name: "queue".into(), ..Default::default() }),
        request_id: "once".into(),
        ..Default::default()
    };
    let started = async {
        while let Err(status) = client.start_workflow_execution(start.clone()).await {
            assert_eq!(status.code(), Code::Unavailable, "{status}");
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(LONG, started).await.expect("it starts");
    let mut signal = Request::new(SignalWorkflowExecutionRequest {
        namespace: namespace.into(),
        workflow_execution: Some(WorkflowExecution { workflow_id: "w".into(), run_id: String::new() }),
        signal_name: "go".into(),
        ..Default::default()
    });
    signal.metadata_mut().insert("traceparent", format!("00-{TRACE}-{CALLER}-01").parse().expect("text"));
    let signaled = timeout(LONG, client.signal_workflow_execution(signal)).await;
    signaled.expect("in time").expect("it is signaled");
}

/// Two clusters in one process, of which the first has its port for gRPC there.
fn dev(endpoint: &str) -> (Child, u16) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meridian"));
    let port = free_port();
    command.args(["dev", "--headless", "--output", "json", "--clusters", "2", "--port", &port.to_string()]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint).env("OTEL_SERVICE_NAME", "two-clusters");
    let mut process = command.stdout(Stdio::piped()).spawn().expect("it runs");
    let lines = BufReader::new(process.stdout.take().expect("piped")).lines();
    // The document that says that they run ends with the brace that closes it.
    let end = lines.map_while(Result::ok).find(|line| line == "}");
    assert!(end.is_some(), "the program tells what it started");
    (process, port)
}

fn free_port() -> u16 {
    let is_free =
        |port: &u16| [0, 10, 20, 100, 110, 120].iter().all(|more| Port::bind(("127.0.0.1", port + more)).is_ok());
    let first = 20_000 + u16::try_from(std::process::id() % 8_000).expect("small");
    (first..first + 2_000).step_by(7).find(is_free).expect("free ports")
}

/// Somebody who collects spans, and keeps those of one trace.
#[derive(Clone)]
struct Collector {
    endpoint: String,
    told: Arc<Mutex<Vec<ResourceSpans>>>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
        let collector = Self { endpoint, told: Arc::default() };
        let server = Server::builder().add_service(collector.clone());
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        collector
    }

    fn spans(&self) -> Vec<Span> {
        let told = self.told.lock().expect("whole");
        let spans = told.iter().flat_map(|resource| &resource.scope_spans).flat_map(|scope| &scope.spans);
        spans.filter(|span| hex(&span.trace_id) == TRACE).cloned().collect()
    }

    /// The names under which spans came.
    fn services(&self) -> Vec<String> {
        let told = self.told.lock().expect("whole");
        let attributes = told.iter().filter_map(|resource| resource.resource.as_ref()).flat_map(|it| &it.attributes);
        let names: std::collections::BTreeSet<_> =
            attributes.filter(|attribute| attribute.key == "service.name").map(KeyValue::text).collect();
        names.into_iter().collect()
    }

    /// What hangs below the caller's span, each below its parent.
    fn tree(&self) -> String {
        let mut below: BTreeMap<String, Vec<Span>> = BTreeMap::new();
        for span in self.spans() {
            below.entry(hex(&span.parent_span_id)).or_default().push(span);
        }
        let mut lines = Vec::new();
        write(&below, CALLER, 0, &mut lines);
        assert_eq!(lines.len(), self.spans().len(), "spans without a parent: {:?}", self.spans());
        lines.join("\n")
    }
}

fn write(below: &BTreeMap<String, Vec<Span>>, parent: &str, depth: usize, lines: &mut Vec<String>) {
    for span in below.get(parent).into_iter().flatten() {
        let kind = ["unspecified", "internal", "server", "client"][usize::try_from(span.kind).expect("a kind")];
        let mut words = vec![span.what(), format!("[{kind}]")];
        for key in ["temporalNamespace", "temporalWorkflowID"] {
            words.extend(span.attributes.iter().find(|attribute| attribute.key == key).map(KeyValue::text));
        }
        lines.push(format!("{}{}", "  ".repeat(depth), words.join(" ")));
        write(below, &hex(&span.span_id), depth + 1, lines);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl NamedService for Collector {
    const NAME: &'static str = "opentelemetry.proto.collector.trace.v1.TraceService";
}

impl Service<http::Request<Body>> for Collector {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let collector = self.clone();
        Box::pin(async move { Ok(Grpc::new(hosts::BytesCodec).unary(collector, request).await) })
    }
}

impl UnaryService<Bytes> for Collector {
    type Response = Bytes;
    type Future = std::future::Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let told = Export::decode(request.into_inner()).expect("an export");
        self.told.lock().expect("whole").extend(told.resource_spans);
        std::future::ready(Ok(Response::new(Bytes::new())))
    }
}

// What is looked at of the messages of OTLP.

#[derive(Clone, PartialEq, prost::Message)]
struct Export {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ScopeSpans {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
}

impl Span {
    /// What it is, with its name where that says something else.
    fn what(&self) -> String {
        match (self.name.as_str(), self.kind) {
            ("write", _) => "write".to_owned(),
            (name, 2) => format!("call {name}"),
            (name, _) => format!("hop {name}"),
        }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

impl KeyValue {
    fn text(&self) -> String {
        self.value.clone().unwrap_or_default().string
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct AnyValue {
    #[prost(string, tag = "1")]
    string: String,
}
