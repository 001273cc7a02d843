//! The link between two clusters is cut, both write to the same runs, and the link heals.
//!
//! Afterwards both hold the same bytes, every signal is there once, every workflow goes on, what lost is listed, and the SDKs
//! accept every history that is left.

use serde_json::{Value, json};
use tests::{
    cli,
    pair::{self, Keep},
    proxy::Proxy,
    raw::{self, Client},
    sdk::{Language, Run, Sdk},
    server::Server,
    wait,
};

/// Workflows of each scenario.
const WORKFLOWS: usize = 8;

/// Two servers with files of their own, the links between them, and an SDK with a worker on each.
struct World {
    a: Server,
    b: Server,
    links: [Proxy; 2],
    sdk: Sdk,
    runtime: tokio::runtime::Runtime,
}

impl World {
    fn new(name: &str, language: Language) -> Self {
        let [a, b] = pair::start(name, Keep::OnDisk);
        let links = pair::join_by_links(&a, &b);
        let create =
            ["operator", "namespace", "create", "--namespace=default", "--global", "--cluster=a", "--cluster=b"];
        let _ = cli::temporal(a.address(0), &[create.as_slice(), &["--active-cluster=a"]].concat()).ok();
        let world =
            Self { a, b, links, sdk: Sdk::start(language), runtime: tokio::runtime::Runtime::new().expect("one") };
        wait::until("the namespace on both", || {
            let known =
                cli::temporal(world.b.address(0), &["operator", "namespace", "describe", "--namespace=default"]);
            if known.success { Ok(()) } else { Err(known.err) }
        });
        for (name, server) in [("a", &world.a), ("b", &world.b)] {
            world.sdk.work(name, server.address(0), "queue");
        }
        world
    }

    /// A workflow as a client of `a` sees it.
    fn here(&self, id: &str) -> Run<'_> {
        self.sdk.known(self.a.address(0), id)
    }

    /// A workflow as a client of `b` sees it.
    fn there(&self, id: &str) -> Run<'_> {
        self.sdk.known(self.b.address(0), id)
    }

    /// Counters that have counted to 1 on both sides.
    fn counters(&self, count: usize) -> Vec<String> {
        let ids: Vec<_> = (0..count).map(|number| format!("counter-{number:02}")).collect();
        for id in &ids {
            let run = self.sdk.run(self.a.address(0), "queue", id, "Counter", json!([]));
            run.signal("add", json!([1]));
        }
        for id in &ids {
            self.here(id).until("total", &json!(1));
        }
        self.verify();
        ids
    }

    /// Cut the link, and write to every run on both sides, the new one forced to be active.
    fn diverge(&self, ids: &[String]) {
        self.links.iter().for_each(Proxy::cut);
        let active = ["operator", "namespace", "update", "--namespace=default", "--active-cluster=b"];
        let _ = cli::temporal(self.b.address(0), &active).ok();
        for id in ids {
            self.here(id).signal("add", json!([10]));
            self.there(id).signal("add", json!([100]));
        }
        for id in ids {
            self.here(id).until("total", &json!(11));
            self.there(id).until("total", &json!(101));
        }
    }

    fn heal(&self) {
        self.links.iter().for_each(Proxy::heal);
    }

    /// Every run goes on from both sides, to the end.
    fn finish(&self, ids: &[String]) {
        for id in ids {
            self.there(id).until("total", &json!(111));
            self.there(id).signal("add", json!([1000]));
            self.here(id).until("total", &json!(1111));
            self.here(id).signal("finish", json!([]));
            assert_eq!(self.there(id).result(), json!(1111), "{id}");
        }
    }

    /// Both clusters hold the same, each signal once, and the SDK accepts it.
    fn check(&self, ids: &[String]) {
        self.verify();
        for id in ids {
            let stored = [&self.a, &self.b].map(|server| self.runtime.block_on(stored(server.address(0), id)));
            assert_eq!(stored[0].0, stored[1].0, "bytes of the history of {id}");
            let mut signals = signals(&stored[0].1);
            assert_eq!(signals.pop(), Some("finish []".to_owned()), "{id}");
            signals.sort();
            assert_eq!(signals, ["add [1000]", "add [100]", "add [10]", "add [1]"], "{id}");
            self.there(id).ask("replay", json!({})).unwrap_or_else(|error| panic!("{id}: {error}"));
        }
    }

    /// What lost is listed on both sides, completely and alike.
    fn check_reports(&self, ids: &[String]) {
        for id in ids {
            let reports = [&self.a, &self.b].map(|server| {
                let command = ["workflow", "divergence", "-w", id, "-o", "json", "--address", server.address(0)];
                let report = cli::meridian(&command).json();
                let conflicts = report["runs"][0]["conflicts"].as_array().cloned().unwrap_or_default();
                assert_eq!(conflicts.len(), 1, "{report}");
                conflicts[0].clone()
            });
            for report in &reports {
                check_report(report);
            }
            let content = |report: &Value| (report["lost"].clone(), report["kept_up_to"].clone(), fates(report));
            assert_eq!(content(&reports[0]), content(&reports[1]), "{id}");
        }
        let command = ["replication", "report", "default", "--won-by=2", "-o", "json", "--address", self.b.address(0)];
        let report = cli::meridian(&command).json();
        let mut found = diverged(&report);
        found.sort_unstable();
        assert_eq!(found, ids);
    }

    /// `meridian replication verify` finds no difference; the two may still be talking.
    fn verify(&self) {
        wait::until("both to hold the same", || {
            let command = ["replication", "verify", "default", "-o", "json", "--address", self.a.address(0)];
            let outcome = cli::meridian(&command);
            let answer: Value = serde_json::from_str(&outcome.out).unwrap_or_default();
            if outcome.success && answer["same"] == true { Ok(()) } else { Err(outcome) }
        });
    }
}

