//! A namespace is handed over between two processes while clients and workers go on: nothing that was acknowledged is lost,
//! nothing comes twice, and no client sees an error that its library does not repeat.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::{Value, json};
use tests::{
    cli::{self, Outcome},
    pair::{self, Keep},
    proxy::Proxy,
    raw::Client,
    request::{self, merged},
    server::Server,
    wait,
};
use tonic::Code;

const NAMESPACE: &str = "shop";

/// Runs that are signalled all the time.
const RUNS: usize = 4;

/// Two clusters with a namespace of both, active in `a`.
struct World {
    servers: [Server; 2],
    /// The ways to `a` and to `b`.
    links: [Proxy; 2],
}

impl World {
    fn new(name: &str, keep: Keep) -> Self {
        let servers = pair::start(name, keep);
        let links = pair::join_by_links(&servers[0], &servers[1]);
        let create =
            ["operator", "namespace", "create", "-n", NAMESPACE, "--global", "--cluster", "a", "--cluster", "b"];
        let _ = cli::temporal(servers[0].address(0), &[&create[..], &["--active-cluster", "a"]].concat()).ok();
        let world = Self { servers, links };
        wait::until("the namespace on b", || {
            let described = cli::temporal(world.address(1), &["operator", "namespace", "describe", "-n", NAMESPACE]);
            if described.success { Ok(()) } else { Err(described.err) }
        });
        world
    }

    fn address(&self, cluster: usize) -> &str {
        self.servers[cluster].address(0)
    }

    /// `meridian failover shop ...`, asked of one of the clusters.
    fn failover(&self, asked: usize, arguments: &[&str]) -> Outcome {
        failover(self.address(asked), arguments)
    }

    /// The same, while other things happen.
    fn begin_failover(&self, asked: usize, arguments: &'static [&str]) -> JoinHandle<Outcome> {
        let address = self.address(asked).to_owned();
        thread::spawn(move || failover(&address, arguments))
    }

    /// Wait until nothing stands in the way of a handover, and the other side has everything.
    fn until_safe(&self, asked: usize, to: &str) {
        wait::until("nothing in the way", || {
            let plan = self.failover(asked, &["--to", to, "--plan"]);
            let is_safe = plan.success && plan.out.contains("would lack nothing");
            if is_safe { Ok(()) } else { Err(plan.out + &plan.err) }
        });
    }
}

fn failover(address: &str, arguments: &[&str]) -> Outcome {
    cli::meridian(&[&["failover", NAMESPACE, "--address", address], arguments].concat())
}

async fn connect(address: &str) -> Client {
    Client::connect(address).await.expect("connect")
}

async fn start(client: &Client, id: &str) {
    let start = merged(request::start(id, "queue"), json!({"namespace": NAMESPACE}));
    client.call_patiently("StartWorkflowExecution", start).await.unwrap_or_else(|refusal| panic!("start: {refusal}"));
}

async fn signal(client: &Client, id: &str, name: &str) -> Result<Value, tests::raw::Refusal> {
    let fields = json!({"namespace": NAMESPACE, "signalName": name, "requestId": name});
    client.call("SignalWorkflowExecution", merged(request::signal(id), fields)).await
}

/// Names of the signals in a run's history as one cluster stored it, in order, and the bytes of that history.
async fn stored(client: &Client, id: &str) -> (Vec<String>, bytes::Bytes) {
    let client = client.without_redirection();
    let request = json!({"namespace": NAMESPACE, "execution": {"workflowId": id}});
    let page = client.call("GetWorkflowExecutionHistory", request.clone()).await.unwrap_or_default();
    let bytes = client.call_for_bytes("GetWorkflowExecutionHistory", request).await.unwrap_or_default();
    let events = page["history"]["events"].as_array().cloned().unwrap_or_default();
    let name =
        |event: &Value| event["workflowExecutionSignaledEventAttributes"]["signalName"].as_str().map(str::to_owned);
    (events.iter().filter_map(name).collect(), bytes)
}

