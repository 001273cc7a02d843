//! A namespace moves while an SDK's workflow runs: it goes on at the other side, and both stores hold the same bytes.

use serde_json::{Value, json};
use tests::{
    cli,
    raw::Client,
    sdk::{Language, Run, Sdk},
    server::Server,
    wait,
};

/// Two clusters, and an SDK with a worker on each.
struct World {
    server: Server,
    sdk: Sdk,
}

impl World {
    fn new(name: &str, language: Language) -> Self {
        let world = Self { server: Server::meridian(name, 2, &[]), sdk: Sdk::start(language) };
        for (name, cluster) in [("a", 0), ("b", 1)] {
            world.sdk.work(name, world.server.address(cluster), "queue");
        }
        world
    }

    fn a(&self) -> &str {
        self.server.address(0)
    }

    fn b(&self) -> &str {
        self.server.address(1)
    }

    fn start(&self, workflow: &str, args: Value) -> Run<'_> {
        self.sdk.run(self.a(), "queue", workflow, workflow, args)
    }

    /// `meridian failover default --to CLUSTER`, asked of one of the clusters.
    fn failover(&self, cluster: &str, asked: &str) {
        let _ = cli::meridian(&["failover", "default", "--to", cluster, "--address", asked]).ok();
    }

    /// The history in the stores of both, which must be the same; answers its versions, each once.
    fn versions(&self, run: &Run<'_>, last: &str) -> Vec<Value> {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let stored = [self.a(), self.b()].map(|address| runtime.block_on(stored(address, &run.id, last)));
        assert_eq!(stored[0].0, stored[1].0, "bytes of the history of {}", run.id);
        let mut versions: Vec<_> = stored[0].1.iter().map(|event| event["version"].clone()).collect();
        versions.dedup();
        versions
    }
}

/// The history in the store behind `address`, as bytes and as events, once it ends with an event of a type.
async fn stored(address: &str, id: &str, last: &str) -> (bytes::Bytes, Vec<Value>) {
    let client = Client::connect(address).await.expect("connect").without_redirection();
    let request = json!({"namespace": "default", "execution": {"workflowId": id}});
    wait::until_async(&format!("{last} of {id} at {address}"), async || {
        let (rpc, request) = ("GetWorkflowExecutionHistory", request.clone());
        let page = client.call(rpc, request.clone()).await.map_err(|refusal| refusal.to_string())?;
        // Read after the events: between the two calls a standby may hear of more of them.
        let bytes = client.call_for_bytes(rpc, request).await.map_err(|refusal| refusal.to_string())?;
        let events = page["history"]["events"].as_array().cloned().unwrap_or_default();
        let seen = events.last().map(|event| event["eventType"].clone());
        if seen == Some(format!("EVENT_TYPE_{last}").into()) { Ok((bytes, events)) } else { Err(format!("{seen:?}")) }
    })
    .await
}

/// Each scenario as two tests.
macro_rules! scenarios {
    ($($(#[$doc:meta])* fn $name:ident($world:ident) $body:block)*) => {
        mod scenario {
            use super::*;
            $($(#[$doc])* pub(super) fn $name($world: &World) $body)*
        }
        mod python {
            use super::*;
            $(#[test] fn $name() {
                scenario::$name(&World::new(concat!("python-", stringify!($name)), Language::Python));
            })*
        }
        mod typescript {
            use super::*;
            $(#[test] fn $name() {
                scenario::$name(&World::new(concat!("typescript-", stringify!($name)), Language::TypeScript));
            })*
        }
    };
}

scenarios! {
    /// Two activities, one of them retrying, a timer, a signal and a query, begun on `a` and ended on `b`.
    fn workflow_finishes_on_the_other_side(world) {
        let run = world.start("Journey", json!(["Ada"]));
        run.until("place", &json!("platform"));
        world.failover("b", world.a());
        let run = run.at(world.b());
        assert_eq!(run.query("place"), json!("platform"));
        run.signal("board", json!(["12C"]));
        assert_eq!(run.result(), json!("Hello, Ada! Ticket 12C, attempt 3"));
        assert_eq!(run.at(world.a()).result(), run.result());
        assert_eq!(world.versions(&run, "WORKFLOW_EXECUTION_COMPLETED"), [json!("1"), json!("2")]);
    }

    /// There and back: 1, 2, 11. The command works from either side.
    fn workflow_comes_back(world) {
        let run = world.start("Counter", json!([]));
        run.signal("add", json!([1]));
        run.until("total", &json!(1));
        world.failover("b", world.b());
        run.at(world.b()).signal("add", json!([10]));
        run.at(world.b()).until("total", &json!(11));
        world.failover("a", world.b());
        run.signal("add", json!([100]));
        run.until("total", &json!(111));
        run.signal("finish", json!([]));
        assert_eq!(run.result(), json!(111));
        assert_eq!(world.versions(&run, "WORKFLOW_EXECUTION_COMPLETED"), [json!("1"), json!("2"), json!("11")]);
    }

    /// An activity is with a worker when the namespace moves; it ends once.
    fn activity_runs_meanwhile(world) {
        let run = world.start("Gated", json!(["gate"]));
        run.until_activity_runs();
        world.failover("b", world.a());
        world.sdk.ask("open_gate", json!({"gate": "gate"})).expect("open the gate");
        assert_eq!(run.at(world.b()).result(), json!("through gate"));
        assert_eq!(world.versions(&run, "WORKFLOW_EXECUTION_COMPLETED"), [json!("1"), json!("2")]);
    }

    /// A timer falls due after the move.
    fn timer_falls_due_meanwhile(world) {
        let run = world.start("Sleeper", json!([1_500]));
        wait::until("the timer", || {
            let status = run.ask("status", json!({}))?;
            if status == "RUNNING" { Ok(()) } else { Err(status.to_string()) }
        });
        world.failover("b", world.b());
        assert_eq!(run.at(world.b()).result(), json!("awake"));
        assert_eq!(world.versions(&run, "WORKFLOW_EXECUTION_COMPLETED").last(), Some(&json!("2")));
    }
}
