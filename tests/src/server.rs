//! Meridian and the real dev server as processes on ports of their own.

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{self, Command, ExitStatus},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    pair::{self, Keep},
    process::Process,
    provision,
    raw::Client,
    wait,
};

/// How far apart the ports of two clusters of `meridian dev` are.
const CLUSTER_STEP: u16 = 100;

/// Settings of the real dev server: limits that are made for production are raised, caches are refreshed soon.
const TEMPORAL_SETTINGS: [&str; 11] = [
    "frontend.rps=100000",
    "frontend.namespaceRPS=100000",
    "frontend.namespaceCount=100000",
    "frontend.namespaceRPS.visibility=100000",
    "frontend.namespaceRPS.namespaceReplicationInducingAPIs=100000",
    "history.rps=100000",
    "matching.rps=100000",
    "frontend.persistenceMaxQPS=100000",
    "history.persistenceMaxQPS=100000",
    "matching.persistenceMaxQPS=100000",
    r#"system.namespaceCacheRefreshInterval="200ms""#,
];

/// The real dev server on disk, with full durability as Meridian has it.
pub const ON_DISK: [&str; 3] =
    ["--db-filename=temporal.db", "--sqlite-pragma=journal_mode=WAL", "--sqlite-pragma=synchronous=FULL"];

/// A server and where it listens.
#[derive(Debug)]
pub struct Server {
    command: Vec<String>,
    program: PathBuf,
    folder: PathBuf,
    addresses: Vec<String>,
    namespaces: Namespaces,
    process: Process,
    first_answer: Duration,
}

/// What is there from the start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Namespaces {
    /// The namespace `default`.
    Default,
    /// Nothing.
    None,
}

impl Server {
    /// `meridian dev` with so many connected clusters and further arguments, its files in a scratch folder called `name`.
    #[must_use]
    pub fn meridian(name: &str, clusters: u16, arguments: &[&str]) -> Self {
        let port = free_port(clusters);
        let mut command = vec!["dev".to_owned(), format!("--clusters={clusters}"), format!("--port={port}")];
        command.push("--headless".to_owned());
        command.extend(arguments.iter().map(|&argument| argument.to_owned()));
        let ports = (0..clusters).map(|cluster| port + cluster * CLUSTER_STEP).collect();
        Self::start(&provision::meridian(), &provision::scratch(name), command, ports, Namespaces::Default)
    }

    /// `meridian dev` that keeps its data in the scratch folder.
    #[must_use]
    pub fn meridian_on_disk(name: &str, clusters: u16) -> Self {
        Self::meridian(name, clusters, &["--db-dir=data"])
    }

    /// The same with settings of the environment, as `NAME=value`.
    #[must_use]
    pub fn meridian_on_disk_with(name: &str, clusters: u16, settings: &[String]) -> Self {
        let port = free_port(clusters);
        let mut command = settings.to_vec();
        command.push(provision::meridian().to_str().expect("a path in UTF-8").to_owned());
        command.extend(["dev", "--headless", "--db-dir=data"].map(str::to_owned));
        command.extend([format!("--clusters={clusters}"), format!("--port={port}")]);
        let ports = (0..clusters).map(|cluster| port + cluster * CLUSTER_STEP).collect();
        Self::start(Path::new("env"), &provision::scratch(name), command, ports, Namespaces::Default)
    }

    /// `meridian server` with a configuration file, its gRPC on `port`.
    ///
    /// # Panics
    ///
    /// When the file cannot be written.
    #[must_use]
    pub fn meridian_from_file(name: &str, config: &str, port: u16) -> Self {
        let folder = provision::scratch(name);
        fs::write(folder.join("cluster.yaml"), config).expect("write the configuration");
        let command = ["server", "--config", "cluster.yaml"].map(str::to_owned).into();
        Self::start(&provision::meridian(), &folder, command, vec![port], Namespaces::None)
    }

    /// The same of a server that answers no call without TLS, so that whoever starts it has to see when it is ready.
    ///
    /// # Panics
    ///
    /// When the file cannot be written.
    #[must_use]
    pub fn meridian_that_is_not_asked(name: &str, config: &str) -> Self {
        let folder = provision::scratch(name);
        fs::write(folder.join("cluster.yaml"), config).expect("write the configuration");
        let command = ["server", "--config", "cluster.yaml"].map(str::to_owned).into();
        Self::start(&provision::meridian(), &folder, command, Vec::new(), Namespaces::None)
    }

    /// `meridian server` as one of several processes, with a configuration file. Its gRPC for clients is on `port`, if it has
    /// any.
    ///
    /// # Panics
    ///
    /// When the file cannot be written.
    #[must_use]
    pub fn meridian_service(name: &str, config: &str, services: &str, port: Option<u16>) -> Self {
        let folder = provision::scratch(name);
        fs::write(folder.join("cluster.yaml"), config).expect("write the configuration");
        let command = ["server", "--config", "cluster.yaml", "--services", services].map(str::to_owned).into();
        Self::start(&provision::meridian(), &folder, command, Vec::from_iter(port), Namespaces::None)
    }

    /// The real dev server, in memory unless the arguments say otherwise.
    #[must_use]
    pub fn temporal(name: &str, arguments: &[&str]) -> Self {
        let port = free_port(1);
        let mut command: Vec<_> = ["server", "start-dev", "--headless", "--log-level=error"].map(str::to_owned).into();
        command.push(format!("--port={port}"));
        command.extend(TEMPORAL_SETTINGS.map(|setting| format!("--dynamic-config-value={setting}")));
        command.extend(arguments.iter().map(|&argument| argument.to_owned()));
        Self::start(&provision::temporal(), &provision::scratch(name), command, vec![port], Namespaces::Default)
    }

