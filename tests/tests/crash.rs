//! `kill -9` under load, again and again: what was acknowledged is there afterwards, nothing is there twice.
//!
//! Clients send a request until it is acknowledged, with the same request id, as SDKs do. `TESTS_KILLS` says how often the
//! server is killed, 20 times unless it is set. `TESTS_SERVER=temporal` kills the real dev server.
//!
//! On PostgreSQL the server is killed, and in another test the database.
//!
//! A power cut is a kill after which the disk has forgotten everything that was not synced: see the package `powercut`.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs, mem,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tests::{
    pair,
    raw::{Client, Refusal, payloads},
    request::{self, command, merged},
    server::Server,
    wait::{self, PAUSE},
};
use tokio::task::JoinSet;
use tonic::Code;

/// Workflows that are driven at a time, and workers of each kind.
const CONCURRENCY: usize = 4;

/// Signals that every workflow gets.
const SIGNALS: usize = 2;

/// What the server acknowledged.
#[derive(Debug, Default)]
struct Ledger {
    /// Run ids by workflow id.
    started: BTreeMap<String, Value>,
    /// Signals as `workflow id/number`.
    signalled: BTreeSet<String>,
    /// Ids of workflows whose completion was acknowledged.
    completed: BTreeSet<String>,
}

/// What the load and the killer share.
#[derive(Debug, Default)]
struct Load {
    ledger: Mutex<Ledger>,
    /// Acknowledgements so far; kills are spread over them.
    acknowledged: AtomicUsize,
    /// No further workflows, please.
    over: AtomicBool,
}

