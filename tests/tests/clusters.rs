//! Two clusters from the example files, as an operator joins them; and what the command line of ours says of them.

use serde_json::{Value, json};
use tests::{
    cli,
    pair::{self, Keep},
    raw::Client,
    request,
    server::Server,
    wait,
};

fn names(listed: &Value) -> Vec<String> {
    let rows = listed.as_array().cloned().unwrap_or_default();
    let mut names: Vec<_> = rows.iter().map(|row| row["clusterName"].as_str().unwrap_or_default().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn example_files_make_two_clusters_that_join_and_part() {
    let [a, b] = pair::start("joined", Keep::OnDisk);
    pair::join(&a, &b);
    for server in [&a, &b] {
        wait::until_eq(&vec!["a".to_owned(), "b".to_owned()], || {
            names(&cli::temporal(server.address(0), &["operator", "cluster", "list", "-o", "json"]).json())
        });
    }
    let create = [
        "operator",
        "namespace",
        "create",
        "-n",
        "orders",
        "--global",
        "--cluster",
        "a",
        "--cluster",
        "b",
        "--active-cluster",
        "a",
    ];
    let _ = cli::temporal(a.address(0), &create).ok();
    let describe = ["operator", "namespace", "describe", "-n", "orders", "-o", "json"];
    let described = wait::until("the namespace on b", || {
        let outcome = cli::temporal(b.address(0), &describe);
        if outcome.success { Ok(outcome.json()) } else { Err(outcome.err) }
    });
    assert_eq!(described["failoverVersion"], "1");
    assert_eq!(described["replicationConfig"]["activeClusterName"], "a");

    let update = ["operator", "namespace", "update", "-n", "orders", "--active-cluster", "b"];
    let _ = cli::temporal(b.address(0), &update).ok();
    for server in [&a, &b] {
        wait::until_eq(&json!("2"), || cli::temporal(server.address(0), &describe).json()["failoverVersion"].clone());
    }

    let used = cli::temporal(a.address(0), &["operator", "cluster", "remove", "--name", "b"]).refused();
    assert!(used.contains("orders"), "the namespace that still needs it is named: {used}");
    let unknown = cli::temporal(a.address(0), &["operator", "cluster", "remove", "--name", "z"]);
    let _ = unknown.refused();
}

/// Example 1: a cluster's version is the smallest that is its own and not below the old one.
#[tokio::test(flavor = "multi_thread")]
async fn versions_of_namespaces() {
    let server = Server::meridian("versions", 2, &[]);
    let a = Client::connect(server.address(0)).await.expect("connect");
    for (namespace, cluster) in [("alpha", "a"), ("beta", "b")] {
        let request = json!({
            "namespace": namespace, "isGlobalNamespace": true, "activeClusterName": cluster,
            "clusters": [{"clusterName": "a"}, {"clusterName": "b"}], "workflowExecutionRetentionPeriod": "86400s",
        });
        a.call("RegisterNamespace", request).await.unwrap_or_else(|refusal| panic!("register {namespace}: {refusal}"));
    }
    check_versions(&server, "1", "2").await;
    failover(&a, "alpha", "b").await;
    check_versions(&server, "2", "2").await;
    failover(&a, "beta", "a").await;
    check_versions(&server, "2", "11").await;
}

async fn failover(client: &Client, namespace: &str, cluster: &str) {
    let request = json!({"namespace": namespace, "replicationConfig": {"activeClusterName": cluster}});
    client.call("UpdateNamespace", request).await.unwrap_or_else(|refusal| panic!("fail over {namespace}: {refusal}"));
}

/// Both clusters come to these versions.
async fn check_versions(server: &Server, alpha: &str, beta: &str) {
    for cluster in 0..2 {
        let client = Client::connect(server.address(cluster)).await.expect("connect");
        for (namespace, version) in [("alpha", alpha), ("beta", beta)] {
            wait::until_async(&format!("version {version} of {namespace}"), async || {
                let described =
                    client.without_redirection().call("DescribeNamespace", json!({"namespace": namespace})).await;
                let seen = described.map_err(|refusal| refusal.to_string())?["failoverVersion"].clone();
                if seen == version { Ok(()) } else { Err(seen.to_string()) }
            })
            .await;
        }
    }
}

/// Example 2: three events of version 1, then one and another of version 2.
#[tokio::test(flavor = "multi_thread")]
async fn tree_shows_version_histories() {
    let server = Server::meridian("tree", 2, &[]);
    let a = Client::connect(server.address(0)).await.expect("connect");
    let signal = async |id: &str| {
        let request = request::merged(request::signal("run"), json!({"requestId": id}));
        a.call_patiently("SignalWorkflowExecution", request)
            .await
            .unwrap_or_else(|refusal| panic!("signal: {refusal}"));
    };
    a.call("StartWorkflowExecution", request::start("run", "queue")).await.expect("start");
    signal("third").await;
    check_tree(&server, "[3@1]");
    let _ = cli::meridian(&["failover", "default", "--to", "b", "--address", server.address(0)]).ok();
    signal("fourth").await;
    check_tree(&server, "[3@1 4@2]");
    signal("fifth").await;
    check_tree(&server, "[3@1 5@2]");
}

/// Both clusters come to show this version history.
fn check_tree(server: &Server, expected: &str) {
    for cluster in 0..2 {
        let show = ["workflow", "tree", "-n", "default", "-w", "run", "--address", server.address(cluster)];
        wait::until(&format!("{expected} in the tree"), || {
            let outcome = cli::meridian(&show);
            let text = outcome.out + &outcome.err;
            if text.contains(expected) { Ok(()) } else { Err(text) }
        });
        let _ = cli::meridian(&[&show[..], &["--output", "json"]].concat()).json();
    }
}

#[test]
fn every_command_speaks_json() {
    let server = Server::meridian("json", 2, &[]);
    let status = cli::meridian(&["status", "--address", server.address(0), "--output", "json"]).json();
    assert!(status.to_string().contains("default"), "{status}");
    let failover = ["failover", "default", "--to", "b", "--address", server.address(1), "--output", "json"];
    let moved = cli::meridian(&failover).json().to_string();
    assert!(moved.contains('1') && moved.contains('2'), "the old and the new version: {moved}");
}

#[test]
fn what_fails_says_why() {
    let server = Server::meridian("refusals", 2, &[]);
    for (command, expected) in [
        (vec!["failover", "nowhere", "--to", "b", "--address", server.address(0)], "nowhere"),
        (vec!["failover", "default", "--to", "z", "--address", server.address(0)], "z"),
        (vec!["workflow", "tree", "-n", "default", "-w", "nobody", "--address", server.address(0)], "nobody"),
        (vec!["status", "--address", "127.0.0.1:1"], "127.0.0.1:1"),
    ] {
        let error = cli::meridian(&command).refused();
        assert!(error.contains(expected), "{command:?}: {error}");
    }
}

#[test]
fn taken_port_is_named_in_one_line() {
    let server = Server::meridian("taken", 1, &[]);
    let port = server.address(0).rsplit(':').next().expect("a port");
    let error = cli::meridian(&["dev", "--clusters", "1", "--port", port, "--headless"]).refused();
    assert!(error.contains(port), "{error}");
    assert_eq!(error.trim_end().lines().count(), 1, "{error}");
}
