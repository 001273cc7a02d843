//! Two clusters of several processes each, over PostgreSQL, under load: a namespace is handed over from one to the other and
//! back while hosts are killed. What was acknowledged is there afterwards, once, on both sides alike, and every workflow
//! finishes.

use serde_json::json;
use tests::{
    cli,
    load::{Load, Running},
    raw::Client,
    regions::{Moved, Regions},
    wait,
};

/// As operators run a small cluster.
const EIGHT: [&str; 8] = ["frontend", "frontend", "history", "history", "history", "matching", "matching", "worker"];

/// So much happens between two things that are done to hosts.
const A_WHILE: usize = 20;

/// When a host is killed.
#[derive(Clone, Copy, Debug)]
enum When {
    /// As the command begins.
    AtOnce,
    /// While everything is served, and the new side cannot be asked.
    CatchingUp,
    /// While writes wait, and the new side does not hear what was written.
    WritesWait,
}

/// Each host of a cluster is killed once while its cluster gives the namespace away, and once while it gets it back.
#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_goes_to_and_fro_while_every_host_is_killed() {
    let mut regions = Regions::start("killed-regions", scratch_postgres::shared(), &EIGHT).await;
    let load = Load::on(&regions.addresses());
    let when = [When::AtOnce, When::CatchingUp, When::WritesWait];
    for host in 0..EIGHT.len() {
        for (round, to) in ["b", "a"].into_iter().enumerate() {
            load.more(A_WHILE).await;
            let killed = (host % 2, host);
            let moved = hand_over(&mut regions, &load, to, killed, when[(host + round) % when.len()]).await;
            say(&format!("{moved:?}"));
            load.more(A_WHILE).await;
            regions.clusters[killed.0].hosts[killed.1].1.restart();
        }
    }
    end(load, &regions).await;
}

/// Hand the namespace over, and kill a host meanwhile.
async fn hand_over(
    regions: &mut Regions,
    load: &Running,
    to: &'static str,
    (cluster, host): (usize, usize),
    when: When,
) -> Moved {
    let service = regions.clusters[cluster].hosts[host].0;
    say(&format!("to {to}: host {host} of cluster {cluster}, {service}, is killed {when:?}"));
    let (old, new) = if to == "b" { (0, 1) } else { (1, 0) };
    let clogged = match when {
        When::AtOnce => None,
        When::CatchingUp => Some(new),
        When::WritesWait => {
            // A host that began a moment ago may still be about to take shards over. Those hear nothing through a clogged
            // link, and writes would never come to wait.
            tokio::task::block_in_place(|| regions.until_ready(to));
            Some(old)
        }
    };
    if let Some(link) = clogged {
        regions.links[link].clog();
    }
    let moving = regions.hand_over(to);
    match when {
        When::AtOnce => {}
        When::CatchingUp => load.more(A_WHILE / 2).await,
        When::WritesWait => until_writes_wait(regions, old).await,
    }
    regions.clusters[cluster].hosts[host].1.kill();
    if let Some(link) = clogged {
        regions.links[link].heal();
    }
    tokio::task::spawn_blocking(|| moving.join().expect("it moves")).await.expect("no panic")
}

async fn until_writes_wait(regions: &Regions, cluster: usize) {
    let client = Client::connect(&regions.clusters[cluster].addresses()[0]).await.expect("connect");
    wait::until_async("writes to wait", async || {
        let described = client.call("DescribeNamespace", json!({"namespace": "default"})).await;
        let state = described.map_err(|refusal| refusal.to_string())?["replicationConfig"]["state"].clone();
        if state == "REPLICATION_STATE_HANDOVER" { Ok(()) } else { Err(state.to_string()) }
    })
    .await;
}

/// Both stores have what was acknowledged, and the clusters say so themselves.
async fn end(load: Running, regions: &Regions) {
    let ledger = load.end().await;
    let mut clients = Vec::new();
    for cluster in &regions.clusters {
        clients.push(Client::connect(&cluster.addresses()[0]).await.expect("connect").without_redirection());
    }
    for client in &clients {
        ledger.check(client).await;
    }
    ledger.check_alike([&clients[0], &clients[1]]).await;
    let verify = ["replication", "verify", "default", "--address", &regions.addresses()[0], "--output", "json"];
    let verified = cli::meridian(&verify).json();
    assert_eq!(verified["same"], true, "{verified}");
    say(&format!("{} workflows", ledger.workflows()));
}

#[expect(clippy::print_stdout, reason = "says where a test was when it failed, and what it saw")]
fn say(what: &str) {
    println!("{what}");
}