/// A branch that a signal was on: that is put into the winner, and everything behind the fork is listed.
fn check_report(report: &Value) {
    assert_eq!((&report["winning_version"], &report["reapplied"]), (&json!(2), &json!(1)), "{report}");
    assert_eq!((&report["pending"], &report["known"]), (&json!(0), &json!(0)), "{report}");
    let id = |item: &Value| item.as_str().and_then(|item| item.split('@').next()?.parse::<i64>().ok());
    let kept = id(&report["kept_up_to"]).expect("an event");
    let lost = report["lost"].as_str().and_then(|items| items.split(' ').next_back().map(|last| json!(last)));
    let last = lost.as_ref().and_then(id).expect("an event");
    let listed: Vec<_> = fates(report).iter().map(|(event, ..)| event.clone()).collect();
    let expected: Vec<_> = (kept + 1..=last).map(|event| format!("{event}@1")).collect();
    assert_eq!(listed, expected, "every event behind the fork");
    for (event, kind, fate) in fates(report) {
        let expected = if kind == "WORKFLOW_EXECUTION_SIGNALED" { "reapplied" } else { "discarded" };
        assert_eq!(fate, expected, "{event} {kind}");
    }
    assert!(report["bytes"].as_i64().is_some_and(|bytes| bytes > 0), "{report}");
}

fn fates(report: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let listed = report["listed"].as_array().into_iter().flatten();
    listed.map(|event| (text(&event["event"]), text(&event["type"]), text(&event["fate"]))).collect()
}

/// The workflows of a report.
fn diverged(report: &Value) -> Vec<String> {
    let runs = report["runs"].as_array().into_iter().flatten();
    runs.map(|run| run["workflow_id"].as_str().unwrap_or_default().to_owned()).collect()
}

/// The history in the store behind `address`, as bytes and as events.
async fn stored(address: &str, id: &str) -> (bytes::Bytes, Vec<Value>) {
    let client = Client::connect(address).await.expect("connect").without_redirection();
    let (rpc, request) =
        ("GetWorkflowExecutionHistory", json!({"namespace": "default", "execution": {"workflowId": id}}));
    let bytes = client.call_for_bytes(rpc, request.clone()).await.expect("read a history");
    let page = client.call(rpc, request).await.expect("read a history");
    (bytes, page["history"]["events"].as_array().cloned().unwrap_or_default())
}

/// The signals of a history, in order, as `name arguments`.
fn signals(events: &[Value]) -> Vec<String> {
    let signals = events.iter().map(|event| &event["workflowExecutionSignaledEventAttributes"]);
    let told = |signal: &Value| {
        let name = signal["signalName"].as_str()?;
        let payloads = signal["input"]["payloads"].as_array().cloned().unwrap_or_default();
        let arguments = payloads.iter().filter_map(|payload| raw::text(payload["data"].as_str()?));
        Some(format!("{name} [{}]", arguments.collect::<Vec<_>>().join(" ")))
    };
    signals.filter_map(told).collect()
}

/// Each scenario as two tests.
macro_rules! scenarios {
    ($($(#[$doc:meta])* fn $name:ident($world:ident) $body:block)*) => {
        mod scenario {
            use super::*;
            $($(#[$doc])* pub(super) fn $name($world: &mut World) $body)*
        }
        mod python {
            use super::*;
            $(#[test] fn $name() {
                scenario::$name(&mut World::new(concat!("python-", stringify!($name)), Language::Python));
            })*
        }
        mod typescript {
            use super::*;
            $(#[test] fn $name() {
                scenario::$name(&mut World::new(concat!("typescript-", stringify!($name)), Language::TypeScript));
            })*
        }
    };
}

scenarios! {
    /// Cut, force, heal.
    fn both_sides_write(world) {
        let ids = world.counters(WORKFLOWS);
        world.diverge(&ids);
        world.heal();
        world.finish(&ids);
        world.check(&ids);
        world.check_reports(&ids);
    }

    /// The loser, and then the winner, is killed while the conflicts are being resolved.
    fn killed_while_they_agree(world) {
        let ids = world.counters(3 * WORKFLOWS);
        world.diverge(&ids);
        world.heal();
        wait::until("the first conflict", || {
            let report = cli::meridian(&["replication", "report", "default", "-o", "json", "--address", world.a.address(0)]);
            let found = diverged(&serde_json::from_str(&report.out).unwrap_or_default()).len();
            if found > 0 { Ok(()) } else { Err(report) }
        });
        world.a.kill();
        world.a.restart();
        world.b.kill();
        world.b.restart();
        world.finish(&ids);
        world.check(&ids);
        world.check_reports(&ids);
    }
}

/// While one side does not hear the other, the run that is behind is named, and said to be on its way.
#[test]
fn what_is_behind_is_named() {
    let world = World::new("behind", Language::Python);
    let ids = world.counters(2);
    // `b` does not hear `a`, but answers it.
    world.links[0].cut();
    world.here(&ids[1]).signal("add", json!([10]));
    let command = ["replication", "verify", "default", "--patience=0", "-o", "json", "--address", world.a.address(0)];
    let outcome = cli::meridian(&command);
    assert!(!outcome.success && outcome.err.contains("has not been acknowledged"), "{outcome:?}");
    let answer: Value = serde_json::from_str(&outcome.out).expect("an answer in JSON");
    assert_eq!((&answer["different"], &answer["moving"], &answer["same"]), (&json!(1), &json!(1), &json!(false)));
    let difference = &answer["differences"][0];
    assert_eq!(difference["workflow_id"], json!(ids[1]), "{answer}");
    assert_eq!(difference["aspects"][0]["what"], "current-branch", "{answer}");
    world.heal();
    world.verify();
}
