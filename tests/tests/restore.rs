//! A cluster loses its database, and a copy that is older takes its place. It asks the other cluster what it lacks, decides
//! nothing until then, and names nothing that it writes like something that it forgot.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tests::{
    cli,
    pair::{self, Keep},
    raw::Client,
    server::Server,
    wait,
};

const WORKFLOWS: usize = 10;

/// `a` is active, writes after the copy was made, and is brought back. It goes on with all that it wrote.
#[tokio::test(flavor = "multi_thread")]
async fn an_active_cluster_goes_on_with_what_it_forgot() {
    let [mut a, b] = start("restored-active");
    begin(&a).await;
    verify(&a);
    let copy = copy(&mut a);
    signal(&a, "two").await;
    verify(&a);
    bring_back(&mut a, &copy);
    signal(&a, "three").await;
    verify(&a);
    check(&[&a, &b], "one two three").await;
    let version = version(&b);
    assert!(version > 10_000, "nothing is named like what was forgotten: version {version}");
    assert_eq!(active(&b), "a");
}

/// The same, but `b` was made active before. That stands, and `a` stands by with all that there is.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_was_failed_over_from_stands_by() {
    let [mut a, b] = start("restored-standby");
    begin(&a).await;
    verify(&a);
    let copy = copy(&mut a);
    signal(&a, "two").await;
    verify(&a);
    a.kill();
    let move_it = ["operator", "namespace", "update", "--namespace=default", "--active-cluster=b"];
    let _ = cli::temporal(b.address(0), &move_it).ok();
    signal(&b, "three").await;
    bring_back(&mut a, &copy);
    verify(&b);
    signal(&b, "four").await;
    verify(&b);
    check(&[&a, &b], "one two three four").await;
    assert_eq!((active(&a), active(&b), version(&a)), ("b".into(), "b".into(), 2));
}

fn start(name: &str) -> [Server; 2] {
    let [a, b] = pair::start(name, Keep::OnDisk);
    pair::join(&a, &b);
    let create = ["operator", "namespace", "create", "--namespace=default", "--global", "--cluster=a", "--cluster=b"];
    let _ = cli::temporal(a.address(0), &[create.as_slice(), &["--active-cluster=a"]].concat()).ok();
    wait::until("the namespace on both", || {
        let known = cli::temporal(b.address(0), &["operator", "namespace", "describe", "--namespace=default"]);
        if known.success { Ok(()) } else { Err(known.err) }
    });
    [a, b]
}

async fn begin(server: &Server) {
    let client = Client::connect(server.address(0)).await.expect("connect");
    for id in ids() {
        let request = json!({
            "namespace": "default", "workflowId": id, "workflowType": {"name": "Waits"}, "taskQueue": {"name": "nobody"},
            "requestId": format!("start of {id}"),
        });
        let _ = client.call_patiently("StartWorkflowExecution", request).await.expect("started");
    }
    signal(server, "one").await;
}

async fn signal(server: &Server, name: &str) {
    let client = Client::connect(server.address(0)).await.expect("connect");
    for id in ids() {
        let request = json!({
            "namespace": "default", "workflowExecution": {"workflowId": id}, "signalName": name,
            "requestId": format!("{name} of {id}"),
        });
        let _ = client.call_patiently("SignalWorkflowExecution", request).await.expect("signalled");
    }
}

/// A copy of a database and its log, made while nobody uses them.
fn copy(server: &mut Server) -> PathBuf {
    assert!(server.stop().success(), "{}", server.process().last_words());
    let copy = server.folder().join("backup");
    fs::create_dir(&copy).expect("a folder for the copy");
    put(server.folder(), &copy);
    server.restart();
    copy
}

/// The database is gone with all that lies beside it, and the copy takes its place.
fn bring_back(server: &mut Server, copy: &Path) {
    server.kill();
    for file in [DATABASE, LOG, SHARED] {
        // Not every file is always there.
        let _ = fs::remove_file(server.folder().join(file));
    }
    put(copy, server.folder());
    server.restart();
}

fn put(from: &Path, to: &Path) {
    for file in [DATABASE, LOG].iter().filter(|file| from.join(file).exists()) {
        let _ = fs::copy(from.join(file), to.join(file)).expect("copied");
    }
}

/// Both hold the same; the two may still be talking.
fn verify(server: &Server) {
    wait::until("both to hold the same", || {
        let command = ["replication", "verify", "default", "-o", "json", "--address", server.address(0)];
        let outcome = cli::meridian(&command);
        let answer: Value = serde_json::from_str(&outcome.out).unwrap_or_default();
        if outcome.success && answer["same"] == true { Ok(()) } else { Err(outcome) }
    });
}

/// Every workflow has these signals, in this order, on each side.
async fn check(servers: &[&Server], expected: &str) {
    for server in servers {
        let client = Client::connect(server.address(0)).await.expect("connect").without_redirection();
        for id in ids() {
            let request = json!({"namespace": "default", "execution": {"workflowId": id}});
            let page = client.call("GetWorkflowExecutionHistory", request).await.expect("read a history");
            let events = page["history"]["events"].as_array().cloned().unwrap_or_default();
            let signals = events.iter().map(|event| &event["workflowExecutionSignaledEventAttributes"]);
            let names: Vec<&str> = signals.filter_map(|signal| signal["signalName"].as_str()).collect();
            assert_eq!(names.join(" "), expected, "{id} on {}", server.address(0));
        }
    }
}

fn version(server: &Server) -> i64 {
    let version = &described(server)["failoverVersion"];
    let number = version.as_str().and_then(|text| text.parse().ok()).or_else(|| version.as_i64());
    number.unwrap_or_else(|| panic!("a version: {version}"))
}

fn active(server: &Server) -> String {
    described(server)["replicationConfig"]["activeClusterName"].as_str().unwrap_or_default().to_owned()
}

fn described(server: &Server) -> Value {
    let command = ["operator", "namespace", "describe", "--namespace=default", "-o=json"];
    let found = cli::temporal(server.address(0), &command);
    serde_json::from_str(&found.out).unwrap_or_else(|error| panic!("{error}: {}{}", found.out, found.err))
}

fn ids() -> impl Iterator<Item = String> {
    (0..WORKFLOWS).map(|number| format!("w{number}"))
}

/// As the example calls it.
const DATABASE: &str = "cluster-a.db";
/// What SQLite puts beside it.
const LOG: &str = "cluster-a.db-wal";
const SHARED: &str = "cluster-a.db-shm";
