//! Clusters that are reached by TLS alone: by the SDKs, the published CLI, our own and each other. Whoever is not who it
//! should be is refused, and the log says why. Certificates are replaced while all of it runs.

use std::{fs, net::UdpSocket};

use serde_json::json;
use tests::{
    apart::Apart,
    certificates::{Authority, Environment},
    cli,
    load::{Load, Stubborn},
    raw::Client,
    sdk::{Language, Sdk},
    secured, wait,
};

/// As `deploy/tls` says it, with the certificates that its own program makes.
#[test]
fn the_example_starts_as_it_stands() {
    let [a, b] = secured::pair("tls-example", None);
    let client = a.environment();
    secured::join(&a, &b, &client);
    let list = cli::temporal_with(&client, &["operator", "cluster", "list", "--address", a.address()]).ok();
    assert!(list.contains(b.address()), "{list}");
}

#[test]
fn whoever_is_not_who_it_should_be_is_refused() {
    let ca = Authority::new("refusals");
    let stranger = Authority::in_folder(ca.folder(), "stranger");
    let [a, _b] = secured::pair("tls-refusals", Some(&ca));
    ca.vouch("known", "known.example");
    ca.vouch_formerly("old", "known.example");
    stranger.vouch("unknown", "known.example");
    let look = |environment: &Environment| {
        let ours = cli::meridian_with(environment, &["status", "--address", a.address()]);
        let theirs = cli::temporal_with(environment, &["operator", "namespace", "list", "--address", a.address()]);
        [ours, theirs]
    };
    let _ = look(&ca.environment(Some("known"), None)).map(cli::Outcome::ok);
    let check = |authority: &Authority, shows, expects, told: &str| {
        let _ = look(&authority.environment(shows, expects)).map(cli::Outcome::refused);
        a.says(told);
    };
    check(&ca, None, None, "it shows no certificate, and one is required");
    check(&ca, Some("unknown"), None, "unknown CA: nobody who is trusted here vouches for its certificate");
    check(&ca, Some("old"), None, "its certificate has expired or is not valid yet");
    check(&stranger, Some("known"), None, "it does not accept the certificate that it is shown (unknown CA)");
    check(
        &ca,
        Some("known"),
        Some("elsewhere"),
        "it does not accept the certificate that it is shown (bad certificate)",
    );
    let _ = look(&Environment::default()).map(cli::Outcome::refused);
    a.says("it does not speak TLS");
}

#[test]
fn sdks_work_by_tls() {
    let ca = Authority::new("sdks");
    let [a, b] = secured::pair("tls-sdks", Some(&ca));
    ca.vouch("client", "client.example");
    let client = ca.environment(Some("client"), None);
    secured::join(&a, &b, &client);
    secured::register(&a, &b, &client);
    for (language, queue) in [(Language::Python, "python"), (Language::TypeScript, "typescript")] {
        let sdk = Sdk::start_with(language, &client);
        sdk.work("main", a.address(), queue);
        let run = sdk.run(a.address(), queue, queue, "Greeting", json!(["Ada"]));
        assert_eq!(run.result(), json!("Hello, Ada!"));
        // What one cluster has the other one has as well.
        let copy = run.at(b.address());
        wait::until("the workflow on the other cluster", || match copy.ask("status", json!({})) {
            Ok(status) if status == json!("COMPLETED") => Ok(()),
            other => Err(other),
        });
    }
}

/// A cluster that is called `b`, and whose certificate says `x`.
#[test]
fn a_peer_is_the_cluster_that_its_certificate_names() {
    let ca = Authority::new("impostor");
    let [a, mut b] = secured::pair("tls-impostor", Some(&ca));
    ca.vouch("client", "client.example");
    let client = ca.environment(Some("client"), None);
    secured::join(&a, &b, &client);
    ca.vouch("b", "x");
    b.restart();
    a.says("a caller speaks for a cluster that its certificate does not name");
    a.says("wrong name: its certificate is for another one");
}

#[test]
fn a_certificate_that_ended_is_said_loudly_and_a_bad_one_changes_nothing() {
    let ca = Authority::new("ended");
    let [a, mut b] = secured::pair("tls-ended", Some(&ca));
    ca.vouch("client", "client.example");
    let client = ca.environment(Some("client"), None);
    fs::write(ca.folder().join("a.key"), "no key").expect("write a file");
    a.says("new certificates cannot be used, and the old ones are kept");
    let _ = cli::meridian_with(&client, &["status", "--address", a.address()]).ok();
    assert!(a.metric("certificate_refresh_failures") > 0.0);

    ca.vouch_formerly("b", "b");
    b.restart();
    b.says("a certificate has expired, or is about to");
    // Of the port, and of calls to the other cluster.
    wait::until_eq(&2.0, || b.metric("certificates_expired"));
    let _ = cli::meridian_with(&client, &["status", "--address", b.address()]).refused();
    b.says("it does not accept the certificate that it is shown (expired)");
}

