//! A cluster of several processes over PostgreSQL, under load: they are killed, stopped for a while, and restarted one after
//! the other. What was acknowledged is there afterwards, once, and every workflow finishes.

use std::{collections::BTreeSet, process::Command, time::Duration};

use serde_json::{Value, json};
use tests::{
    apart::Apart,
    cli,
    load::{Load, Stubborn},
    raw::Client,
    request::{self, merged},
    server::Server,
    wait,
    written::{self, Written},
};
use tokio::task::JoinSet;

/// As operators run a small cluster.
const EIGHT: [&str; 8] = ["frontend", "frontend", "history", "history", "history", "matching", "matching", "worker"];

/// So much happens between two things that are done to hosts.
const A_WHILE: usize = 30;

#[tokio::test(flavor = "multi_thread")]
async fn every_host_is_killed_and_restarted_under_load() {
    let mut cluster = start("killed-hosts").await;
    let load = Load::on(&cluster.addresses());
    for host in 0..cluster.hosts.len() {
        load.more(A_WHILE).await;
        say("killed", &cluster, host);
        cluster.hosts[host].1.kill();
        load.more(A_WHILE).await;
        cluster.hosts[host].1.restart();
    }
    end(load, &cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_host_is_drained_and_restarted_under_load() {
    let mut cluster = start("drained-hosts").await;
    let load = Load::on(&cluster.addresses());
    for host in 0..cluster.hosts.len() {
        load.more(A_WHILE).await;
        say("drained", &cluster, host);
        let server = &mut cluster.hosts[host].1;
        assert!(server.stop().success(), "{}", server.process().last_words());
        load.more(A_WHILE).await;
        cluster.hosts[host].1.restart();
    }
    end(load, &cluster).await;
}

/// A host does not run for a while, and what it had goes to others. When it runs again it writes nothing under what it knew:
/// the database says who wrote each row, and whose the shard was then. And it tries, for calls lay in its socket meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_was_stopped_writes_nothing_that_others_did_not_expect() {
    let database = scratch_postgres::shared();
    let cluster = register(Apart::start_noted("stopped-host", database, &EIGHT)).await;
    let addresses = cluster.addresses();
    let idle = start_idle(&addresses).await;
    let load = Load::on(&addresses);
    let mut refused = 0.0;
    for host in [2, 3, 5] {
        load.more(A_WHILE).await;
        say("stopped", &cluster, host);
        let owned = || written::owned(&cluster, database, &cluster.user(host));
        assert_eq!(!owned().is_empty(), cluster.hosts[host].0 == "history");
        let inside = Client::connect(&cluster.internal_address(host)).await.expect("connect").inside();
        signal(&cluster.hosts[host].1, "-STOP");
        let calls: JoinSet<_> = idle.iter().map(|id| ask(inside.clone(), request::signal(id))).collect();
        load.more(3 * A_WHILE).await;
        wait::until_eq(&BTreeSet::new(), owned);
        signal(&cluster.hosts[host].1, "-CONT");
        let _ = calls.join_all().await;
        let lost = [("error_type", "persistence_ShardOwnershipLostError")];
        refused += cluster.metrics(host).sum("persistence_error_with_type", &lost);
    }
    check(&Written::read(&cluster, database, &addresses[0]).await, &cluster);
    assert!(refused > 0.0, "nobody tried");
    load.more(3 * A_WHILE).await;
    end(load, &cluster).await;
    check(&Written::read(&cluster, database, &addresses[0]).await, &cluster);
}

fn check(written: &Written, cluster: &Apart) {
    let foreign: Vec<_> = written.foreign().iter().map(ToString::to_string).collect();
    assert!(foreign.is_empty(), "{}", foreign.join("\n"));
    for host in [2, 3, 4] {
        assert_ne!(written.rows(&cluster.user(host)), 0, "host {host}");
    }
}

/// An operator has hosts give away what they have, with nobody noticing, and take it back.
#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_drained_and_resumed_by_an_operator_under_load() {
    let database = scratch_postgres::shared();
    let cluster = register(Apart::start_noted("drained-by-hand", database, &EIGHT)).await;
    let addresses = cluster.addresses();
    let load = Load::on(&addresses);
    for host in [2, 5, 1] {
        load.more(A_WHILE).await;
        let process = cluster.internal_address(host);
        let order = |order: &str| {
            let said = cli::meridian(&["cluster", order, &process, "--address", &addresses[0], "-o", "json"]).ok();
            serde_json::from_str::<Value>(&said).expect("JSON")
        };
        let owned = || written::owned(&cluster, database, &cluster.user(host));
        let drained = order("drain");
        assert_eq!((&drained["draining"], &drained["shards"]), (&json!(true), &json!([])), "{drained}");
        // The others have been asked to take them; the last of them may not have done so yet.
        wait::until_eq(&BTreeSet::new(), owned);
        load.more(2 * A_WHILE).await;
        assert_eq!(owned(), BTreeSet::new(), "it is given nothing");
        assert_eq!(order("resume")["draining"], false);
        if cluster.hosts[host].0 == "history" {
            wait::until("its shards to come back", || if owned().is_empty() { Err("it has none") } else { Ok(()) });
        }
    }
    load.more(A_WHILE).await;
    end(load, &cluster).await;
    check(&Written::read(&cluster, database, &addresses[0]).await, &cluster);
}