/// Signal a run as fast as it goes, at one cluster and then at the other. Answers the names that were acknowledged, and the
/// errors that no library repeats.
async fn signal_all_the_time(clients: [Client; 2], id: String, over: Arc<AtomicBool>) -> (Vec<String>, Vec<String>) {
    let (mut acknowledged, mut fatal) = (Vec::new(), Vec::new());
    for number in 0.. {
        let name = format!("{id}-{number}");
        while let Err(refusal) = signal(&clients[number % 2], &id, &name).await {
            let is_repeated = matches!(
                refusal.code,
                Code::Aborted | Code::Unavailable | Code::ResourceExhausted | Code::Internal | Code::Unknown
            );
            if !is_repeated {
                fatal.push(refusal.to_string());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        acknowledged.push(name);
        if over.load(Ordering::Relaxed) {
            break;
        }
    }
    (acknowledged, fatal)
}

/// Take workflow tasks at one cluster, and complete them with nothing.
async fn work(client: Client, over: Arc<AtomicBool>) {
    let client = client.with_deadline(Duration::from_secs(3));
    while !over.load(Ordering::Relaxed) {
        let poll = json!({"namespace": NAMESPACE, "taskQueue": {"name": "queue"}, "identity": "worker"});
        let Ok(task) = client.call("PollWorkflowTaskQueue", poll).await else { continue };
        if !task["taskToken"].is_null() {
            let answer = json!({"namespace": NAMESPACE, "taskToken": task["taskToken"], "commands": []});
            // A task that moved with its namespace is gone, and comes again.
            let _ = client.call("RespondWorkflowTaskCompleted", answer).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn namespace_goes_to_and_fro_under_load() {
    let world = World::new("handover-load", Keep::InMemory);
    let clients = [connect(world.address(0)).await, connect(world.address(1)).await];
    let over = Arc::new(AtomicBool::new(false));
    let mut signalling = Vec::new();
    for run in 0..RUNS {
        let id = format!("run-{run}");
        start(&clients[0], &id).await;
        signalling.push(tokio::spawn(signal_all_the_time(clients.clone(), id, over.clone())));
    }
    let workers = clients.clone().map(|client| tokio::spawn(work(client, over.clone())));
    for (round, (to, versions)) in [("b", [1, 2]), ("a", [2, 11]), ("b", [11, 12]), ("a", [12, 21])].iter().enumerate()
    {
        let asked = world.address(round % 2).to_owned();
        let moved = tokio::task::spawn_blocking(move || failover(&asked, &["--to", to, "--output", "json"]));
        let moved = moved.await.expect("no panic").json();
        assert_eq!([&moved["old_version"], &moved["new_version"]], [&json!(versions[0]), &json!(versions[1])]);
        assert_eq!(moved["forced"], false);
        assert!(moved["writes_paused_seconds"].is_number(), "{moved}");
    }
    over.store(true, Ordering::Relaxed);
    for (run, signalling) in signalling.into_iter().enumerate() {
        let (acknowledged, fatal) = signalling.await.expect("no panic");
        assert_eq!(fatal, Vec::<String>::new());
        wait::until_async("the same history in both stores", async || {
            let id = format!("run-{run}");
            let [a, b] = [stored(&clients[0], &id).await, stored(&clients[1], &id).await];
            if a != b {
                return Err(format!("{} and {} signals", a.0.len(), b.0.len()));
            }
            let mut found = a.0;
            found.sort();
            let mut wanted = acknowledged.clone();
            wanted.sort();
            if found == wanted { Ok(()) } else { Err(format!("{} of {} signals", found.len(), wanted.len())) }
        })
        .await;
    }
    for worker in workers {
        worker.await.expect("no panic");
    }
}

/// The other side does not answer: writes wait, and go on where they were when somebody gives up.
#[tokio::test(flavor = "multi_thread")]
async fn handover_is_given_up_while_writes_wait() {
    let world = World::new("handover-abort", Keep::InMemory);
    let client = connect(world.address(0)).await;
    start(&client, "run").await;
    world.until_safe(0, "b");
    // `b` says that it is ready, for it can be asked. It has to be told, and does not hear it.
    world.links[0].clog();
    signal(&client, "run", "before").await.expect("taken");
    let handover = world.begin_failover(0, &["--to", "b", "--max-pause", "60s"]);
    let aborted = wait::until_async("a handover to abort", async || {
        let waiting = tokio::time::timeout(Duration::from_millis(300), signal(&client, "run", "meanwhile")).await;
        if waiting.is_ok() {
            return Err("writes do not wait".to_owned());
        }
        Ok(world.failover(0, &["--abort"]))
    })
    .await;
    assert!(aborted.success, "{}", aborted.err);
    let error = handover.join().expect("no panic").refused();
    assert!(error.contains("stays in a: it was aborted; writes paused for"), "{error}");
    signal(&client, "run", "after").await.expect("served where it was");
    let nothing = world.failover(0, &["--abort"]).refused();
    assert!(nothing.contains("is not being handed over"), "{nothing}");
    world.links[0].heal();
    world.until_safe(0, "b");
    let _ = world.failover(1, &["--to", "b"]).ok();
    let found = wait::until_async("the signals on b", async || {
        let (found, _) = stored(&connect(world.address(1)).await, "run").await;
        if found.len() == 3 { Ok(found) } else { Err(format!("{found:?}")) }
    })
    .await;
    assert_eq!(found, ["before", "meanwhile", "after"]);
}

/// The active cluster dies while writes wait. When it is back it serves, at once and without anybody's help.
#[tokio::test(flavor = "multi_thread")]
async fn active_cluster_dies_meanwhile() {
    let mut world = World::new("handover-crash", Keep::OnDisk);
    let client = connect(world.address(0)).await;
    start(&client, "run").await;
    world.until_safe(0, "b");
    world.links[0].clog();
    signal(&client, "run", "before").await.expect("taken");
    let handover = world.begin_failover(0, &["--to", "b", "--max-pause", "60s"]);
    wait::until_async("writes to wait", async || {
        let waiting = tokio::time::timeout(Duration::from_millis(300), signal(&client, "run", "meanwhile")).await;
        if waiting.is_err() { Ok(()) } else { Err("they do not") }
    })
    .await;
    world.servers[0].kill();
    world.servers[0].restart();
    let _ = handover.join().expect("no panic").refused();
    let client = connect(world.address(0)).await;
    client
        .call_patiently(
            "SignalWorkflowExecution",
            merged(
                request::signal("run"),
                json!({"namespace": NAMESPACE, "signalName": "after", "requestId": "after"}),
            ),
        )
        .await
        .expect("served where it was");
    let (found, _) = stored(&client, "run").await;
    assert_eq!((found.first().map(String::as_str), found.last().map(String::as_str)), (Some("before"), Some("after")));
    world.links[0].heal();
}

/// Whoever hands a namespace over as soon as there is one need not know that the other side has not heard of it yet, or is still
/// to be told that it has no earlier runs.
#[tokio::test(flavor = "multi_thread")]
async fn namespaces_move_as_soon_as_they_are_there() {
    let world = World::new("handover-young", Keep::InMemory);
    let client = connect(world.address(0)).await;
    for name in ["one", "two", "three", "four", "five"] {
        let request = json!({
            "namespace": name,
            "workflowExecutionRetentionPeriod": "86400s",
            "isGlobalNamespace": true,
            "activeClusterName": "a",
            "clusters": [{"clusterName": "a"}, {"clusterName": "b"}],
        });
        client.call("RegisterNamespace", request).await.expect("registered");
        let moved = ["failover", name, "--to", "b", "--address", world.address(0), "--output", "json"];
        assert_eq!(cli::meridian(&moved).json()["new_version"], 2);
    }
}

/// Before somebody pushes the button: what is said while all is well, while the other side is away, and when the active one
/// is dead.
#[tokio::test(flavor = "multi_thread")]
async fn plan_says_what_would_be_lost() {
    let mut world = World::new("handover-plan", Keep::OnDisk);
    let client = connect(world.address(0)).await;
    start(&client, "run").await;
    world.until_safe(1, "b");
    let plan = world.failover(1, &["--to", "b", "--plan", "--output", "json"]).json();
    assert_eq!((&plan["safe"], &plan["would_lose"]["events"]), (&json!(true), &json!(0)), "{plan}");

    world.servers[1].kill();
    for name in ["one", "two", "three"] {
        signal(&client, "run", name).await.expect("taken");
    }
    let plan = world.failover(0, &["--to", "b", "--plan", "--output", "json"]);
    assert_eq!(plan.code, Some(3), "{}{}", plan.out, plan.err);
    let plan: Value = serde_json::from_str(&plan.out).expect("JSON");
    assert_eq!(
        (&plan["safe"], &plan["would_lose"]["events"], &plan["would_lose"]["workflows"]),
        (&json!(false), &json!(3), &json!(1))
    );
    assert!(plan["blockers"].to_string().contains("no stream to b"), "{plan}");
    let status = cli::meridian(&["status", "--address", world.address(0), "--output", "json"]).json();
    assert_eq!(status["clusters"][1]["lag"]["events"], 3, "{status}");

    let stays = world.failover(0, &["--to", "b", "--catch-up", "500ms"]).refused();
    assert!(stays.contains("stays in a: the new side was too far behind, or not connected"), "{stays}");
    let asks = world.failover(0, &["--to", "b", "--force", "--output", "json"]).refused();
    assert!(asks.contains("b would lack 3 events of 1 workflows") && asks.contains("--yes"), "{asks}");
    signal(&client, "run", "four").await.expect("served where it was");

    world.servers[1].restart();
    world.until_safe(1, "b");
    world.servers[0].kill();
    let unknown = world.failover(1, &["--to", "b", "--plan"]);
    assert_eq!(unknown.code, Some(1), "{}", unknown.out);
    let gone = world.failover(1, &["--to", "b"]).refused();
    assert!(gone.contains("--force moves it without asking a"), "{gone}");
    let forced = world.failover(1, &["--to", "b", "--force", "--yes", "--output", "json"]).json();
    assert_eq!((&forced["forced"], &forced["new_version"]), (&json!(true), &json!(2)));
    let (found, _) = stored(&connect(world.address(1)).await, "run").await;
    assert_eq!(found, ["one", "two", "three", "four"]);
}