/// All certificates are replaced by those of somebody else while workflows run on one cluster and are told to the other.
/// Nobody notices.
#[test]
fn every_certificate_is_replaced_under_load() {
    let ca = Authority::new("replaced");
    let [a, b] = secured::pair("tls-replaced", Some(&ca));
    ca.vouch("client", "client.example");
    let client = ca.environment(Some("client"), None);
    secured::join(&a, &b, &client);
    secured::register(&a, &b, &client);
    let sdk = Sdk::start_with(Language::Python, &client);
    sdk.work("main", a.address(), "queue");
    let mut started = 0;
    let mut work = || {
        let ids = (started..started + 20).map(|number| format!("workflow-{number}"));
        started += 20;
        let runs: Vec<_> = ids.map(|id| sdk.run(a.address(), "queue", &id, "Greeting", json!(["Ada"]))).collect();
        runs.iter().for_each(|run| assert_eq!(run.result(), json!("Hello, Ada!")));
    };
    work();
    let connections = || [&a, &b].map(|server| server.metric("tls_connections"));
    let before = connections();
    // Both are believed for a while, or whoever is first would be refused.
    let next = Authority::in_folder(ca.folder(), "next");
    let (old, new) = (ca.pem(), next.pem());
    secured::replace([&a, &b], || ca.is_replaced_by(&[&old, &new]));
    work();
    secured::replace([&a, &b], || ["a", "b"].iter().for_each(|cluster| next.vouch(cluster, cluster)));
    work();
    secured::replace([&a, &b], || ca.is_replaced_by(&[&new]));
    work();
    assert_eq!(connections(), before, "connections live on, and so do the streams on them");
    for server in [&a, &b] {
        assert_eq!(server.metric("tls_handshakes_refused"), 0.0);
    }
    // Those of before are not believed any more, and those of now are.
    let look = |client| cli::temporal_with(client, &["operator", "namespace", "list", "--address", a.address()]);
    let _ = look(&client).refused();
    next.vouch("client", "client.example");
    let _ = look(&client).ok();
}

/// The processes of one cluster, all of whose certificates are replaced while they work, and each of which is restarted then.
#[tokio::test(flavor = "multi_thread")]
async fn hosts_reach_each_other_by_tls_alone() {
    let ca = Authority::new("hosts");
    ca.vouch("host", "host");
    let services = ["frontend", "history", "history", "matching", "worker"];
    let mut cluster = Apart::start_by_tls("tls-hosts", &ca, scratch_postgres::shared(), &services);
    let addresses = cluster.addresses();
    let request = json!({"namespace": "default", "workflowExecutionRetentionPeriod": "86400s"});
    Stubborn::new(addresses.clone()).call("RegisterNamespace", request).await.expect("registered");
    let load = Load::on(&addresses);
    load.more(A_WHILE).await;
    let log = |server: &tests::server::Server| fs::read_to_string(server.folder().join("log")).unwrap_or_default();

    // Somebody else's gossip is not heard, and his calls are not answered.
    let port: u16 = addresses[0].rsplit_once(':').expect("a port").1.parse().expect("a number");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.send_to(b"I am a host", ("127.0.0.1", port + 20)).expect("sent");
    wait::until("a line about gossip", || match log(&cluster.hosts[0].1).contains("gossip is not heard") {
        true => Ok(()),
        false => Err(cluster.hosts[0].1.process().last_words()),
    });
    let inside = format!("127.0.0.1:{}", port + 110);
    let _ = cli::meridian(&["cluster", "members", "--address", &inside]).refused();
    let stranger = Authority::in_folder(ca.folder(), "stranger");
    stranger.vouch("unknown", "host");
    let unknown = ca.environment(Some("unknown"), Some("host"));
    let _ = cli::meridian_with(&unknown, &["cluster", "members", "--address", &inside]).refused();
    wait::until("a line about somebody unknown", || match log(&cluster.hosts[1].1).contains("unknown CA") {
        true => Ok(()),
        false => Err(cluster.hosts[1].1.process().last_words()),
    });

    let next = Authority::in_folder(ca.folder(), "next");
    let (old, new) = (ca.pem(), next.pem());
    for change in 0..3 {
        match change {
            0 => ca.is_replaced_by(&[&old, &new]),
            1 => next.vouch("host", "host"),
            _ => ca.is_replaced_by(&[&new]),
        }
        for (_, server) in &cluster.hosts {
            // Each is a server and a client.
            wait::until("new certificates", || match log(server).matches("new certificates are used").count() {
                count if count == 2 * (change + 1) => Ok(()),
                count => Err(count),
            });
        }
        load.more(A_WHILE).await;
    }
    for host in 0..cluster.hosts.len() {
        assert!(cluster.hosts[host].1.stop().success(), "{}", cluster.hosts[host].1.process().last_words());
        cluster.hosts[host].1.restart();
        load.more(A_WHILE).await;
    }
    let ledger = load.end().await;
    ledger.check(&Client::connect(&addresses[0]).await.expect("connect")).await;
}

