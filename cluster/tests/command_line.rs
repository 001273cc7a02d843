//! The program as an operator uses it.

#![allow(clippy::disallowed_methods, reason = "a test may look at the clock")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};

use proto::temporal::api::operatorservice::v1::{
    ListNexusEndpointsRequest, operator_service_client::OperatorServiceClient,
};
use serde_json::Value;
use tonic::{Code, transport::Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

/// Runs the program to its end.
fn meridian(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meridian"));
    command.args(arguments).env_remove("TEMPORAL_ADDRESS").output().unwrap()
}

/// What a command that must succeed answered.
fn answer(arguments: &[&str]) -> Value {
    let output = meridian(&[arguments, &["--output", "json"]].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What a command that must fail said. It said nothing else, and nothing to standard output.
fn refusal(arguments: &[&str]) -> String {
    let output = meridian(arguments);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{arguments:?}");
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!(line.lines().count(), 1, "{line}");
    line.trim_end().to_owned()
}

/// A `meridian dev` that runs.
struct Dev {
    process: Child,
    port: u16,
    started: Value,
    took: Duration,
}

impl Dev {
    fn start(clusters: u16, folder: Option<&Path>) -> Self {
        let port = free_ports(clusters);
        let mut command = Command::new(env!("CARGO_BIN_EXE_meridian"));
        command.args(["dev", "--headless", "-o", "json", "--clusters", &clusters.to_string()]);
        command.args(["--port", &port.to_string()]);
        if let Some(folder) = folder {
            command.arg("--db-dir").arg(folder);
        }
        let begin = Instant::now();
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        // The document ends with the brace that closes it.
        let mut text = String::new();
        while !text.ends_with("\n}") {
            text = text + "\n" + &lines.next().expect("the program tells what it started").unwrap();
        }
        let started = serde_json::from_str(&text).unwrap();
        Self { process, port, started, took: begin.elapsed() }
    }

    fn address(&self, cluster: u16) -> String {
        format!("127.0.0.1:{}", self.port + 100 * cluster)
    }

    /// GET from one of the HTTP endpoints.
    fn page(&self, port: u16, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port + port)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        page
    }

    /// Ask it to stop, and wait.
    fn stop(mut self) {
        let kill = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status().unwrap();
        assert!(kill.success());
        assert_eq!(self.process.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It has been waited for, or its test has failed already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port such that all ports of that many clusters are free.
fn free_ports(clusters: u16) -> u16 {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let all_free = |first: &u16| {
        let ports = (0..clusters).flat_map(|index| [0, 10, 20].map(|offset| first + 100 * index + offset));
        ports.into_iter().all(free)
    };
    // Tests run side by side, each in stretches of its own: what is free now may be asked for twice.
    static FIRST: LazyLock<u16> =
        LazyLock::new(|| TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port());
    static CALLS: AtomicU16 = AtomicU16::new(0);
    let stretch = (*FIRST % 200 + 9 * CALLS.fetch_add(1, Ordering::Relaxed)) % 200;
    (0..200).map(|step| 10_000 + (stretch + step) % 200 * 100 + step % 10).find(all_free).expect("there are free ports")
}

#[test]
fn clusters_to_develop_with() {
    let dev = Dev::start(2, None);
    assert!(dev.took < Duration::from_secs(5), "it took {:?} to start", dev.took);
    assert_eq!(dev.started["active"], "a");
    assert_eq!(dev.started["clusters"][1]["grpc"], dev.address(1));

    for cluster in [0, 100] {
        assert!(dev.page(cluster + 10, "/healthz").starts_with("HTTP/1.1 200 OK\r\n"));
        assert!(dev.page(cluster + 10, "/readyz").starts_with("HTTP/1.1 200 OK\r\n"));
        assert!(dev.page(cluster + 10, "/nothing").starts_with("HTTP/1.1 404"));
        let metrics = dev.page(cluster + 20, "/metrics");
        assert!(metrics.contains("\nbuild_information{"), "{metrics}");
    }

    let status = answer(&["status", "--address", &dev.address(1)]);
    assert_eq!(status["cluster"], "b");
    let names: Vec<_> = status["clusters"].as_array().unwrap().iter().map(|cluster| &cluster["name"]).collect();
    assert_eq!(names, ["a", "b"]);
    let namespace = &status["namespaces"][0];
    assert_eq!((&namespace["name"], &namespace["failover_version"]), (&"default".into(), &1.into()));

    let taken = refusal(&["dev", "--port", &dev.port.to_string()]);
    let expected = "for gRPC of cluster a: the port is taken; try another --port";
    assert_eq!(taken, format!("meridian: cannot listen on {} {expected}", dev.address(0)));
    dev.stop();
}

#[test]
fn services_tell_about_themselves() {
    let dev = Dev::start(1, None);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (health, services, other) = runtime.block_on(async {
        let endpoint = Endpoint::from_shared(format!("http://{}", dev.address(0))).unwrap();
        let channel = endpoint.connect().await.unwrap();
        let mut client = HealthClient::new(channel.clone());
        let mut health = Vec::new();
        let of_temporal = ["history", "matching"].map(|service| {
            let capital = service[..1].to_uppercase() + &service[1..];
            format!("temporal.server.api.{service}service.v1.{capital}Service")
        });
        let [of_history, of_matching] = of_temporal.each_ref().map(String::as_str);
        let of_frontend = "temporal.api.workflowservice.v1.WorkflowService";
        for service in ["", of_frontend, of_history, of_matching, "nobody.Knows"] {
            let answer = client.check(HealthCheckRequest { service: service.into() }).await;
            health.push(answer.map(|answer| answer.into_inner().status).map_err(|status| status.code()));
        }
        let request = || tokio_stream::once(list_services());
        let mut v1 = ServerReflectionClient::new(channel.clone());
        let answer = v1.server_reflection_info(request()).await.unwrap().into_inner().message().await.unwrap().unwrap();
        let Some(MessageResponse::ListServicesResponse(services)) = answer.message_response else {
            panic!("{answer:?}")
        };
        let services: Vec<_> = services.service.into_iter().map(|service| service.name).collect();
        let mut operator = OperatorServiceClient::new(channel);
        let other = operator.list_nexus_endpoints(ListNexusEndpointsRequest::default()).await.unwrap_err();
        (health, services, other)
    });
    const SERVING: i32 = 1;
    assert_eq!(health, [Ok(SERVING), Ok(SERVING), Ok(SERVING), Ok(SERVING), Err(Code::NotFound)]);
    for service in
        ["temporal.api.workflowservice.v1.WorkflowService", "temporal.api.operatorservice.v1.OperatorService"]
    {
        assert!(services.iter().any(|found| found == service), "{services:?}");
    }
    assert_eq!((other.code(), other.message()), (Code::Unimplemented, "ListNexusEndpoints is not implemented"));
    dev.stop();
}

fn list_services() -> ServerReflectionRequest {
    ServerReflectionRequest { host: String::new(), message_request: Some(MessageRequest::ListServices(String::new())) }
}

#[test]
fn a_namespace_is_moved_from_either_side() {
    let dev = Dev::start(2, None);
    let versions = |to: &str, at: u16| {
        let moved = answer(&["failover", "default", "--to", to, "--force", "--yes", "--address", &dev.address(at)]);
        (moved["old_version"].as_i64().unwrap(), moved["new_version"].as_i64().unwrap())
    };
    assert_eq!(versions("b", 0), (1, 2));
    wait_for(|| active(&dev, 1) == "b");
    assert_eq!(versions("a", 1), (2, 11));
    wait_for(|| active(&dev, 0) == "a");
    assert_eq!(versions("b", 1), (11, 12));

    let address = dev.address(0);
    let line = refusal(&["failover", "default", "--to", "z", "--address", &address]);
    assert_eq!(line, "meridian: namespace default is not in cluster z; it is in: a, b");
    let line = refusal(&["failover", "none", "--to", "b", "--address", &address]);
    assert_eq!(line, "meridian: cannot move namespace none to b: Namespace none is not found.");
    dev.stop();
}

fn active(dev: &Dev, cluster: u16) -> String {
    let status = answer(&["status", "--address", &dev.address(cluster)]);
    status["namespaces"][0]["active"].as_str().unwrap().to_owned()
}

#[track_caller]
fn wait_for(condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(60), "it does not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_is_in_files_is_there_again() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(2, Some(folder.path()));
    answer(&["failover", "default", "--to", "b", "--force", "--yes", "--address", &dev.address(0)]);
    dev.stop();
    assert!(folder.path().join("a.db").exists() && folder.path().join("b.db").exists());
    let dev = Dev::start(2, Some(folder.path()));
    assert_eq!(dev.started["active"], "b");
    dev.stop();
    // A cluster more.
    let dev = Dev::start(3, Some(folder.path()));
    let status = answer(&["status", "--address", &dev.address(2)]);
    assert_eq!(status["namespaces"][0]["clusters"], serde_json::json!(["a", "b", "c"]));
    dev.stop();
}

#[test]
fn what_cannot_be_is_said_in_a_line() {
    let line = refusal(&["status", "--address", "127.0.0.1:1"]);
    assert!(line.starts_with("meridian: nobody answers at 127.0.0.1:1 (Connection refused"), "{line}");
    let line = refusal(&["dev", "--port", "65530"]);
    assert!(line.ends_with("there are none above 65535"), "{line}");
    let line = refusal(&["dev", "--port", &free_ports(2).to_string(), "--db-dir", "/dev/null/folder"]);
    assert!(line.starts_with("meridian: cannot write to /dev/null/folder ("), "{line}");
    let line = refusal(&["validate-config", "/nowhere.yaml"]);
    assert!(line.starts_with("meridian: /nowhere.yaml: "), "{line}");
}

#[test]
fn the_example_files_are_good() {
    for file in ["cluster-a.yaml", "cluster-b.yaml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(file);
        let findings = answer(&["validate-config", path.to_str().unwrap()]);
        assert_eq!(findings["valid"], true, "{findings}");
    }
}