/// A frontend that an operator drains stays, and polls wait there for what comes later.
#[tokio::test(flavor = "multi_thread")]
async fn polls_wait_at_a_frontend_that_an_operator_drains() {
    let cluster =
        Apart::start("polled-while-drained", scratch_postgres::shared(), &["frontend", "history", "matching"]);
    let cluster = register(cluster).await;
    let (address, process) = (&cluster.addresses()[0], cluster.internal_address(0));
    drop(cli::meridian(&["cluster", "drain", &process, "--address", address]).ok());
    let client = Client::connect(address).await.expect("it answers");
    let poll = json!({"namespace": "default", "taskQueue": {"name": "rare"}, "identity": "patient"});
    let waiting = client.clone();
    let polled = tokio::spawn(async move { waiting.call("PollWorkflowTaskQueue", poll).await });
    // Long enough for the others to have heard of the drain.
    tokio::time::sleep(Duration::from_secs(1)).await;
    client.call("StartWorkflowExecution", request::start("rare", "rare")).await.expect("started");
    let task = polled.await.expect("no panic").expect("an answer");
    assert_eq!(task["workflowExecution"]["workflowId"], "rare", "{task}");
}

/// The connections of a frontend that is gone without a word, as when its machine loses power, stay for long. What polls wait
/// behind them is given nothing once it is known to be gone, so that no task waits until its time is up.
#[tokio::test(flavor = "multi_thread")]
async fn polls_of_a_frontend_that_is_gone_are_given_nothing() {
    let services = ["frontend", "frontend", "history", "matching"];
    let cluster = register(Apart::start("polled-by-the-gone", scratch_postgres::shared(), &services)).await;
    let addresses = cluster.addresses();
    let (gone, matching) = (cluster.internal_address(0), cluster.internal_address(3));
    let [first, second] = [0, 1].map(|host| Client::connect(&addresses[host]));
    let (first, second) = (first.await.expect("connect"), second.await.expect("connect"));
    let poll = json!({"namespace": "default", "taskQueue": {"name": "rare"}, "identity": "patient"});
    let waiting = poll.clone();
    let _polled = tokio::spawn(async move { first.call("PollWorkflowTaskQueue", waiting).await });
    wait::until_eq(&Ok(1.0), || Ok::<_, String>(cluster.metrics_yet(3)?.sum("pending_polls", &[])));
    signal(&cluster.hosts[0].1, "-STOP");
    wait::until("it to be known to be gone", || {
        let members = cli::meridian(&["cluster", "members", "--address", &matching]).ok();
        if members.contains(&gone) { Err(members) } else { Ok(()) }
    });
    second.call("StartWorkflowExecution", request::start("rare", "rare")).await.expect("started");
    let task = second.call("PollWorkflowTaskQueue", poll).await.expect("an answer");
    assert_eq!((&task["workflowExecution"]["workflowId"], &task["attempt"]), (&json!("rare"), &json!(1)), "{task}");
}

/// Start workflows that nobody works on, in most shards.
async fn start_idle(addresses: &[String]) -> Vec<String> {
    let mut client = Stubborn::new(addresses.to_vec());
    let ids: Vec<_> = (0..60).map(|number| format!("idle-{number}")).collect();
    for id in &ids {
        let patch = json!({"workflowType": {"name": "idle"}});
        client.call("StartWorkflowExecution", merged(request::start(id, "idle"), patch)).await.expect("started");
    }
    ids
}

/// What it answers does not matter: it may have the shard again, or not.
async fn ask(host: Client, signal: Value) {
    let _ = host.call("SignalWorkflowExecution", signal).await;
}

async fn start(name: &str) -> Apart {
    register(Apart::start(name, scratch_postgres::shared(), &EIGHT)).await
}

async fn register(cluster: Apart) -> Apart {
    let request = json!({"namespace": "default", "workflowExecutionRetentionPeriod": "86400s"});
    Stubborn::new(cluster.addresses()).call("RegisterNamespace", request).await.expect("registered");
    cluster
}

async fn end(load: tests::load::Running, cluster: &Apart) {
    let ledger = load.end().await;
    for address in cluster.addresses() {
        ledger.check(&Client::connect(&address).await.expect("connect")).await;
    }
}

fn signal(server: &Server, signal: &str) {
    let sent = Command::new("kill").args([signal, &server.process().id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "send {signal}");
}

#[expect(clippy::print_stdout, reason = "says where a test was when it failed")]
fn say(what: &str, cluster: &Apart, host: usize) {
    println!("{what}: host {host}, {}", cluster.hosts[host].0);
}