/// Two clusters of several processes each reach each other as their processes do: by TLS alone, and know who calls. A namespace
/// goes to and fro while all certificates are replaced. A worker and callers of one of them notice nothing.
#[test]
fn clusters_of_several_processes_reach_each_other_by_tls_alone() {
    let ca = Authority::new("regions");
    let services = ["frontend", "history", "history", "matching", "worker"];
    let clusters = Apart::pair_by_tls("tls-regions", &ca, scratch_postgres::shared(), &services);
    ca.vouch("client", "client.example");
    let client = ca.environment(Some("client"), None);
    let [a, b] = clusters.each_ref().map(|cluster| cluster.client_address(0));
    let temporal = |address: &str, command: &[&str]| {
        cli::temporal_with(&client, &[&["operator"], command, &["--address", address]].concat())
    };
    let until_done = |address: &str, command: &[&str]| {
        wait::until(&command.join(" "), || {
            let outcome = temporal(address, command);
            if outcome.success { Ok(()) } else { Err(outcome.err) }
        });
    };
    for (here, there) in [(&a, &b), (&b, &a)] {
        let frontend = format!("--frontend-address={there}");
        until_done(here, &["cluster", "upsert", &frontend, "--enable-connection", "--enable-replication"]);
    }
    let create = ["namespace", "create", "--namespace=default", "--global", "--cluster=a", "--cluster=b"];
    until_done(&a, &[&create[..], &["--active-cluster=a"]].concat());
    until_done(&b, &["namespace", "describe", "--namespace=default"]);

    let sdk = Sdk::start_with(Language::Python, &client);
    sdk.work("main", &a, "queue");
    let mut started = 0;
    let mut move_to = |to: &str, from: &str| {
        let ids = (started..started + 10).map(|number| format!("workflow-{number}"));
        started += 10;
        let runs: Vec<_> = ids.map(|id| sdk.run(&a, "queue", &id, "Greeting", json!(["Ada"]))).collect();
        wait::until("the namespace to move", || {
            let moved = cli::meridian_with(&client, &["failover", "default", "--to", to, "--address", from]);
            if moved.success { Ok(()) } else { Err(moved.err) }
        });
        runs.iter().for_each(|run| assert_eq!(run.result(), json!("Hello, Ada!")));
    };
    move_to("b", &a);
    move_to("a", &b);

    let log = |server: &tests::server::Server| fs::read_to_string(server.folder().join("log")).unwrap_or_default();
    let next = Authority::in_folder(ca.folder(), "next");
    let (old, new) = (ca.pem(), next.pem());
    for change in 0..3 {
        match change {
            0 => ca.is_replaced_by(&[&old, &new]),
            1 => ["host", "a", "b", "client"].iter().for_each(|shown| next.vouch(shown, shown)),
            _ => ca.is_replaced_by(&[&new]),
        }
        for (_, server) in clusters.iter().flat_map(|cluster| &cluster.hosts) {
            // For hosts as a server and a client, for callers, and for the other cluster.
            wait::until("new certificates", || match log(server).matches("new certificates are used").count() {
                count if count == 4 * (change + 1) => Ok(()),
                count => Err(count),
            });
        }
        move_to("b", &a);
        move_to("a", &b);
    }
    for cluster in &clusters {
        for host in 0..cluster.hosts.len() {
            assert_eq!(cluster.metrics(host).sum("tls_handshakes_refused", &[]), 0.0);
        }
    }
}

/// So much happens between two things that are done to certificates.
const A_WHILE: usize = 30;