impl Load {
    fn acknowledge<T>(&self, note: impl FnOnce(&mut Ledger) -> T) {
        note(&mut self.ledger.lock().expect("no panic here"));
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// A client that outlives the server.
#[derive(Clone, Debug)]
struct Stubborn {
    address: String,
    client: Option<Client>,
}

impl Stubborn {
    /// Call until there is an answer that is not a sign of trouble.
    async fn call(&mut self, rpc: &str, request: Value) -> Result<Value, Refusal> {
        loop {
            match self.attempt(rpc, request.clone()).await {
                Some(outcome) => return outcome,
                None => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// One attempt; nothing when the server is in trouble.
    async fn attempt(&mut self, rpc: &str, request: Value) -> Option<Result<Value, Refusal>> {
        if self.client.is_none() {
            let client = Client::connect(&self.address).await.ok()?;
            self.client = Some(client.with_deadline(Duration::from_secs(10)));
        }
        let outcome = self.client.as_ref()?.call(rpc, request).await;
        if let Err(refusal) = &outcome
            && [Code::Unavailable, Code::Cancelled, Code::DeadlineExceeded, Code::Unknown, Code::ResourceExhausted]
                .contains(&refusal.code)
        {
            self.client = None;
            return None;
        }
        Some(outcome)
    }
}

/// Start and signal workflows until the load is over.
async fn drive(driver: usize, mut client: Stubborn, load: Arc<Load>) {
    for number in 0.. {
        if load.is_over() {
            return;
        }
        let id = format!("{driver}-{number}");
        let started = client.call("StartWorkflowExecution", request::start(&id, "queue")).await;
        let started = started.unwrap_or_else(|refusal| panic!("start {id}: {refusal}"));
        load.acknowledge(|ledger| ledger.started.insert(id.clone(), started["runId"].clone()));
        for number in 0..SIGNALS {
            let name = format!("{id}/{number}");
            let fields = json!({"requestId": name, "input": payloads(&[json!(name)])});
            let signalled = client.call("SignalWorkflowExecution", merged(request::signal(&id), fields)).await;
            signalled.unwrap_or_else(|refusal| panic!("signal {name}: {refusal}"));
            load.acknowledge(|ledger| ledger.signalled.insert(name));
        }
    }
}

/// Complete workflows that have all their signals, until every one that was started is.
async fn work(mut client: Stubborn, load: Arc<Load>) {
    loop {
        let finished = |ledger: &Ledger| ledger.completed.len() == ledger.started.len();
        if load.is_over() && finished(&load.ledger.lock().expect("no panic here")) {
            return;
        }
        let poll = json!({"namespace": "default", "taskQueue": {"name": "queue"}, "identity": "worker"});
        let Ok(task) = client.call("PollWorkflowTaskQueue", poll).await else { continue };
        let Some(id) = task["workflowExecution"]["workflowId"].as_str() else { continue };
        let last = SIGNALS <= count(&task["history"]["events"], "WORKFLOW_EXECUTION_SIGNALED");
        let commands = if last { json!([command::complete()]) } else { json!([]) };
        let request = json!({"namespace": "default", "taskToken": task["taskToken"], "commands": commands});
        match client.call("RespondWorkflowTaskCompleted", request).await {
            Ok(_) if last => load.acknowledge(|ledger| ledger.completed.insert(id.to_owned())),
            Ok(_) => {}
            // The task timed out, or its answer was lost and counts.
            Err(refusal) if refusal.code == Code::NotFound => {
                let describe = json!({"namespace": "default", "execution": {"workflowId": id}});
                let description = client.call("DescribeWorkflowExecution", describe).await.expect("it was started");
                if description["workflowExecutionInfo"]["status"] == "WORKFLOW_EXECUTION_STATUS_COMPLETED" {
                    load.acknowledge(|ledger| ledger.completed.insert(id.to_owned()));
                }
            }
            // A signal came meanwhile; there will be another task.
            Err(refusal) if refusal.code == Code::InvalidArgument => {}
            Err(refusal) => panic!("complete {id}: {refusal}"),
        }
    }
}

fn count(events: &Value, kind: &str) -> usize {
    let events = events.as_array().map(Vec::as_slice).unwrap_or_default();
    events.iter().filter(|event| event["eventType"] == format!("EVENT_TYPE_{kind}")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_under_load() {
    survive(Server::under_test_on_disk("server"), |server| {
        server.kill();
        server.restart();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_under_load_on_postgres() {
    let database = scratch_postgres::shared();
    let server = on_postgres("killed", database).await;
    survive(server, |server| {
        server.kill();
        server.restart();
    })
    .await;
}

/// The server lives on, says that it cannot write now, and goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn the_database_is_killed_under_load() {
    let database = scratch_postgres::Server::start(&[]);
    let server = on_postgres("outlived", &database).await;
    survive(server, |_| {
        database.kill();
        database.restart();
    })
    .await;
}

/// One cluster on a database of its own, with the namespace of the load.
async fn on_postgres(name: &str, database: &scratch_postgres::Server) -> Server {
    let server = pair::on_postgres(name, "a", database, &database.create());
    let client = Client::connect(server.address(0)).await.expect("connect");
    let request = json!({"namespace": "default", "workflowExecutionRetentionPeriod": "86400s"});
    client.call("RegisterNamespace", request).await.expect("registered");
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn power_cuts_under_load() {
    let library = powercut();
    let preload = format!("LD_PRELOAD={}", library.to_str().expect("a path in UTF-8"));
    let server = Server::meridian_on_disk_with("powercut", 2, &[preload]);
    survive(server, |server| {
        server.kill();
        forget_unsynced(&server.folder().join("data"));
        server.restart();
    })
    .await;
}

/// The library to preload. It is of no use to a test binary, so it is built by name.
fn powercut() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--locked", "--package", "powercut", "--message-format", "json"]);
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("run cargo build");
    assert!(output.status.success(), "cargo build: {}", String::from_utf8_lossy(&output.stderr));
    let messages = output.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    let names = messages.filter(|message: &Value| message["target"]["name"] == "powercut");
    let name = names.filter_map(|message| Some(message["filenames"][0].as_str()?.into())).next();
    name.expect("cargo says what it built")
}

/// Of every database file in `folder` only what was synced is left.
#[expect(clippy::print_stdout, reason = "says whether the cut fell into a sync")]
fn forget_unsynced(folder: &Path) {
    let files = fs::read_dir(folder).expect("the folder of the databases").map(|file| file.expect("a file").path());
    let (mut kept, mut lost) = (0, 0);
    for file in files.filter(|file| [".db", ".db-wal"].iter().any(|end| file.to_string_lossy().ends_with(end))) {
        let durable = PathBuf::from(format!("{}.durable", file.display()));
        let had = fs::read(&file).expect("read a database");
        if durable.exists() {
            let has = fs::read(&durable).expect("read what was synced");
            lost += usize::from(has != had);
            kept += 1;
            fs::write(&file, has).expect("put what was synced in its place");
        } else {
            lost += 1;
            fs::remove_file(&file).expect("remove what was never synced");
        }
    }
    assert!(kept > 0, "nothing was ever synced: is the library preloaded?");
    println!("power cut: {kept} files kept, {lost} of all lost something");
}

/// Put a server under load, do it harm again and again, and look.
async fn survive(mut server: Server, harm: impl Fn(&mut Server)) {
    let kills = env::var("TESTS_KILLS").map_or(20, |kills| kills.parse().expect("TESTS_KILLS is a number"));
    let load = Arc::new(Load::default());
    let mut tasks = JoinSet::new();
    let client = Stubborn { address: server.address(0).to_owned(), client: None };
    for number in 0..CONCURRENCY {
        tasks.spawn(drive(number, client.clone(), Arc::clone(&load)));
        tasks.spawn(work(client.clone(), Arc::clone(&load)));
    }
    for kill in 0..kills {
        // After ever different numbers of acknowledgements, so that it happens in the middle of ever different things.
        let enough = load.acknowledged.load(Ordering::Relaxed) + 20 + kill * 7 % 13;
        wait::until_async("acknowledgements", async || {
            let seen = load.acknowledged.load(Ordering::Relaxed);
            if enough <= seen { Ok(()) } else { Err(seen) }
        })
        .await;
        harm(&mut server);
    }
    load.over.store(true, Ordering::Relaxed);
    while let Some(ended) = tasks.join_next().await {
        ended.expect("the load does not panic");
    }
    let ledger = mem::take(&mut *load.ledger.lock().expect("no panic here"));
    assert!(ledger.completed.len() == ledger.started.len(), "{ledger:?}");
    for address in server.addresses() {
        let client = Client::connect(address).await.expect("connect").without_redirection();
        check(&client, &ledger).await;
    }
}

/// The store holds what was acknowledged, once.
async fn check(client: &Client, ledger: &Ledger) {
    for (id, run_id) in &ledger.started {
        let request = json!({"namespace": "default", "execution": {"workflowId": id}});
        // The other cluster may still be catching up.
        let history = wait::until_async(&format!("the end of {id}"), async || {
            let page = client.call("GetWorkflowExecutionHistory", request.clone()).await;
            let history = page.map_err(|refusal| refusal.to_string())?["history"]["events"].clone();
            let ended = count(&history, "WORKFLOW_EXECUTION_COMPLETED") == 1;
            if ended { Ok(history) } else { Err(history.to_string()) }
        })
        .await;
        let described = client.call("DescribeWorkflowExecution", request.clone()).await.expect("it is there");
        assert_eq!(&described["workflowExecutionInfo"]["execution"]["runId"], run_id, "the run of {id}");
        assert_eq!(count(&history, "WORKFLOW_EXECUTION_STARTED"), 1, "starts of {id}");
        let signals = history.as_array().into_iter().flatten().filter_map(|event| {
            let input = event["workflowExecutionSignaledEventAttributes"]["input"]["payloads"][0]["data"].as_str()?;
            serde_json::from_str::<String>(&tests::raw::text(input)?).ok()
        });
        let expected: Vec<_> = ledger.signalled.range(format!("{id}/")..format!("{id}0")).cloned().collect();
        assert_eq!(signals.collect::<Vec<_>>(), expected, "signals of {id}, in order, each once");
    }
    let query = "WorkflowType = 'type'";
    let started = ledger.started.len().to_string();
    wait::until_async("every run to be listed once", async || {
        let counted = client.call("CountWorkflowExecutions", json!({"namespace": "default", "query": query})).await;
        let counted = counted.map_err(|refusal| refusal.to_string())?["count"].clone();
        if counted == started { Ok(()) } else { Err(format!("{counted} of {started}")) }
    })
    .await;
}
