//! A cluster of several processes over PostgreSQL, under load: they are killed, stopped for a while, and restarted one after
//! the other. What was acknowledged is there afterwards, once, and every workflow finishes.

use std::process::Command;

use serde_json::json;
use tests::{
    apart::Apart,
    load::{Load, Stubborn},
    raw::Client,
    server::Server,
};

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

/// A history host does not run for a while, and its shards go to others. When it runs again it writes nothing under what it
/// knew, and is one of the hosts as before.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_was_stopped_writes_nothing_that_others_did_not_expect() {
    let cluster = start("stopped-host").await;
    let load = Load::on(&cluster.addresses());
    for host in [2, 3, 5] {
        load.more(A_WHILE).await;
        say("stopped", &cluster, host);
        signal(&cluster.hosts[host].1, "-STOP");
        load.more(3 * A_WHILE).await;
        signal(&cluster.hosts[host].1, "-CONT");
    }
    load.more(3 * A_WHILE).await;
    end(load, &cluster).await;
}

async fn start(name: &str) -> Apart {
    let cluster = Apart::start(name, scratch_postgres::shared(), &EIGHT);
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