    /// The server that tests of one cluster run against: Meridian with one cluster, or the real dev server if
    /// `TESTS_SERVER=temporal`, which is how the tests themselves are tested.
    #[must_use]
    pub fn under_test(name: &str) -> Self {
        if temporal_is_under_test() { Self::temporal(name, &[]) } else { Self::meridian(name, 1, &[]) }
    }

    /// The server under test and the real dev server, each with these dynamic settings.
    ///
    /// # Panics
    ///
    /// When the settings cannot be written.
    #[must_use]
    pub fn both_with_settings(name: &str, settings: &[(&str, u64)]) -> [Self; 2] {
        let arguments: Vec<_> =
            settings.iter().map(|(key, value)| format!("--dynamic-config-value={key}={value}")).collect();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let theirs = Self::temporal(&format!("{name}-temporal"), &arguments);
        if temporal_is_under_test() {
            return [Self::temporal(&format!("{name}-under-test"), &arguments), theirs];
        }
        let text: String = settings.iter().map(|(key, value)| format!("{key}: [{{value: {value}}}]\n")).collect();
        let file = provision::scratch(&format!("{name}-settings")).join("settings.yaml");
        fs::write(&file, text).expect("write settings");
        let file = format!("dynamicConfigClient: {{filepath: {}, pollInterval: 10s}}", file.display());
        [pair::alone(&format!("{name}-under-test"), Keep::InMemory, &file), theirs]
    }

    /// The same for tests of what a server keeps: two clusters of Meridian on disk, or the real dev server on disk.
    #[must_use]
    pub fn under_test_on_disk(name: &str) -> Self {
        if temporal_is_under_test() { Self::temporal(name, &ON_DISK) } else { Self::meridian_on_disk(name, 2) }
    }

    fn start(program: &Path, folder: &Path, command: Vec<String>, ports: Vec<u16>, namespaces: Namespaces) -> Self {
        let mut server = Self {
            program: program.to_owned(),
            folder: folder.to_owned(),
            addresses: ports.into_iter().map(|port| format!("127.0.0.1:{port}")).collect(),
            namespaces,
            process: launch(program, folder, &command),
            first_answer: Duration::ZERO,
            command,
        };
        server.wait_until_ready();
        server
    }

    /// Start it again with the same arguments, on the same ports and data.
    pub fn restart(&mut self) {
        self.process = launch(&self.program, &self.folder, &self.command);
        self.wait_until_ready();
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Ask it to end, and wait until it has.
    pub fn stop(&mut self) -> ExitStatus {
        self.process.stop()
    }

    /// Every cluster answers, and knows the namespaces it starts with. The process was launched just now.
    fn wait_until_ready(&mut self) {
        let launched = Instant::now();
        self.wait_for_answers("GetSystemInfo", &json!({}));
        self.first_answer = launched.elapsed();
        if self.namespaces == Namespaces::Default {
            self.wait_for_answers("CountWorkflowExecutions", &json!({"namespace": "default"}));
        }
    }

    fn wait_for_answers(&mut self, rpc: &'static str, request: &Value) {
        for address in self.addresses.clone() {
            wait::until(&format!("an answer to {rpc} from {address}"), || {
                if let Some(status) = self.process.ended() {
                    panic!("the server ended: {status}\n{}", self.process.last_words());
                }
                answers(&address, rpc, request)
            });
        }
    }

    /// How long after its launch every cluster answered a first call.
    #[must_use]
    pub fn first_answer(&self) -> Duration {
        self.first_answer
    }

    /// Where its clusters answer gRPC.
    #[must_use]
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Where cluster `index` answers gRPC, as `host:port`.
    #[must_use]
    pub fn address(&self, index: usize) -> &str {
        &self.addresses[index]
    }

    /// The process behind it.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Where its files are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

fn temporal_is_under_test() -> bool {
    env::var("TESTS_SERVER").is_ok_and(|server| server == "temporal")
}

fn launch(program: &Path, folder: &Path, arguments: &[String]) -> Process {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder);
    Process::start(command, &folder.join("log"), false)
}

/// Whether the server at `address` answers. In a thread of its own: the caller may be within a runtime.
fn answers(address: &str, rpc: &'static str, request: &Value) -> Result<(), String> {
    let (address, request) = (address.to_owned(), request.clone());
    let look = async move {
        let client = Client::connect(&address).await.map_err(|error| error.to_string())?;
        client.call(rpc, request).await.map(drop).map_err(|refusal| refusal.to_string())
    };
    let looking = thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(5), look).await })
    });
    looking.join().expect("looking does not panic").map_err(|elapsed| elapsed.to_string())?
}

/// A port below the ephemeral ones that is free together with those that `meridian dev` derives from it.
///
/// # Panics
///
/// When there is none.
#[must_use]
pub fn free_port(clusters: u16) -> u16 {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    for _ in 0..200 {
        // Programs start at different places and then take strides that no set of derived ports spans.
        let place = process::id() * 131 + ASKED.fetch_add(1, Ordering::Relaxed) * 1_009;
        let port = 10_000 + u16::try_from(place % 20_000).expect("below 20,000");
        let mut wanted =
            (0..clusters).flat_map(|cluster| [0, 10, 20, 30].map(|offset| port + cluster * CLUSTER_STEP + offset));
        if wanted.all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return port;
        }
    }
    panic!("no free ports");
}
